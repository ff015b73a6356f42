//! The program itself, from outside: what it prints, how it ends, and what it survives.

#[path = "program/on_redis.rs"]
mod on_redis;
#[allow(
    dead_code,
    clippy::unwrap_used,
    reason = "belongs to the tests of the store, which use all of it"
)]
#[path = "../../tests/store/redis_server.rs"]
mod redis_server;

use rustix::process::{Pid, Signal, kill_process};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

const PROGRAM: &str = env!("CARGO_BIN_EXE_commonplace");

fn run(arguments: &[&str]) -> Output {
    Command::new(PROGRAM).args(arguments).output().expect("the program starts")
}

fn words(output: &[u8]) -> &str {
    std::str::from_utf8(output).expect("text")
}

/// A running server.
struct Server {
    child: Child,
    address: SocketAddr,
    /// What it said when it was ready.
    line: String,
}

impl Server {
    fn start(data: &Path) -> Self {
        let mut command = Command::new(PROGRAM);
        command.args(["serve", "--open", "--listen", "127.0.0.1:0", "--data"]).arg(data);
        Self::from(command)
    }

    fn from(mut command: Command) -> Self {
        let command = command.stdout(Stdio::piped()).stderr(Stdio::null());
        Self::started(command.spawn().expect("the program starts"))
    }

    /// Waits until it says where it is.
    fn started(mut child: Child) -> Self {
        let mut line = String::new();
        let out = child.stdout.as_mut().expect("a pipe");
        BufReader::new(out).read_line(&mut line).expect("a line");
        let address = line.split("http://").nth(1).and_then(|rest| rest.split_whitespace().next());
        let address = address.unwrap_or_else(|| panic!("{line:?} holds an address"));
        let address = address.parse().expect("an address");
        Self { child, address, line }
    }

    fn signal(&self, signal: Signal) {
        let pid = Pid::from_child(&self.child);
        kill_process(pid, signal).expect("the process is there");
    }

    fn get(&self, path: &str) -> String {
        let mut stream = TcpStream::connect(self.address).expect("the server listens");
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        stream.write_all(request.as_bytes()).expect("the server reads");
        let mut answer = String::new();
        stream.read_to_string(&mut answer).expect("an answer");
        answer
    }

    fn exit_code(mut self) -> Option<i32> {
        self.child.wait().expect("the process ends").code()
    }
}

#[test]
fn every_mistake_is_told_at_once_and_nothing_is_touched() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let data = data.to_str().expect("text");
    let output = run(&[
        "serve",
        "--listen",
        "nowhere",
        "--log",
        "xml",
        "--allow-origin",
        "x",
        "--data",
        data,
    ]);
    assert_eq!(output.status.code(), Some(64));
    let told = words(&output.stderr);
    for part in ["3 things", "--listen \"nowhere\"", "--log \"xml\"", "--allow-origin \"x\""] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    assert!(!Path::new(data).exists());
    assert_eq!(run(&["serve", "--no-such-option"]).status.code(), Some(64));
    assert_eq!(run(&[]).status.code(), Some(64));
}

#[test]
fn help_has_examples_and_exit_codes() {
    let output = run(&["--help"]);
    assert_eq!(output.status.code(), Some(0));
    let help = words(&output.stdout);
    for part in ["commonplace serve --open\n", "Exit codes:", "COMMONPLACE_ALLOW_ORIGIN"] {
        assert!(help.contains(part), "{part} is missing in {help}");
    }
}

#[test]
fn the_first_signal_ends_it_well() {
    for signal in [Signal::TERM, Signal::INT] {
        let folder = tempfile::tempdir().expect("a folder");
        let server = Server::start(folder.path());
        assert!(server.get("/readyz").contains("\"durability\":\"fsync\""));
        server.signal(signal);
        assert_eq!(server.exit_code(), Some(0));
    }
}

#[test]
fn one_data_folder_serves_one_server() {
    let folder = tempfile::tempdir().expect("a folder");
    let server = Server::start(folder.path());
    let data = folder.path().to_str().expect("text");
    let second = run(&["serve", "--open", "--listen", "127.0.0.1:0", "--data", data]);
    assert_eq!(second.status.code(), Some(69));
    assert!(words(&second.stderr).contains("in use"), "{}", words(&second.stderr));
    let taken = server.address.to_string();
    let other = tempfile::tempdir().expect("a folder");
    let other = other.path().to_str().expect("text");
    let third = run(&["serve", "--open", "--listen", &taken, "--data", other]);
    assert_eq!(third.status.code(), Some(69));
    assert!(words(&third.stderr).contains("--listen"), "{}", words(&third.stderr));
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
}

/// One edit of a y-websocket client, by hand: one letter under the root "a". Returns when the server has shown it, with the client's end.
fn write_something(server: &Server, document: &str) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).expect("the server listens");
    let request = format!(
        "GET /sync/{document} HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("the server reads");
    let update = [1, 1, 1, 0, 4, 1, 1, b'a', 1, b'x', 0];
    let mut messages =
        [&[0x82, 0x84, 0, 0, 0, 0, 0, 0, 1, 0][..], &[0x82, 0x8e, 0, 0, 0, 0, 0, 2, 11], &update]
            .concat();
    stream.write_all(&messages).expect("the server reads");
    messages.clear();
    while !messages.ends_with(&update) {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("an echo");
        messages.extend(byte);
    }
    stream
}

#[test]
fn what_was_written_can_be_listed_copied_checked_and_brought_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name).to_str().expect("text").to_owned();
    let (data, copy, new, export) = (path("data"), path("copy"), path("new"), path("export"));
    let server = Server::start(Path::new(&data));
    write_something(&server, "some/note");
    // Beside the running server.
    let backup = run(&["backup", &copy, "--data", &data]);
    assert_eq!(backup.status.code(), Some(0), "{}", words(&backup.stderr));
    assert_eq!(
        run(&["doc", "quarantine", "some/note", "--data", &data]).status.code(),
        Some(74),
        "it is running"
    );
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));

    for arguments in [
        &["restore", &copy, "--data", &new][..],
        &["verify", "--data", &new],
        &["doc", "export", "some/note", &export, "--data", &new],
    ] {
        let output = run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", words(&output.stderr));
    }
    assert_eq!(
        run(&["backup", &copy, "--data", &data]).status.code(),
        Some(74),
        "nothing is overwritten"
    );
    let list = || words(&run(&["doc", "list", "some/", "--data", &new]).stdout).to_owned();
    assert!(list().trim_end().ends_with("ago  some/note"), "{}", list());
    assert!(run(&["doc", "list", "other", "--data", &new]).stdout.is_empty());
    for (command, ending) in
        [("quarantine", "set aside: set aside by an operator"), ("release", "some/note")]
    {
        assert_eq!(run(&["doc", command, "some/note", "--data", &new]).status.code(), Some(0));
        assert!(list().trim_end().ends_with(ending), "{}", list());
    }
    assert_eq!(
        run(&["doc", "export", "missing", &path("none"), "--data", &new]).status.code(),
        Some(74)
    );
}

#[test]
fn without_file_descriptors_it_waits_and_does_not_spin() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut command = Command::new("sh");
    let script =
        format!("ulimit -n 48; exec {PROGRAM} serve --open --listen 127.0.0.1:0 --data \"$0\"");
    command.arg("-c").arg(script).arg(folder.path());
    let server = Server::from(command);
    // More than there are descriptors; the kernel takes those that the server cannot.
    let crowd: Vec<_> =
        (0..40).map(|_| TcpStream::connect(server.address).expect("a backlog")).collect();
    let before = processor_time(&server);
    // One that is behind all of them in the queue is served as soon as the deadlines have sent the others away.
    let counters = server.get("/metrics");
    assert!(
        counters.contains("reason=\"accept_failed\""),
        "descriptors have been short: {counters}"
    );
    drop(crowd);
    let spent = processor_time(&server) - before;
    assert!(spent < Duration::from_secs(1), "{spent:?} of five seconds' waiting");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
}

/// Processor time of the process so far.
fn processor_time(server: &Server) -> Duration {
    let stat =
        std::fs::read_to_string(format!("/proc/{}/stat", server.child.id())).expect("a process");
    let fields: Vec<_> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
    let ticks: u64 = [11, 12].iter().map(|n| fields[*n].parse::<u64>().expect("a number")).sum();
    Duration::from_millis(ticks * 10)
}

//! The program on a Redis of the test's own: what it promises, what it refuses, and that it never tells a password.

use super::redis_server::RedisServer;
use super::{PROGRAM, Server, words, write_something};
use commonplace::store::redis::{RedisOptions, RedisStore};
use commonplace::store::sqlite::{SqliteOptions, SqliteStore};
use commonplace::store::{EntryId, LogName, Store};
use rustix::process::Signal;
use std::io::{BufRead, BufReader, Read};
use std::net::TcpListener;
use std::path::Path;
use std::process::{Command, Output, Stdio};
use tempfile::TempDir;

const SAFE: [&str; 4] = ["--appendonly", "yes", "--appendfsync", "always"];

/// Part of the address, and of nothing that is ever printed.
const PASSWORD: &str = "s3cret";

struct Home {
    redis: RedisServer,
    folder: TempDir,
    address: String,
}

impl Home {
    /// A Redis with a limited user, whose address holds a password.
    fn new(settings: &[&str]) -> Self {
        let redis = RedisServer::start(settings);
        let user = ["ACL", "SETUSER", "commonplace", "on", ">s3cret", "~*", "&*", "+@all"];
        let _: redis::Value = redis.ask(&user);
        let address = redis.url().replace("redis://", &format!("redis://commonplace:{PASSWORD}@"));
        Self { redis, folder: tempfile::tempdir().expect("a folder"), address }
    }

    fn path(&self, name: &str) -> String {
        self.folder.path().join(name).to_str().expect("text").to_owned()
    }

    fn command(&self, arguments: &[&str]) -> Command {
        let mut command = Command::new(PROGRAM);
        command.args(arguments).env("COMMONPLACE_REDIS", &self.address);
        command
    }

    /// Runs a command to its end; nothing it says holds the password.
    fn run(&self, arguments: &[&str]) -> Output {
        let output = self.command(arguments).output().expect("the program starts");
        for said in [&output.stdout, &output.stderr] {
            assert!(!words(said).contains(PASSWORD), "{}", words(said));
        }
        output
    }

    #[track_caller]
    fn done(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {}", words(&output.stderr));
        words(&output.stdout).to_owned()
    }

    /// Refused with this exit code; what was said.
    #[track_caller]
    fn refused(&self, code: i32, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        let told = words(&output.stderr).to_owned();
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {told}");
        told
    }

    fn serve(&self, options: &[&str]) -> Vec<String> {
        self.serve_in("marks", options)
    }

    fn serve_in(&self, folder: &str, options: &[&str]) -> Vec<String> {
        let data = self.path(folder);
        let start = ["serve", "--open", "--listen", "127.0.0.1:0", "--data", &data];
        start.iter().chain(options).map(|&word| word.to_owned()).collect()
    }

    /// A running server.
    fn start(&self) -> Server {
        self.start_in("marks")
    }

    fn start_in(&self, folder: &str) -> Server {
        let arguments = self.serve_in(folder, &[]);
        Server::from(self.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>()))
    }

    fn start_refused(&self, options: &[&str]) -> String {
        let arguments = self.serve(options);
        self.refused(69, &arguments.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

#[test]
fn a_redis_that_could_lose_what_was_saved_is_refused_with_the_lines_to_change() {
    let home = Home::new(&[]);
    let told = home.start_refused(&[]);
    for part in [
        "redis://commonplace@127.0.0.1",
        "`CONFIG SET appendonly yes` and `CONFIG SET appendfsync always`",
        "--durability memory",
    ] {
        assert!(told.contains(part), "{part} is missing in {told}");
    }
    let told = home.start_refused(&["--durability", "replicated=2"]);
    assert!(told.contains("0 of the 2 replicas"), "{told}");
    let _: redis::Value = home.redis.ask(&["CONFIG", "SET", "maxmemory", "100mb"]);
    let _: redis::Value = home.redis.ask(&["CONFIG", "SET", "maxmemory-policy", "allkeys-lru"]);
    let told = home.start_refused(&["--durability", "memory"]);
    assert!(told.contains("CONFIG SET maxmemory-policy noeviction"), "{told}");
    let told = home.start_refused(&["--redis", "redis://127.0.0.1:1"]);
    assert!(told.contains("redis://127.0.0.1:1: nothing listens there"), "{told}");
    let wrong = home.redis.url().replace("redis://", "redis://commonplace:wrong@");
    let told = home.start_refused(&["--redis", &wrong]);
    assert!(told.contains("does not accept the user and the password"), "{told}");
    let help = home.done(&["serve", "--help"]);
    assert!(help.contains("--redis <URL>") && help.contains("COMMONPLACE_REDIS"), "{help}");
}

#[test]
fn memory_is_only_when_asked_for_and_said_loudly() {
    let home = Home::new(&[]);
    let arguments = home.serve(&["--durability", "memory"]);
    let mut command = home.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    let log = std::fs::File::create(home.path("log")).expect("a file");
    command.stdout(Stdio::piped()).stderr(log);
    let server = Server::started(command.spawn().expect("the program starts"));
    assert!(server.get("/readyz").contains("\"durability\":\"memory\""));
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
    let log = std::fs::read_to_string(home.path("log")).expect("the log");
    assert!(log.contains("NOTHING IS SAVED HERE FOR GOOD") && !log.contains(PASSWORD), "{log}");
}

#[test]
fn what_was_written_on_redis_can_be_looked_after_while_it_serves() {
    let home = Home::new(&SAFE);
    let server = home.start();
    assert!(server.line.contains("redis://commonplace@127.0.0.1"), "{}", server.line);
    assert!(server.line.contains("saved means fsync") && !server.line.contains(PASSWORD));
    assert!(server.get("/readyz").contains("\"durability\":\"fsync\""));
    assert!(server.get("/metrics").contains("commonplace_durability{class=\"fsync\"} 1"));
    let mut peer = write_something(&server, "some/note");

    assert!(home.done(&["doc", "list"]).trim_end().ends_with("ago  some/note"));
    assert!(home.done(&["verify"]).contains("Read 1 log, entries: 1. Nothing is damaged."));
    let (backup, export) = (home.path("backup"), home.path("export"));
    home.done(&["backup", &backup]);
    home.done(&["doc", "export", "some/note", &export]);
    home.done(&["doc", "quarantine", "some/note", "--reason", "why not"]);
    // Whoever has it open is sent away at once, with the reason.
    let mut heard = Vec::new();
    while !heard.ends_with(b"why not") {
        let mut byte = [0];
        peer.read_exact(&mut byte).expect("a close frame");
        heard.extend(byte);
    }
    assert!(home.done(&["doc", "list"]).trim_end().ends_with("set aside: why not"));
    home.done(&["doc", "release", "some/note"]);
    home.done(&["verify", "--data", &backup]);

    // One folder of marks serves one server; another one is welcome.
    assert!(home.start_refused(&[]).contains("in use"));
    let second = home.start_in("other marks");
    assert!(second.get("/readyz").contains("\"ready\":true"));
    second.signal(Signal::TERM);
    assert_eq!(second.exit_code(), Some(0));
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));

    // A backup comes back into any place that is empty.
    let told = home.refused(74, &["restore", &backup]);
    assert!(told.contains("a copy goes only where nothing is"), "{told}");
    assert!(home.refused(74, &["restore", &backup, "--replace"]).contains("is not replaced"));
    home.done(&["restore", &backup, "--redis-prefix", "again"]);
    let again = home.done(&["doc", "list", "--redis-prefix", "again"]);
    assert!(again.trim_end().ends_with("some/note"), "{again}");
    let folder = home.path("folder");
    home.done(&["restore", &backup, "--data", &folder]);
    assert!(home.done(&["doc", "list", "--data", &folder]).contains("some/note"));
}

#[test]
fn everything_moves_from_a_folder_to_redis_and_back() {
    let home = Home::new(&SAFE);
    let (data, back) = (home.path("marks"), home.path("back"));
    let server = Server::start(Path::new(&data));
    write_something(&server, "some/note");
    let told = home.refused(74, &["copy", "--from", &data, "--to", "redis://"]);
    assert!(told.contains("in use"), "{told}");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
    // A server that would start with nothing beside its data says how to bring it along.
    let told = home.start_refused(&[]);
    assert!(
        told.contains(&format!("commonplace copy --from {data} --to redis://commonplace@")),
        "{told}"
    );

    let told = home.done(&["copy", "--from", &data, "--to", "redis://"]);
    assert!(told.contains("holds 1 log with 1 record, and 0 blobs"), "{told}");
    let told = home.refused(74, &["copy", "--from", &data, "--to", "redis://"]);
    assert!(told.contains("goes only where nothing is"), "{told}");
    let server = home.start();
    // The same client's same edit comes back to it: the document is there.
    write_something(&server, "some/note");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));

    home.done(&["copy", "--from", "redis://", "--to", &back]);
    let (here, there) = (home.path("here"), home.path("there"));
    home.done(&["doc", "export", "some/note", &here, "--data", &back]);
    home.done(&["doc", "export", "some/note", &there]);
    let read = |path: &str| std::fs::read(path).expect("an export");
    assert_eq!(read(&here), read(&there));
    assert_eq!(home.refused(64, &["copy", "--from", "a", "--to", "a"]).lines().count(), 1);
}

/// More logs than a copy tells of at once, so that it can be killed in the middle.
async fn fill(store: &dyn Store) {
    for n in 0..900 {
        let log = LogName::new(&format!("doc/{n}")).expect("a name");
        let entry = store.append(&log, None, EntryId(n), format!("entry {n}").into());
        entry.await.expect("stored");
    }
}

#[test]
fn a_copy_that_is_killed_goes_on() {
    let home = Home::new(&SAFE);
    let data = home.path("data");
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let store = SqliteStore::open(Path::new(&data), SqliteOptions::default()).expect("a store");
        fill(&*store).await;
        store.close().await;
    });
    let copy = ["copy", "--from", &data, "--to", "redis://"];
    let mut command = home.command(&copy);
    let mut child = command.stderr(Stdio::piped()).spawn().expect("the program starts");
    let mut line = String::new();
    let out = child.stderr.as_mut().expect("a pipe");
    BufReader::new(out).read_line(&mut line).expect("a line");
    assert!(line.starts_with("copied 500 logs"), "{line}");
    child.kill().expect("it runs");
    child.wait().expect("it ends");
    let told = home.start_refused(&[]);
    assert!(told.contains(&format!("holds only a part of what is in {data}")), "{told}");
    let told = home.done(&copy);
    assert!(
        told.contains("holds 900 logs with 900 records") && told.contains("interrupted"),
        "{told}"
    );
    let server = home.start();
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn nobody_serves_from_half_a_copy() {
    let home = Home::new(&SAFE);
    let mut connection = home.redis.connect();
    // What a copy that is killed leaves is a mark, which the store's own tests look at; here it is put there by hand.
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    runtime.block_on(async {
        let options = RedisOptions { url: home.redis.url(), ..RedisOptions::default() };
        let store = RedisStore::open(options).await.expect("a store");
        let mark = LogName::new("copy/unfinished").expect("a name");
        store.put_blob(&mark, "./somewhere".into()).await.expect("stored");
        store.close().await;
    });
    let told = home.start_refused(&[]);
    assert!(told.contains("holds only a part of what is in ./somewhere"), "{told}");
    redis::cmd("FLUSHALL").exec(&mut connection).expect("done");
    let server = home.start();
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
}

#[test]
fn the_way_to_redis_is_encrypted_for_whoever_is_known_to_be_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let file = |name: &str, words: String| {
        let path = folder.path().join(name);
        std::fs::write(&path, words).expect("a file");
        path.to_str().expect("text").to_owned()
    };
    let certificate = file("redis.pem", made.cert.pem());
    let key = file("redis.key", made.signing_key.serialize_pem());
    let tls = TcpListener::bind("127.0.0.1:0").and_then(|free| free.local_addr());
    let port = tls.expect("a free port").port().to_string();
    let settings = ["--tls-port", &port, "--tls-cert-file", &certificate, "--tls-key-file", &key];
    let rest = ["--tls-ca-cert-file", &certificate, "--tls-auth-clients", "no"];
    let home = Home {
        address: format!("rediss://localhost:{port}"),
        ..Home::new(&[&SAFE[..], &settings, &rest].concat())
    };
    // A certificate that nobody vouches for.
    let told = home.start_refused(&[]);
    assert!(told.contains("SSL_CERT_FILE"), "{told}");
    let arguments = home.serve(&[]);
    let mut command = home.command(&arguments.iter().map(String::as_str).collect::<Vec<_>>());
    command.env("SSL_CERT_FILE", &certificate);
    let server = Server::from(command);
    assert!(server.line.contains("rediss://localhost"), "{}", server.line);
    write_something(&server, "secret");
    server.signal(Signal::TERM);
    assert_eq!(server.exit_code(), Some(0));
}

//! A Redis of the tests' own, on a free port, that goes away with whoever started it.

use redis::Connection;
use std::io::Read;
use std::net::TcpListener;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use tempfile::TempDir;

/// How often another port is tried when somebody took the free one first.
const PORTS: usize = 20;

/// A running server.
#[derive(Debug)]
pub(crate) struct RedisServer {
    port: u16,
    dir: TempDir,
    /// A shell that stops the server when its input ends: also when the test process is killed.
    keeper: Child,
    args: Vec<String>,
}

/// The one that tests share: everything is saved before it is answered.
pub(crate) fn shared() -> &'static RedisServer {
    static SHARED: OnceLock<RedisServer> = OnceLock::new();
    SHARED.get_or_init(|| RedisServer::start(&["--appendonly", "yes", "--appendfsync", "always"]))
}

impl RedisServer {
    /// Starts one with these settings besides the test's own.
    pub(crate) fn start(args: &[&str]) -> Self {
        let args: Vec<String> = args.iter().map(|&arg| arg.into()).collect();
        let dir = tempfile::tempdir().unwrap();
        for _ in 0..PORTS {
            let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            if let Some(keeper) = spawn(port, dir.path(), &args) {
                return Self { port, dir, keeper, args };
            }
        }
        panic!("redis-server does not start: {}", log_of(dir.path()));
    }

    /// Stops it as a power cut would, and starts it again with what it had saved.
    pub(crate) fn kill_and_restart(&mut self) {
        self.stop();
        let (port, args) = (self.port, self.args.clone());
        let again = (0..PORTS).find_map(|_| spawn(port, self.dir.path(), &args));
        self.keeper = again.unwrap_or_else(|| panic!("{}", log_of(self.dir.path())));
    }

    /// Stops it as a power cut would.
    pub(crate) fn stop(&mut self) {
        drop(self.keeper.stdin.take());
        self.keeper.wait().unwrap();
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// Where it keeps its files.
    pub(crate) fn path(&self) -> &Path {
        self.dir.path()
    }

    /// A connection of the test's own.
    pub(crate) fn connect(&self) -> Connection {
        connect(self.port).unwrap()
    }

    /// Asks it something by hand.
    pub(crate) fn ask<T: redis::FromRedisValue>(&self, words: &[&str]) -> T {
        let mut command = redis::cmd(words[0]);
        command.arg(&words[1..]);
        command.query(&mut self.connect()).unwrap()
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        self.stop();
    }
}

fn connect(port: u16) -> redis::RedisResult<Connection> {
    redis::Client::open(format!("redis://127.0.0.1:{port}/"))?.get_connection()
}

fn log_of(dir: &Path) -> String {
    std::fs::read_to_string(dir.join("log")).unwrap_or_else(|_| {
        "is it installed? On Debian and its kin: sudo apt-get install redis-server".into()
    })
}

/// `None` when the port was taken meanwhile.
fn spawn(port: u16, dir: &Path, args: &[String]) -> Option<Child> {
    // The shell reads its input, which nobody writes, to the end; then the server dies. It says "up" when the port answers.
    let script = r#"redis-server --port "$1" --bind 127.0.0.1 --save '' --logfile log --dir . "${@:2}" </dev/null >/dev/null 2>&1 &
        server=$!
        until (exec 3<>"/dev/tcp/127.0.0.1/$1") 2>/dev/null; do
            kill -0 $server 2>/dev/null || exit 1
        done
        echo up
        cat >/dev/null
        kill -9 $server
        wait $server 2>/dev/null"#;
    let mut keeper = Command::new("bash")
        .args(["-c", script, "keeper", &port.to_string()])
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut up = [0; 3];
    let answered = keeper.stdout.take().unwrap().read_exact(&mut up).is_ok();
    // Another test's server may have answered on a port that this one did not get.
    let is_ours = || {
        let asked: redis::RedisResult<Vec<String>> = connect(port).and_then(|mut connection| {
            redis::cmd("CONFIG").arg("GET").arg("dir").query(&mut connection)
        });
        asked.is_ok_and(|found| {
            found.get(1).is_some_and(|found| Path::new(found) == dir.canonicalize().unwrap())
        })
    };
    // What is still loading its data answers soon.
    for _ in 0..1000 {
        if !answered {
            break;
        }
        if is_ours() {
            return Some(keeper);
        }
        std::thread::yield_now();
    }
    drop(keeper.stdin.take());
    keeper.wait().unwrap();
    None
}

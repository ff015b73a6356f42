//! Where does a core go? Asks `perf` while the server works.

use crate::crowd::{Cast, Crowd};
use crate::report::{Table, number};
use crate::rows::{Bench, typing_cast};
use crate::server::{Kind, Server};
use crate::{Outcome, machine};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

/// Looks a second. The timer of the machine itself, as virtual machines often have no counters.
const RATE: &str = "999";

/// How long is looked, while people type.
const WINDOW: Duration = Duration::from_secs(10);

/// Before that.
const WARM_UP: Duration = Duration::from_secs(2);

const ARRIVALS: u32 = 450;

/// Symbols that are told.
const SYMBOLS: usize = 15;

/// System calls that are told: those above this share. Per cent.
const WORTH_TELLING: f64 = 0.5;

/// What our server does with its core while this work is done, in words.
pub fn run(work: &str, bench: &Bench) -> Outcome<String> {
    let folder = TempDir::new()?;
    let data = folder.path().join("perf.data");
    let server = Server::start(Kind::Commonplace, bench.cores)?;
    let mut words = match work {
        "idle" => connect(&server, &data)?,
        work => type_on(&server, work, &data)?,
    };
    words.push_str(&tell(&data)?);
    Ok(words)
}

/// Looks at people who come in and do nothing else.
fn connect(server: &Server, data: &Path) -> Outcome<String> {
    let name = "idle".to_owned();
    let cast =
        Cast { name, rooms: 80, clients: 50, writers: 0, rate: 0.0, cursors: false, keep: false };
    let clients = cast.rooms * cast.clients;
    let mut crowd = Crowd::new(&server.endpoint, cast)?;
    let perf = Perf::start(server.pid, data)?;
    let before = machine::cpu_of(server.pid)?;
    crowd.gather(ARRIVALS)?;
    let spent = machine::cpu_of(server.pid)? - before;
    perf.stop()?;
    let each = spent.as_secs_f64() * 1e6 / clients as f64;
    Ok(format!("{clients} clients connect and sync; {} µs CPU each.\n\n", number(each)))
}

/// Looks at people who type.
fn type_on(server: &Server, work: &str, data: &Path) -> Outcome<String> {
    let (cast, title) = typing_cast(work).ok_or_else(|| format!("{work} is not profiled"))?;
    let mut crowd = Crowd::new(&server.endpoint, cast)?;
    crowd.gather(ARRIVALS)?;
    crowd.begin_texts()?;
    crowd.start_typing();
    crowd.run_for(WARM_UP)?;
    let perf = Perf::start(server.pid, data)?;
    crowd.open_window(server.pid)?;
    crowd.run_for(WINDOW)?;
    crowd.close_window(server.pid)?;
    perf.stop()?;
    crowd.stop_typing();
    let figures = crowd.settle(WARM_UP)?;
    Ok(format!(
        "{title}; {} µs CPU for each delivery, {} of a core.\n\n",
        number(figures.micros_each()),
        number(figures.busy().0)
    ))
}

/// A running `perf record`.
struct Perf(Child);

impl Perf {
    fn start(pid: i32, data: &Path) -> Outcome<Self> {
        let mut command = Command::new("perf");
        command.args(["record", "-e", "cpu-clock", "-F", RATE, "-g", "-p", &pid.to_string(), "-o"]);
        command.arg(data).stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().map_err(|error| format!("perf cannot be run: {error}"))?;
        Ok(Self(child))
    }

    fn stop(mut self) -> Outcome<()> {
        kill(Pid::from_raw(i32::try_from(self.0.id())?), Signal::SIGINT)?;
        self.0.wait()?;
        Ok(())
    }
}

/// Lines of a report: a share in per cent, and what has it.
fn report(data: &Path, words: &[&str]) -> Outcome<Vec<(f64, String)>> {
    let mut command = Command::new("perf");
    command.args(["report", "--stdio", "-g", "none", "-i"]).arg(data).args(words);
    let said = command.stdin(Stdio::null()).output()?;
    if !said.status.success() {
        return Err(String::from_utf8_lossy(&said.stderr).into_owned().into());
    }
    let text = String::from_utf8_lossy(&said.stdout);
    let lines = text.lines().filter(|line| !line.starts_with('#'));
    let shares = lines.filter_map(|line| {
        let (share, rest) = line.trim().split_once('%')?;
        // With children there are two shares: the first one has them.
        let rest = rest.split_once('%').map_or(rest, |(_, rest)| rest);
        Some((share.parse().ok()?, rest.trim().to_owned()))
    });
    Ok(shares.collect())
}

fn tell(data: &Path) -> Outcome<String> {
    let own = report(data, &["--no-children", "--sort", "sym"])?;
    let kernel: f64 =
        own.iter().filter(|(_, name)| name.starts_with("[k]")).map(|(share, _)| share).sum();
    let mut words = format!(
        "The kernel has {kernel:.0} % of the server's time, the program {:.0} %. System calls, with all that happens in them:\n\n",
        100.0 - kernel
    );
    let mut told = Vec::new();
    for (share, name) in report(data, &["--children", "--sort", "sym"])? {
        // Some calls are known by their inner name only, as the compiler has left out the outer one.
        let name = name.trim_start_matches("[k]").trim();
        let call = match name {
            "do_writev" => Some("writev"),
            name => name.strip_prefix("__x64_sys_").or_else(|| name.strip_prefix("__sys_")),
        };
        if let Some(call) = call
            && share >= WORTH_TELLING
            && !told.contains(&call.to_owned())
        {
            words.push_str(&format!("- `{call}`: {share:.1} %\n"));
            told.push(call.to_owned());
        }
    }
    words.push_str("\nThe program's own:\n\n");
    let mut table = Table::new("", &["%"]);
    table.columns[0] = "function";
    let program = own.iter().filter(|(_, name)| name.starts_with("[.]"));
    for (share, name) in program.take(SYMBOLS) {
        let name = name.trim_start_matches("[.]").trim();
        table.lines.push(vec![format!("`{name}`"), format!("{share:.1}")]);
    }
    words.push_str(table.markdown().trim_start_matches(['#', '\n', ' ']));
    Ok(words)
}

//! Nothing leaves before it is on the disk, as the kernel sees it.
//!
//! The program runs under `strace`. For each mark that somebody writes, the trace has to show: the mark is written into the database's log, then
//! a sync of that file begins and comes back well, and only then do the bytes of the acknowledgement, or of the mark itself on its way to
//! somebody else, go to a socket.

use commonplace_protocol::hocuspocus::{Message, encode};
use commonplace_tests::fleet::{hear_until, sync};
use commonplace_tests::person::{Dialect, Person, text_of};
use commonplace_tests::process::{Launch, dial, send};
use rand::SeedableRng;
use rand::rngs::StdRng;
use rustix::process::{Pid, Signal, kill_process};
use std::collections::HashMap;

const MARKS: u32 = 25;

const CALLS: &str = "trace=write,writev,sendto,sendmsg,pwrite64,pwritev,pwritev2,fdatasync,fsync";

#[tokio::test]
async fn no_byte_of_an_acknowledgement_leaves_before_the_sync_of_its_entry_returned() {
    let folder = tempfile::tempdir().expect("a folder");
    let trace = folder.path().join("trace");
    let trace_name = trace.to_str().expect("a name in UTF-8");
    let strace = ["strace", "-f", "-yy", "-xx", "-s", "70000", "-o", trace_name, "-e", CALLS];
    assert!(
        std::process::Command::new("strace").arg("--version").output().is_ok(),
        "strace is not there: install the package strace, or run `make test-rust`, which does"
    );
    let mut server = match Launch::under(&strace, &folder.path().join("data")).try_start().await {
        Ok(server) => server,
        Err(ended) => {
            panic!("the server cannot be traced here (is ptrace allowed?): {}", ended.log)
        }
    };
    let mut writer = Person::new(1, Dialect::Hocuspocus, "note");
    let mut reader = Person::new(2, Dialect::YWebsocket, "note");
    let mut writers_socket = dial(server.address, &writer.path()).await.expect("a socket");
    let mut readers_socket = dial(server.address, &reader.path()).await.expect("a socket");
    sync(&mut writer, &mut writers_socket).await;
    sync(&mut reader, &mut readers_socket).await;
    hear_until(&mut writer, &mut writers_socket, |writer| !writer.unsynced_provider()).await;
    let mut random = StdRng::seed_from_u64(1);
    for count in 1..=MARKS {
        let message = writer.write(&mut random);
        assert!(send(&mut writers_socket, message).await);
        hear_until(&mut writer, &mut writers_socket, |writer| writer.saved == count).await;
        let has_seen = |reader: &Person| reader.marks().len() == count as usize;
        hear_until(&mut reader, &mut readers_socket, has_seen).await;
    }
    let text = std::fs::read_to_string(&trace).expect("a trace");
    let traced = text.split_whitespace().next().and_then(|pid| pid.parse().ok());
    let traced = traced.and_then(Pid::from_raw).expect("a trace begins with a process");
    kill_process(traced, Signal::TERM).expect("the server is there");
    server.ended().await;

    let calls = parse(&std::fs::read_to_string(&trace).expect("a trace"));
    let status = encode(b"note", &Message::SyncStatus(true));
    let statuses: Vec<&Call> = calls
        .iter()
        .filter(|call| call.is_to_a_socket())
        .flat_map(|call| std::iter::repeat_n(call, count_of(&call.bytes, &status)))
        .collect();
    // The first one answers the sync.
    assert_eq!(statuses.len() as u32, MARKS + 1, "one acknowledgement for each update");
    for clock in 0..MARKS {
        let mark = text_of((1, clock));
        let written = calls
            .iter()
            .find(|call| call.file.ends_with("-wal") && count_of(&call.bytes, mark.as_bytes()) > 0);
        let written = written.unwrap_or_else(|| panic!("{mark} was never written"));
        let shown = calls
            .iter()
            .find(|call| call.is_to_a_socket() && count_of(&call.bytes, mark.as_bytes()) > 0);
        let shown = shown.unwrap_or_else(|| panic!("{mark} was never shown"));
        for (leaves, what) in [(statuses[clock as usize + 1], "acknowledged"), (shown, "shown")] {
            let is_synced = calls.iter().any(|call| {
                call.is_sync()
                    && call.file == written.file
                    && call.begins > written.ends
                    && call.ends < leaves.begins
                    && call.outcome == "0"
            });
            assert!(
                is_synced,
                "{mark} was {what} in line {} of the trace, but no sync came back since line {}",
                leaves.begins, written.ends
            );
        }
    }
}

/// One system call.
#[derive(Debug)]
struct Call {
    name: String,
    /// What its first argument is open on.
    file: String,
    bytes: Vec<u8>,
    outcome: String,
    /// Lines of the trace.
    begins: usize,
    ends: usize,
}

impl Call {
    fn is_to_a_socket(&self) -> bool {
        self.file.starts_with("TCP") || self.file.starts_with("socket:")
    }

    fn is_sync(&self) -> bool {
        matches!(self.name.as_str(), "fdatasync" | "fsync")
    }
}

/// Reads `PID name(fd<file>, …) = outcome`, also where another thread's line comes between.
fn parse(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut unfinished: HashMap<&str, usize> = HashMap::new();
    for (number, line) in trace.lines().enumerate() {
        let Some((pid, rest)) = line.split_once(' ') else { continue };
        let rest = rest.trim_start();
        let outcome = rest.rsplit_once(" = ").map_or("", |(_, outcome)| outcome.trim());
        if rest.starts_with("<... ") {
            if let Some(index) = unfinished.remove(pid) {
                calls[index].ends = number;
                calls[index].outcome = outcome.to_owned();
            }
            continue;
        }
        let Some((name, arguments)) = rest.split_once('(') else { continue };
        let file = arguments.split_once('<').and_then(|(_, rest)| rest.split_once('>'));
        let file = file.map_or("", |(file, _)| file);
        let is_unfinished = rest.ends_with("<unfinished ...>");
        if is_unfinished {
            unfinished.insert(pid, calls.len());
        }
        calls.push(Call {
            name: name.to_owned(),
            // Paths are in hex like everything else. "TCP:[a->b]" is not, and is cut at its arrow, which is no matter.
            file: match file.starts_with('\\') {
                true => String::from_utf8_lossy(&from_hex(file)).into_owned(),
                false => file.to_owned(),
            },
            bytes: arguments.split('"').skip(1).step_by(2).flat_map(from_hex).collect(),
            outcome: if is_unfinished { String::new() } else { outcome.to_owned() },
            begins: number,
            ends: if is_unfinished { usize::MAX } else { number },
        });
    }
    calls
}

fn from_hex(text: &str) -> Vec<u8> {
    let byte = |digits: &str| u8::from_str_radix(digits.get(..2)?, 16).ok();
    text.split("\\x").skip(1).filter_map(byte).collect()
}

fn count_of(bytes: &[u8], part: &[u8]) -> usize {
    bytes.windows(part.len()).filter(|window| *window == part).count()
}

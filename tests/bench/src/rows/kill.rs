//! What is lost of what was called saved, when the server is killed while people type?

use super::{Bench, each};
use crate::Outcome;
use crate::crowd::{Cast, Crowd};
use crate::ledger::Memo;
use crate::report::{Table, count};
use crate::server::{Kind, Server};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use std::time::Duration;
use tempfile::TempDir;

const KILLS: usize = 50;
const QUICK_KILLS: usize = 10;

/// For a server that keeps nothing, more would prove nothing.
const KILLS_OF_OTHERS: usize = 3;

const WRITERS: usize = 4;

/// Edits a second of each writer.
const RATE: f64 = 50.0;

/// When the kill comes, in milliseconds after the first edit.
const TYPING: std::ops::Range<u64> = 50..400;

/// Until every client has noticed.
const NOTICE: Duration = Duration::from_secs(10);

const AT_ONCE: u32 = 10_000;

struct Run {
    kills: usize,
    acknowledged: u64,
    lost: u64,
}

pub(super) fn run(bench: &Bench) -> Outcome<Table> {
    let title =
        "kill: `kill -9` while 4 clients type, one document for each kill; read after the last one";
    let mut table = Table::new(title, &["kills", "edits acknowledged", "of these lost"]);
    let ours = if bench.quick { QUICK_KILLS } else { KILLS };
    let kinds = [Kind::Commonplace, Kind::CommonplaceYWebsocket, Kind::Hocuspocus];
    let measured = each(bench, &mut table, &kinds, |kind| {
        let kills = match kind {
            Kind::Commonplace => ours,
            Kind::CommonplaceYWebsocket => ours / 5,
            Kind::Hocuspocus | Kind::YWebsocket | Kind::YSweet | Kind::Relay => KILLS_OF_OTHERS,
        };
        measure(kind, kills, bench)
    });
    for (kind, run) in &measured {
        table.add(*kind, vec![count(run.kills as u64), count(run.acknowledged), count(run.lost)]);
        if matches!(kind, Kind::Commonplace | Kind::CommonplaceYWebsocket) {
            table.remark(match run.lost {
                0 => format!(
                    "{} met its target: nothing that was acknowledged is lost.",
                    kind.name()
                ),
                lost => format!(
                    "{} MISSED its target: {lost} acknowledged edits are lost.",
                    kind.name()
                ),
            });
        }
    }
    Ok(table)
}

fn cast(kill: usize, clients: usize, keep: bool) -> Cast {
    let name = format!("kill-{kill}");
    Cast { name, rooms: 1, clients, writers: WRITERS, rate: RATE, cursors: false, keep }
}

fn measure(kind: Kind, kills: usize, bench: &Bench) -> Outcome<Run> {
    let folder = TempDir::new()?;
    let mut random = StdRng::seed_from_u64(1);
    let mut saved = Vec::new();
    for kill in 0..kills {
        let server = Server::start_in(kind, bench.cores, folder.path(), &[])?;
        let mut crowd = Crowd::new(&server.endpoint, cast(kill, WRITERS + 1, false))?;
        crowd.gather(AT_ONCE)?;
        crowd.begin_texts()?;
        crowd.start_typing();
        crowd.run_for(Duration::from_millis(random.random_range(TYPING)))?;
        server.kill()?;
        // What was said before the end is still read.
        crowd.run_until(NOTICE, |crowd| {
            crowd.clients().iter().all(|client| client.ended.is_some())
        })?;
        let writers = crowd.clients().iter().take(WRITERS);
        saved.push(writers.map(|client| client.saved).collect::<Vec<u32>>());
    }
    let server = Server::start_in(kind, bench.cores, folder.path(), &[])?;
    let mut run = Run { kills, acknowledged: 0, lost: 0 };
    for (kill, saved) in saved.into_iter().enumerate() {
        let mut reader = Crowd::new(&server.endpoint, cast(kill, 1, true))?;
        reader.gather(AT_ONCE)?;
        let mut there = [0; WRITERS];
        for update in reader.clients()[0].kept.iter().flatten() {
            for span in Memo::default().spans(update)?.iter().filter(|span| span.seat < WRITERS) {
                there[span.seat] = there[span.seat].max(span.end);
            }
        }
        for (saved, there) in saved.into_iter().zip(there) {
            run.acknowledged += u64::from(saved);
            run.lost += u64::from(saved.saturating_sub(there));
        }
    }
    Ok(run)
}

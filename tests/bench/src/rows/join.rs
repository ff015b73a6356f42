//! What does it cost when everybody opens a document with a long history at once?

use super::{Bench, each, met, of};
use crate::Outcome;
use crate::clock::now;
use crate::crowd::{Cast, Crowd};
use crate::history::History;
use crate::machine::cpu_of;
use crate::report::{Table, count, number};
use crate::server::{Kind, Server};
use std::time::Duration;

const EDITS: usize = 260_000;
const JOINERS: usize = 50;

/// Waves of joiners; between two of them somebody types, so that what was encoded for one is not what the next one needs.
const WAVES: usize = 5;
const QUICK_WAVES: usize = 2;

/// In the same millisecond.
const AT_ONCE: u32 = 1_000_000;

/// Until a server has taken in the whole history.
const TAKE_IN: Duration = Duration::from_secs(90);

/// Between two looks whether it has.
const LOOK: Duration = Duration::from_millis(500);

/// What each joiner may cost. Milliseconds of CPU.
const GOAL_CPU_MS: f64 = 0.4;

struct Run {
    cpu_ms: f64,
    waits_ms: Vec<f64>,
    wrong: usize,
    kib: f64,
    peak_mib: u64,
}

pub(super) fn run(bench: &Bench) -> Outcome<Table> {
    eprintln!("  writing {EDITS} edits …");
    let history = History::write(EDITS)?;
    let waves = if bench.quick { QUICK_WAVES } else { WAVES };
    let title = format!(
        "join: {JOINERS} at once join a document of {} edits ({}), {waves} times",
        count(history.edits as u64),
        history.source
    );
    let columns = [
        "ms CPU each",
        "× hocuspocus",
        "p50 ms",
        "max ms",
        "wrong",
        "KiB received each",
        "peak MiB",
    ];
    let mut table = Table::new(&title, &columns);
    let kinds = [
        Kind::Hocuspocus,
        Kind::Commonplace,
        Kind::CommonplaceYWebsocket,
        Kind::YWebsocket,
        Kind::YSweet,
    ];
    let measured = each(bench, &mut table, &kinds, |kind| measure(kind, &history, waves, bench));
    let base = of(&measured, Kind::Hocuspocus).map(|run| run.cpu_ms);
    for (kind, run) in &measured {
        let cells = vec![
            number(run.cpu_ms),
            base.map_or("–".to_owned(), |base| number(run.cpu_ms / base)),
            number(run.waits_ms[run.waits_ms.len() / 2]),
            number(run.waits_ms[run.waits_ms.len() - 1]),
            count(run.wrong as u64),
            number(run.kib),
            count(run.peak_mib),
        ];
        table.add(*kind, cells);
    }
    for ours in [Kind::Commonplace, Kind::CommonplaceYWebsocket] {
        let Some(run) = of(&measured, ours) else { continue };
        if run.wrong > 0 {
            table.remark(format!(
                "{} MISSED its target: {} joiners got another text.",
                ours.name(),
                run.wrong
            ));
        }
        table.remark(format!(
            "{}: at most {GOAL_CPU_MS} ms of CPU for each is {}.",
            ours.name(),
            met(run.cpu_ms <= GOAL_CPU_MS)
        ));
    }
    Ok(table)
}

fn cast(clients: usize, writers: usize, keep: bool) -> Cast {
    Cast { name: "join".to_owned(), rooms: 1, clients, writers, rate: 1.0, cursors: false, keep }
}

fn measure(kind: Kind, history: &History, waves: usize, bench: &Bench) -> Outcome<Run> {
    let server = Server::start(kind, bench.cores)?;
    let mut authors = Crowd::new(&server.endpoint, cast(2, 1, false))?;
    authors.gather(AT_ONCE)?;
    authors.begin_texts()?;
    for update in &history.updates {
        authors.send_update(1, update, 0)?;
    }
    let since = now();
    loop {
        authors.run_for(LOOK)?;
        let mut reader = Crowd::new(&server.endpoint, cast(1, 0, true))?;
        reader.gather(AT_ONCE)?;
        let updates = reader.clients()[0].kept.as_deref().unwrap_or_default();
        if History::read(updates).is_ok_and(|text| text == history.text) {
            break;
        }
        if since.elapsed() > TAKE_IN {
            return Err("it has not taken in the whole history".into());
        }
    }
    let mut run = Run { cpu_ms: 0.0, waits_ms: Vec::new(), wrong: 0, kib: 0.0, peak_mib: 0 };
    for _ in 0..waves {
        authors.type_one(0)?;
        authors.run_for(LOOK)?;
        let mut joiners = Crowd::new(&server.endpoint, cast(JOINERS, 0, true))?;
        let before = cpu_of(server.pid)?;
        joiners.gather(AT_ONCE)?;
        run.cpu_ms += (cpu_of(server.pid)? - before).as_secs_f64() * 1e3;
        let mut right: Option<&[Box<[u8]>]> = None;
        for client in joiners.clients() {
            run.waits_ms.push(client.synced_after.unwrap_or_default() as f64 / 1e6);
            let got = client.kept.as_deref().unwrap_or_default();
            run.kib += got.iter().map(|update| update.len()).sum::<usize>() as f64 / 1024.0;
            // Mostly all get the same bytes: those are read once.
            if right == Some(got) {
                continue;
            }
            if History::read(got).is_ok_and(|text| text == history.text) {
                right = Some(got);
            } else {
                run.wrong += 1;
            }
        }
    }
    let joins = (waves * JOINERS) as f64;
    run.cpu_ms /= joins;
    run.kib /= joins;
    run.waits_ms.sort_by(f64::total_cmp);
    run.peak_mib = server.memory()?.peak / 1024 / 1024;
    Ok(run)
}

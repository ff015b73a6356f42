//! What does somebody cost who does nothing?

use super::{Bench, each, met, of};
use crate::Outcome;
use crate::crowd::{Cast, Crowd};
use crate::machine::{cpu_of, raise_file_limit};
use crate::report::{Table, count, number};
use crate::server::{Kind, Server};
use std::time::Duration;

const DOCUMENTS: usize = 80;

/// In each document.
const CLIENTS: usize = 100;

/// In a quick run.
const QUICK_CLIENTS: usize = 25;

/// Fewer a second than our server lets in.
const ARRIVALS: u32 = 450;

/// Before memory is looked at, at the beginning and at the end.
const QUIET: Duration = Duration::from_secs(2);

/// Descriptors for everything but the clients.
const OTHER_FILES: u64 = 200;

/// What one idle connection may cost. KiB.
const GOAL_KIB: f64 = 8.0;

/// What it may cost to come in and sync. µs of CPU.
const GOAL_MICROS: f64 = 150.0;

struct Run {
    kib: f64,
    micros: f64,
    peak_mib: u64,
    /// What all of them together cost while nothing happens, in thousandths of a core.
    idle: f64,
}

pub(super) fn run(bench: &Bench) -> Outcome<Table> {
    let wanted = if bench.quick { QUICK_CLIENTS } else { CLIENTS };
    let possible = raise_file_limit()?.saturating_sub(OTHER_FILES) as usize / DOCUMENTS;
    let clients = wanted.min(possible);
    let title = format!(
        "idle: {} connections in {DOCUMENTS} documents",
        count((clients * DOCUMENTS) as u64)
    );
    let columns = [
        "KiB each",
        "× hocuspocus",
        "µs CPU to connect and sync",
        "× hocuspocus",
        "‰ of a core at rest",
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
    let measured = each(bench, &mut table, &kinds, |kind| measure(kind, clients, bench));
    let base = of(&measured, Kind::Hocuspocus);
    let ratio =
        |own: f64, base: Option<f64>| base.map_or("–".to_owned(), |base| number(own / base));
    for (kind, run) in &measured {
        let cells = vec![
            number(run.kib),
            ratio(run.kib, base.map(|base| base.kib)),
            number(run.micros),
            ratio(run.micros, base.map(|base| base.micros)),
            number(run.idle),
            count(run.peak_mib),
        ];
        table.add(*kind, cells);
    }
    for ours in [Kind::Commonplace, Kind::CommonplaceYWebsocket] {
        if let Some(run) = of(&measured, ours) {
            table.remark(format!(
                "{}: at most {GOAL_KIB} KiB each is {}; at most {GOAL_MICROS} µs of CPU to come in is {}.",
                ours.name(),
                met(run.kib <= GOAL_KIB),
                met(run.micros <= GOAL_MICROS)
            ));
        }
    }
    if clients < wanted {
        table.remark(format!(
            "The limit of open files allows {clients} clients a document and not {wanted}."
        ));
    }
    Ok(table)
}

fn measure(kind: Kind, clients: usize, bench: &Bench) -> Outcome<Run> {
    let server = Server::start(kind, bench.cores)?;
    let cast = |name: &str, rooms, clients| Cast {
        name: name.to_owned(),
        rooms,
        clients,
        writers: 0,
        rate: 0.0,
        cursors: false,
        keep: false,
    };
    // The first ones cost what is paid once.
    let mut first = Crowd::new(&server.endpoint, cast("first", 1, 10))?;
    first.gather(ARRIVALS)?;
    first.run_for(QUIET)?;
    let (memory, cpu) = (server.memory()?, cpu_of(server.pid)?);
    let mut crowd = Crowd::new(&server.endpoint, cast("idle", DOCUMENTS, clients))?;
    crowd.gather(ARRIVALS)?;
    crowd.run_for(QUIET)?;
    let spent = cpu_of(server.pid)? - cpu;
    let resident = server.memory()?;
    let before_rest = cpu_of(server.pid)?;
    crowd.run_for(QUIET)?;
    let rest = (cpu_of(server.pid)? - before_rest).as_secs_f64() / QUIET.as_secs_f64();
    let n = (DOCUMENTS * clients) as f64;
    Ok(Run {
        kib: resident.resident.saturating_sub(memory.resident) as f64 / 1024.0 / n,
        micros: spent.as_secs_f64() * 1e6 / n,
        peak_mib: resident.peak / 1024 / 1024,
        idle: rest * 1000.0,
    })
}

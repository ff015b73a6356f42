//! What does an edit cost while people type?

use super::{Bench, each, load_warning, met, of};
use crate::Outcome;
use crate::crowd::{Cast, Crowd, Figures};
use crate::machine::Memory;
use crate::report::{Table, count, number};
use crate::server::{Kind, Server};
use std::time::Duration;

/// Clients that come in a second: fewer than our server lets in, so that nobody has to come twice.
const ARRIVALS: u32 = 450;

/// Before it counts: buffers and code warm up. Seconds.
const WARM_UP: u64 = 2;

/// While it counts. Seconds.
const WINDOW: u64 = 8;

/// The same in a quick run.
const QUICK_WINDOW: u64 = 3;

/// How long nothing may arrive before what is missing is called missing.
const SETTLE: Duration = Duration::from_secs(5);

/// Falls behind by minutes in a plenary; that it is spared is told.
const NOT_IN_PLENARY: [Kind; 1] = [Kind::YWebsocket];

/// One of the rows in which people type, and what it is called.
#[must_use]
pub fn cast(work: &str) -> Option<(Cast, &'static str)> {
    let (rooms, clients, writers, rate, cursors, title) = match work {
        "small" => {
            (1, 50, 5, 5.0, true, "50 clients, 5 writers × 5 edits/s, a cursor with each edit")
        }
        "group" => (1, 100, 20, 10.0, false, "100 clients, 20 writers × 10 edits/s"),
        "busy" => (1, 200, 40, 10.0, false, "200 clients, 40 writers × 10 edits/s"),
        "many" => (
            100,
            5,
            2,
            2.0,
            true,
            "100 documents × 5 clients, 2 writers × 2 edits/s each, a cursor with each edit",
        ),
        "plenary" => (
            1,
            1000,
            200,
            5.0,
            false,
            "1,000 clients, 200 writers × 5 edits/s: a million deliveries a second",
        ),
        _ => return None,
    };
    Some((
        Cast { name: work.to_owned(), rooms, clients, writers, rate, cursors, keep: false },
        title,
    ))
}

/// What a server did, and what it held while it did.
#[derive(Clone, Debug)]
struct Run {
    /// What was counted.
    figures: Figures,
    /// The server's memory at the end.
    memory: Memory,
}

pub(super) fn run(work: &str, bench: &Bench) -> Outcome<Table> {
    let (cast, title) = cast(work).ok_or_else(|| format!("there is no row {work}"))?;
    let columns = [
        "µs CPU / delivery",
        "× hocuspocus",
        "p50 ms",
        "p99 ms",
        "missing",
        "twice",
        "deliveries/s",
        "edits / frame",
        "core",
        "load",
        "MiB",
    ];
    let mut table = Table::new(&format!("{work}: {title}"), &columns);
    // Whoever asks for one of them by name gets it.
    let spares = work == "plenary" && bench.servers.is_none();
    let spared = |kind: &Kind| spares && NOT_IN_PLENARY.contains(kind);
    let kinds: Vec<Kind> = Kind::ALL.into_iter().filter(|kind| !spared(kind)).collect();
    let window = Duration::from_secs(if bench.quick { QUICK_WINDOW } else { WINDOW });
    let measured = each(bench, &mut table, &kinds, |kind| {
        let server = Server::start(kind, bench.cores)?;
        measure(&server, cast.clone(), window)
    });
    let base = of(&measured, Kind::Hocuspocus).map(|run| run.figures.micros_each());
    for (kind, Run { figures, memory }) in &measured {
        let each = figures.micros_each();
        table.add(
            *kind,
            vec![
                number(each),
                base.map_or("–".to_owned(), |base| number(each / base)),
                number(figures.p50_ms),
                number(figures.p99_ms),
                count(figures.missing),
                count(figures.duplicated),
                count((figures.delivered as f64 / figures.seconds) as u64),
                number(figures.delivered as f64 / figures.updates.max(1) as f64),
                number(figures.busy().0),
                number(figures.busy().1),
                count(memory.peak / 1024 / 1024),
            ],
        );
        if let Some(why) = &figures.why {
            table.remark(format!(
                "{}: {} clients were lost on the way ({why}).",
                kind.name(),
                figures.ended
            ));
        }
        if let Some(warning) = load_warning(*kind, figures) {
            table.remark(warning);
        }
    }
    verdict(&mut table, work, &measured);
    if spares {
        table.remark(
            "y-websocket is left out: it falls behind by minutes (SERVERS=y-websocket tries it)."
                .to_owned(),
        );
    }
    Ok(table)
}

/// A server, and people who type.
fn measure(server: &Server, cast: Cast, window: Duration) -> Outcome<Run> {
    let mut crowd = Crowd::new(&server.endpoint, cast)?;
    crowd.gather(ARRIVALS)?;
    crowd.begin_texts()?;
    crowd.start_typing();
    crowd.run_for(Duration::from_secs(WARM_UP))?;
    crowd.open_window(server.pid)?;
    crowd.run_for(window)?;
    crowd.close_window(server.pid)?;
    crowd.stop_typing();
    let memory = server.memory()?;
    Ok(Run { figures: crowd.settle(SETTLE)?, memory })
}

/// What is wanted: this share of Hocuspocus' CPU for each delivery, and this many times its p99.
const fn goal(work: &str) -> (f64, Option<f64>) {
    match work.as_bytes() {
        b"group" => (0.4, Some(1.5)),
        b"busy" => (0.35, Some(1.5)),
        b"plenary" => (0.4, Some(0.5)),
        _ => (0.3, None),
    }
}

/// Every edit exactly once, and for little of what Hocuspocus needs in the same run.
fn verdict(table: &mut Table, work: &str, measured: &[(Kind, Run)]) {
    let is_whole =
        |figures: &Figures| figures.missing + figures.duplicated == 0 && figures.ended == 0;
    let (cpu_goal, p99_goal) = goal(work);
    for ours in [Kind::Commonplace, Kind::CommonplaceYWebsocket] {
        let Some(Run { figures, .. }) = of(measured, ours) else { continue };
        let name = ours.name();
        if !is_whole(figures) {
            table.remark(format!(
                "{name} MISSED its target: {} edits are missing, {} came twice, {} clients were lost.",
                figures.missing, figures.duplicated, figures.ended
            ));
        }
        let Some(Run { figures: base, .. }) = of(measured, Kind::Hocuspocus) else { continue };
        let cpu = figures.micros_each() / base.micros_each();
        table.remark(format!(
            "{name}: {cpu:.2} of hocuspocus' CPU; at most {cpu_goal} is {}.",
            met(cpu <= cpu_goal)
        ));
        if let Some(p99_goal) = p99_goal {
            let p99 = figures.p99_ms / base.p99_ms;
            table.remark(format!(
                "{name}: {p99:.2} times hocuspocus' p99; at most {p99_goal} is {}.",
                met(p99 <= p99_goal)
            ));
        }
    }
}

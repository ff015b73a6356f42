//! How long does it take until an edit is saved?

use super::redis::Redis;
use super::{Bench, each, met};
use crate::Outcome;
use crate::crowd::{Cast, Crowd, Figures};
use crate::report::{Table, count, number};
use crate::server::{Kind, Server, program};
use std::process::Command;
use std::time::Duration;
use tempfile::TempDir;

/// Two in each document, one of them writes.
const DOCUMENTS: usize = 10;

/// Edits a second of each writer: 200 in all.
const RATE: f64 = 20.0;

const ARRIVALS: u32 = 450;
const WARM_UP: Duration = Duration::from_secs(2);
const WINDOW: Duration = Duration::from_secs(8);
const QUICK_WINDOW: Duration = Duration::from_secs(3);
const SETTLE: Duration = Duration::from_secs(5);

/// Nearly all acknowledgements come within this. Milliseconds.
const GOAL_P99_MS: f64 = 25.0;

pub(super) fn run(bench: &Bench) -> Outcome<Table> {
    let title = "ack: 200 edits/s in 10 documents, from send to \"saved\"";
    let columns =
        ["what it means", "p50 ms", "p99 ms", "edits", "of these acknowledged", "µs CPU each"];
    let mut table = Table::new(title, &columns);
    let kinds = [Kind::Hocuspocus, Kind::Commonplace, Kind::CommonplaceYWebsocket, Kind::YSweet];
    let measured = each(bench, &mut table, &kinds, |kind| {
        let server = Server::start(kind, bench.cores)?;
        Ok((measure(&server, bench)?, 0.0))
    });
    for (kind, figures) in &measured {
        add(&mut table, *kind, meaning(*kind), figures);
    }
    if bench.wanted(&[Kind::Commonplace]).is_empty() {
        return Ok(table);
    }
    if !knows_redis()? {
        table.remark(
            "The built commonplace does not know --redis: that line is left out.".to_owned(),
        );
        return Ok(table);
    }
    eprintln!("  commonplace with Redis …");
    match with_redis(bench) {
        Ok(figures) => {
            add(&mut table, Kind::Commonplace, "fsync (Redis, appendfsync always)", &figures)
        }
        Err(why) => table.add_failure(Kind::Commonplace, &format!("with Redis: {why}")),
    }
    Ok(table)
}

const fn meaning(kind: Kind) -> &'static str {
    match kind {
        Kind::Commonplace | Kind::CommonplaceYWebsocket => "fsync (SQLite)",
        Kind::Hocuspocus => "received; stored later",
        Kind::YWebsocket | Kind::YSweet | Kind::Relay => "received",
    }
}

fn add(table: &mut Table, kind: Kind, meaning: &str, (figures, others): &(Figures, f64)) {
    let each = (figures.server_cpu.as_secs_f64() + others) * 1e6 / figures.sent.max(1) as f64;
    table.add(
        kind,
        vec![
            meaning.to_owned(),
            number(figures.ack_p50_ms),
            number(figures.ack_p99_ms),
            count(figures.sent),
            count(figures.acks),
            number(each),
        ],
    );
    if kind == Kind::Commonplace {
        table.remark(format!(
            "{} with {meaning}: p99 within {GOAL_P99_MS} ms is {}.",
            kind.name(),
            met(figures.ack_p99_ms <= GOAL_P99_MS)
        ));
        if figures.acks < figures.sent {
            table.remark(format!(
                "{} MISSED its target: {} edits were never acknowledged.",
                kind.name(),
                figures.sent - figures.acks
            ));
        }
    }
}

fn measure(server: &Server, bench: &Bench) -> Outcome<Figures> {
    let name = "ack".to_owned();
    let cast = Cast {
        name,
        rooms: DOCUMENTS,
        clients: 2,
        writers: 1,
        rate: RATE,
        cursors: false,
        keep: false,
    };
    let mut crowd = Crowd::new(&server.endpoint, cast)?;
    crowd.gather(ARRIVALS)?;
    crowd.begin_texts()?;
    crowd.start_typing();
    crowd.run_for(WARM_UP)?;
    crowd.open_window(server.pid)?;
    crowd.run_for(if bench.quick { QUICK_WINDOW } else { WINDOW })?;
    crowd.close_window(server.pid)?;
    crowd.stop_typing();
    crowd.settle(SETTLE)?;
    // Everything has arrived; the last acknowledgements may still be under way.
    crowd.run_until(SETTLE, |crowd| {
        crowd.clients().iter().all(|client| client.unacknowledged.is_empty())
    })?;
    crowd.settle(SETTLE)
}

fn knows_redis() -> Outcome<bool> {
    let help = Command::new(program()?).args(["serve", "--help"]).output()?;
    Ok(String::from_utf8_lossy(&help.stdout).contains("--redis"))
}

fn with_redis(bench: &Bench) -> Outcome<(Figures, f64)> {
    let redis = Redis::start(bench.cores)?;
    let folder = TempDir::new()?;
    let words = ["--redis", &redis.url(), "--durability", "fsync"].map(str::to_owned);
    let server = Server::start_in(Kind::Commonplace, bench.cores, folder.path(), &words)?;
    let before = redis.cpu()?;
    let figures = measure(&server, bench)?;
    // Redis is busy a little longer than the window is open; that is on the safe side.
    Ok((figures, (redis.cpu()? - before).as_secs_f64()))
}

//! `commonplace-bench`: what does an edit cost, here and elsewhere?

use commonplace_bench::Outcome;
use commonplace_bench::crowd::{Cast, Crowd};
use commonplace_bench::machine::{Cores, pin, raise_file_limit};
use commonplace_bench::server::{Kind, Server};
use std::time::Duration;

fn main() -> Outcome<()> {
    let cores = Cores::choose()?;
    pin(cores.load)?;
    raise_file_limit()?;
    let args: Vec<String> = std::env::args().skip(1).collect();
    let work = args.first().map_or("group", String::as_str);
    let kind = match args.get(1).map(String::as_str) {
        Some("hocuspocus") => Kind::Hocuspocus,
        Some("yws") => Kind::YWebsocket,
        Some("ours-yws") => Kind::CommonplaceYWebsocket,
        _ => Kind::Commonplace,
    };
    let (rooms, clients, writers, rate, cursors) = match work {
        "small" => (1, 50, 5, 5.0, true),
        "group" => (1, 100, 20, 10.0, false),
        "busy" => (1, 200, 40, 10.0, false),
        "many" => (100, 5, 2, 2.0, true),
        _ => (1, 1000, 200, 5.0, false),
    };
    let cast = Cast { name: work.to_owned(), rooms, clients, writers, rate, cursors, keep: false };
    let server = Server::start(kind, cores)?;
    let mut crowd = Crowd::new(&server.endpoint, cast)?;
    crowd.gather(450)?;
    crowd.begin_texts()?;
    crowd.start_typing();
    crowd.run_for(Duration::from_secs(2))?;
    crowd.open_window(server.pid)?;
    crowd.run_for(Duration::from_secs(8))?;
    crowd.close_window(server.pid)?;
    crowd.stop_typing();
    let figures = crowd.settle(Duration::from_secs(5))?;
    let (busy, load) = figures.busy();
    println!(
        "{figures:#?}\n{:.2} µs each; server {busy:.2}, load {load:.2} of a core, {:?}",
        figures.micros_each(),
        server.memory()?
    );
    Ok(())
}

//! `commonplace-bench`: does the rows that are asked for, prints them, and writes down a whole run.

use commonplace_bench::machine::{Cores, Neighbours, describe, pin, raise_file_limit};
use commonplace_bench::rows::{Bench, WORKS, run};
use commonplace_bench::server::Kind;
use commonplace_bench::{Outcome, profile, relay, report};
use std::env;

fn main() -> Outcome<()> {
    let words: Vec<String> = env::args().skip(1).collect();
    if let [first, address] = words.as_slice()
        && first == "relay"
    {
        return relay::serve(address.parse()?);
    }
    let cores = Cores::choose()?;
    pin(cores.load)?;
    raise_file_limit()?;
    if cores.are_one() {
        eprintln!(
            "There is only one core: the load takes time from the servers, and latencies mean little."
        );
    }
    let bench = Bench { cores, quick: is_set("QUICK"), servers: servers()? };
    if let [first, works @ ..] = words.as_slice()
        && first == "profile"
    {
        for work in works {
            let words = profile::run(work, &bench)?;
            println!("{work}: {words}");
            report::write_profile(work, &words)?;
        }
        return Ok(());
    }
    let is_whole = words.is_empty() && bench.servers.is_none();
    let works: Vec<&str> =
        if words.is_empty() { WORKS.to_vec() } else { words.iter().map(String::as_str).collect() };
    println!("{}\n", describe());
    let neighbours = Neighbours::watch()?;
    let mut tables = Vec::new();
    for work in works {
        eprintln!("{work}");
        let table = run(work, &bench)?;
        println!("{}", table.markdown());
        tables.push(table);
    }
    if is_whole {
        let command = if bench.quick { "make bench QUICK=1" } else { "make bench" };
        report::write(&tables, command, neighbours.cores()?)?;
    }
    Ok(())
}

/// The servers that `SERVERS` names, separated by commas.
fn servers() -> Outcome<Option<Vec<Kind>>> {
    let Some(named) = env::var("SERVERS").ok().filter(|named| !named.is_empty()) else {
        return Ok(None);
    };
    let find = |name: &str| {
        let found = Kind::ALL.into_iter().find(|kind| kind.name() == name.trim());
        let known: Vec<&str> = Kind::ALL.iter().map(|kind| kind.name()).collect();
        found.ok_or_else(|| format!("{name:?} is none of: {}", known.join(", ")))
    };
    Ok(Some(named.split(',').map(find).collect::<Result<_, _>>()?))
}

fn is_set(name: &str) -> bool {
    env::var(name).is_ok_and(|value| !value.is_empty() && value != "0")
}

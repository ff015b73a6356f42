//! `commonplace-bench`: does the rows that are asked for, prints them, and writes down a whole run.

use commonplace_bench::machine::{Cores, describe, pin, raise_file_limit};
use commonplace_bench::rows::{Bench, WORKS, run};
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
    let bench = Bench { cores, quick: is_set("QUICK") };
    if let [first, works @ ..] = words.as_slice()
        && first == "profile"
    {
        for work in works {
            let words = profile::run(work, bench)?;
            println!("{work}: {words}");
            report::write_profile(work, &words)?;
        }
        return Ok(());
    }
    let is_whole = words.is_empty();
    let works: Vec<&str> =
        if is_whole { WORKS.to_vec() } else { words.iter().map(String::as_str).collect() };
    println!("{}\n", describe());
    let mut tables = Vec::new();
    for work in works {
        eprintln!("{work}");
        let table = run(work, bench)?;
        println!("{}", table.markdown());
        tables.push(table);
    }
    if is_whole {
        let command = if bench.quick { "make bench QUICK=1" } else { "make bench" };
        report::write(&tables, command)?;
    }
    Ok(())
}

fn is_set(name: &str) -> bool {
    env::var(name).is_ok_and(|value| !value.is_empty() && value != "0")
}

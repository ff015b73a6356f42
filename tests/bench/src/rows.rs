//! What is measured? The rows of the table, in the order in which they run.

mod ack;
mod idle;
mod join;
mod kill;
mod redis;
mod typing;

pub use typing::cast as typing_cast;

use crate::machine::Cores;
use crate::report::Table;
use crate::server::{Kind, obstacle};
use crate::{Outcome, crowd::Figures};

/// How a run is made.
#[derive(Clone, Debug)]
pub struct Bench {
    /// Which core is whose.
    pub cores: Cores,
    /// A shorter run, for a first look.
    pub quick: bool,
    /// Who is measured, if not everybody.
    pub servers: Option<Vec<Kind>>,
}

impl Bench {
    /// Of these, the ones that are asked for.
    fn wanted(&self, kinds: &[Kind]) -> Vec<Kind> {
        let is_wanted =
            |kind: &&Kind| self.servers.as_ref().is_none_or(|servers| servers.contains(kind));
        kinds.iter().filter(is_wanted).copied().collect()
    }
}

/// All rows.
pub const WORKS: [&str; 9] =
    ["small", "group", "busy", "many", "plenary", "idle", "join", "ack", "kill"];

/// Does one row.
pub fn run(work: &str, bench: &Bench) -> Outcome<Table> {
    match work {
        "idle" => idle::run(bench),
        "join" => join::run(bench),
        "ack" => ack::run(bench),
        "kill" => kill::run(bench),
        work => typing::run(work, bench),
    }
}

/// Measures each server that can be measured here; one that fails gets a line that says so.
fn each<T>(
    bench: &Bench,
    table: &mut Table,
    kinds: &[Kind],
    mut measure: impl FnMut(Kind) -> Outcome<T>,
) -> Vec<(Kind, T)> {
    let mut measured = Vec::new();
    for kind in bench.wanted(kinds) {
        eprintln!("  {} …", kind.name());
        if let Some(why) = obstacle(kind) {
            table.add_failure(kind, why);
            continue;
        }
        match measure(kind) {
            Ok(result) => measured.push((kind, result)),
            Err(why) => table.add_failure(kind, &why.to_string()),
        }
    }
    measured
}

/// How a goal fared.
const fn met(is_met: bool) -> &'static str {
    if is_met { "met" } else { "MISSED" }
}

/// What one server has to be compared with.
fn of<T>(measured: &[(Kind, T)], kind: Kind) -> Option<&T> {
    measured.iter().find_map(|(of, result)| (*of == kind).then_some(result))
}

/// What a load that does not keep up makes of latencies.
fn load_warning(kind: Kind, figures: &Figures) -> Option<String> {
    let (_, load) = figures.busy();
    (load > 0.9).then(|| {
        format!(
            "{}: the load used {:.0} % of its core, so latencies are upper bounds.",
            kind.name(),
            load * 100.0
        )
    })
}

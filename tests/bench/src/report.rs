//! How are the results told? One table for each kind of work, and in words whether it is what it should be.

use crate::clock::today;
use crate::server::{Kind, obstacle, program, root};
use crate::{Outcome, machine};
use std::fmt::Write;
use std::fs;
use std::process::Command;

/// Where whole runs are written down.
const RESULTS: &str = "tests/bench/RESULTS.md";

/// What others may use of the machine before results suffer. Cores.
const QUIET: f64 = 0.1;

/// Begins the part that other commands write.
const PROFILES: &str = "## Where a core goes";

/// The results of one kind of work.
#[derive(Clone, Debug, Default)]
pub struct Table {
    /// What was done.
    pub title: String,
    /// What the columns say.
    pub columns: Vec<&'static str>,
    /// A server in each line.
    pub lines: Vec<Vec<String>>,
    /// In words: what was met and what was missed.
    pub remarks: Vec<String>,
}

impl Table {
    /// An empty table.
    #[must_use]
    pub fn new(title: &str, columns: &[&'static str]) -> Self {
        let columns = [&["server"], columns].concat();
        Self { title: title.to_owned(), columns, ..Self::default() }
    }

    /// A line for this server.
    pub fn add(&mut self, kind: Kind, cells: Vec<String>) {
        self.lines.push([vec![kind.name().to_owned()], cells].concat());
    }

    /// A line for a server that could not do it.
    pub fn add_failure(&mut self, kind: Kind, why: &str) {
        self.remarks.push(format!("{}: {why}.", kind.name()));
        let dashes = vec!["–".to_owned(); self.columns.len() - 1];
        self.add(kind, dashes);
    }

    /// A sentence below.
    pub fn remark(&mut self, words: String) {
        self.remarks.push(words);
    }

    /// As Markdown, in columns that also line up on a terminal.
    #[must_use]
    pub fn markdown(&self) -> String {
        let header: Vec<String> = self.columns.iter().map(|&name| name.to_owned()).collect();
        let rows = || std::iter::once(&header).chain(&self.lines);
        let width =
            |n: usize| rows().filter_map(|row| row.get(n)).map(|cell| cell.chars().count()).max();
        let widths: Vec<usize> = (0..header.len()).map(|n| width(n).unwrap_or_default()).collect();
        let mut out = format!("### {}\n\n", self.title);
        for (number, row) in rows().enumerate() {
            for (n, (cell, width)) in row.iter().zip(&widths).enumerate() {
                let pad = " ".repeat(width - cell.chars().count());
                out.push_str("| ");
                out.push_str(&if n == 0 {
                    format!("{cell}{pad} ")
                } else {
                    format!("{pad}{cell} ")
                });
            }
            out.push_str("|\n");
            if number == 0 {
                for (n, width) in widths.iter().enumerate() {
                    let end = if n == 0 { "-" } else { ":" };
                    out.push_str(&format!("|{}{end}", "-".repeat(width + 1)));
                }
                out.push_str("|\n");
            }
        }
        out.push('\n');
        for remark in &self.remarks {
            out.push_str(&format!("- {remark}\n"));
        }
        out
    }
}

/// A number with as many digits as one can believe.
#[must_use]
pub fn number(value: f64) -> String {
    match value {
        value if !value.is_finite() => "–".to_owned(),
        value if value >= 100.0 => format!("{value:.0}"),
        value if value >= 10.0 => format!("{value:.1}"),
        value if value >= 0.1 || value == 0.0 => format!("{value:.2}"),
        value => format!("{value:.3}"),
    }
}

/// A whole number with its thousands apart.
#[must_use]
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut out = String::new();
    for (n, digit) in digits.chars().enumerate() {
        if n > 0 && (digits.len() - n).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

/// Writes down a whole run; what profiles have said stays.
pub fn write(tables: &[Table], command: &str, neighbours: f64) -> Outcome<()> {
    let path = root().join(RESULTS);
    let before = fs::read_to_string(&path).unwrap_or_default();
    let profiles = before.find(PROFILES).and_then(|at| before.get(at..)).unwrap_or_default();
    let mut out = String::new();
    out.push_str("# What an edit costs\n\n");
    out.push_str(
        "Made by `make bench`; `tests/bench/README.md` says how it is measured. Ratios within one run count, absolute figures are this machine's.\n\n",
    );
    write!(
        out,
        "- Machine: {}\n- Date: {}\n- Command: `{command}`\n",
        machine::describe(),
        today()
    )?;
    write!(out, "- Versions: {}\n\n", versions().join(", "))?;
    if neighbours > QUIET {
        writeln!(
            out,
            "**The machine was not quiet:** other programs used {neighbours:.2} cores meanwhile. Latencies mean little, and servers that merge what waits look cheaper than they are.\n"
        )?;
    }
    out.push_str("## In short\n\n");
    let remarks =
        tables.iter().flat_map(|table| table.remarks.iter().map(move |words| (table, words)));
    let missed: Vec<String> = remarks
        .filter(|(_, words)| words.contains("MISSED"))
        .map(|(table, words)| {
            format!("- {}: {words}\n", table.title.split(':').next().unwrap_or("?"))
        })
        .collect();
    if missed.is_empty() {
        out.push_str("Every target was met.\n");
    }
    out.extend(missed);
    out.push_str("\n## Results\n\n");
    for table in tables {
        writeln!(out, "{}", table.markdown())?;
    }
    out.push_str(profiles);
    Ok(fs::write(path, out)?)
}

/// Writes down where a core goes while this work is done, in place of what was said about it before.
pub fn write_profile(work: &str, words: &str) -> Outcome<()> {
    let path = root().join(RESULTS);
    let before = fs::read_to_string(&path).unwrap_or_default();
    let at = before.find(PROFILES).unwrap_or(before.len());
    let (tables, profiles) = before.split_at(at);
    let mut out = format!("{}\n\n{PROFILES}\n", tables.trim_end());
    let title = format!("### {work}");
    for part in profiles.split("\n### ").skip(1) {
        if part.lines().next() != Some(work) {
            write!(out, "\n### {}\n", part.trim_end())?;
        }
    }
    write!(out, "\n{title}\n\n{}\n", words.trim_end())?;
    Ok(fs::write(path, out)?)
}

/// Who is measured, exactly.
fn versions() -> Vec<String> {
    let said_by = |program: &str, words: &[&str]| {
        let said = Command::new(program).args(words).current_dir(root()).output().ok()?;
        let first = String::from_utf8(said.stdout).ok()?.lines().next()?.trim().to_owned();
        (!first.is_empty()).then_some(first)
    };
    let ours = program().ok().and_then(|path| said_by(&path.to_string_lossy(), &["--version"]));
    let commit = said_by("git", &["rev-parse", "--short", "HEAD"]);
    let mut versions = vec![format!(
        "{} ({})",
        ours.unwrap_or_else(|| "commonplace".to_owned()),
        commit.unwrap_or_else(|| "not a repository".to_owned())
    )];
    let manifest = fs::read_to_string(root().join("tests/bench/peers/package.json"));
    let manifest: serde_json::Value =
        manifest.ok().and_then(|text| serde_json::from_str(&text).ok()).unwrap_or_default();
    for name in ["@hocuspocus/server", "y-websocket"] {
        if let Some(version) = manifest["dependencies"][name].as_str() {
            versions.push(format!("{name} {version}"));
        }
    }
    versions.extend(said_by("node", &["--version"]).map(|version| format!("Node {version}")));
    if obstacle(Kind::YSweet).is_none() {
        versions.push("y-sweet 0.9.1".to_owned());
    }
    versions.extend(said_by("redis-server", &["--version"]).map(|said| {
        let version = said.split("v=").nth(1).and_then(|rest| rest.split(' ').next());
        format!("Redis {}", version.unwrap_or("?"))
    }));
    versions
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_lines_up() {
        let mut table = Table::new("work", &["µs", "p50 ms"]);
        table.add(Kind::Relay, vec![number(1.234), number(0.01234)]);
        table.add_failure(Kind::YSweet, "it did not start");
        let expected = "### work\n\n\
            | server  |   µs | p50 ms |\n\
            |---------|-----:|-------:|\n\
            | relay   | 1.23 |  0.012 |\n\
            | y-sweet |    – |      – |\n\n\
            - y-sweet: it did not start.\n";
        assert_eq!(table.markdown(), expected);
    }

    #[test]
    fn thousands_are_told_apart() {
        for (value, words) in [(0, "0"), (999, "999"), (1_000, "1,000"), (1_234_567, "1,234,567")] {
            assert_eq!(count(value), words);
        }
    }
}

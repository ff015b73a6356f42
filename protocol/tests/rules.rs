//! Does `PROTOCOL.md` still speak of the code beside it?

use commonplace_protocol::close::CloseCode;
use commonplace_protocol::limits;
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

fn here() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn protocol() -> String {
    std::fs::read_to_string(here().join("PROTOCOL.md")).expect("PROTOCOL.md is beside the crate")
}

/// The first two cells of each table row.
fn rows(text: &str) -> impl Iterator<Item = (&str, &str)> {
    text.lines().filter_map(|line| {
        let mut cells = line.strip_prefix("| ")?.split(" | ");
        Some((cells.next()?, cells.next()?))
    })
}

/// Numbers of rules in a text: `P12`, and `p12_` in the names of tests.
fn rule_numbers(text: &str) -> BTreeSet<u32> {
    let mut found = BTreeSet::new();
    let words = text.split(|letter: char| !letter.is_ascii_alphanumeric());
    for word in words {
        let Some(number) = word.strip_prefix(['P', 'p']) else { continue };
        found.extend((number.len() <= 2).then(|| number.parse::<u32>().ok()).flatten());
    }
    found
}

fn sources(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).expect("a readable folder") {
        let path = entry.expect("a readable folder").path();
        let is_source =
            path.extension().is_some_and(|extension| extension == "rs" || extension == "mjs");
        if path.is_dir() && !path.ends_with("node_modules") {
            sources(&path, found);
        } else if is_source {
            found.push(path);
        }
    }
}

#[test]
fn rules_named_in_code_are_written_down() {
    let text = protocol();
    let written: BTreeSet<u32> = text
        .lines()
        .filter_map(|line| line.strip_prefix("- **P")?.split("**").next()?.parse().ok())
        .collect();
    assert!(written.len() > 50, "the rules are read wrongly: {written:?}");
    let mentioned = rule_numbers(&text);
    assert!(mentioned.is_subset(&written), "not written: {:?}", mentioned.difference(&written));
    let mut files = Vec::new();
    for folder in ["src", "tests", "vectors"] {
        sources(&here().join(folder), &mut files);
    }
    for file in files.iter().filter(|file| !file.ends_with("rules.rs")) {
        let named = rule_numbers(&std::fs::read_to_string(file).expect("a readable source"));
        assert!(named.is_subset(&written), "{}: {:?}", file.display(), named.difference(&written));
    }
}

#[test]
fn limits_are_the_published_ones() {
    let text = protocol();
    let published: BTreeSet<(&str, u64)> = rows(&text)
        .filter_map(|(name, value)| {
            Some((name.strip_prefix('`')?.strip_suffix('`')?, value.parse().ok()?))
        })
        .collect();
    let here = [
        ("MAX_DOCUMENT_NAME", limits::MAX_DOCUMENT_NAME),
        ("MAX_SESSION_ID", limits::MAX_SESSION_ID),
        ("MAX_TOKEN", limits::MAX_TOKEN),
        ("MAX_CLIENT_VERSION", limits::MAX_CLIENT_VERSION),
        ("MAX_CLOSE_REASON", limits::MAX_CLOSE_REASON),
        ("MAX_MESSAGE_BEFORE_AUTH", limits::MAX_MESSAGE_BEFORE_AUTH),
        ("MAX_MESSAGE", limits::MAX_MESSAGE),
        ("MAX_INITIAL_SYNC", limits::MAX_INITIAL_SYNC),
        ("MAX_AWARENESS_MESSAGE", limits::MAX_AWARENESS_MESSAGE),
        ("MAX_AWARENESS_STATE", limits::MAX_AWARENESS_STATE),
        ("MAX_AWARENESS_CLOCK", limits::MAX_AWARENESS_CLOCK as usize),
        ("MAX_STATELESS", limits::MAX_STATELESS),
        ("MAX_SYNC_STATUS", limits::MAX_SYNC_STATUS),
        ("MAX_PADDING", limits::MAX_PADDING),
        ("MAX_VALUE_DEPTH", limits::MAX_VALUE_DEPTH),
    ];
    assert_eq!(published, here.map(|(name, value)| (name, value as u64)).into());
}

#[test]
fn p80_close_codes_are_the_published_ones() {
    let text = protocol();
    let published: BTreeSet<u16> = rows(&text).filter_map(|(code, _)| code.parse().ok()).collect();
    assert_eq!(published, CloseCode::ALL.map(|code| code.0).into());
}

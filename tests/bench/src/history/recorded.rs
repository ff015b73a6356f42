//! What do recorded keystrokes say? The format of the public collection `editing-traces`.

use super::{Act, Patch};
use crate::Outcome;
use flate2::read::GzDecoder;
use serde::Deserialize;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

/// Two authors at once, and one alone.
pub(super) const FILES: [&str; 2] = ["friendsforever.json.gz", "rustcode.json.gz"];

#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Recording {
    end_content: String,
    txns: Vec<Txn>,
}

#[derive(Debug, Deserialize)]
struct Txn {
    /// Indices of what this follows. A recording of one author has none.
    parents: Option<Vec<usize>>,
    #[serde(default)]
    agent: usize,
    patches: Vec<(u32, u32, String)>,
}

/// All recordings of a folder.
pub(super) fn read(folder: &Path) -> Outcome<Vec<Vec<Act>>> {
    FILES.iter().map(|file| Ok(acts(open(&folder.join(file))?.txns))).collect()
}

/// One recording, and what its text says in the end.
#[cfg(test)]
pub(super) fn read_one(path: &Path) -> Outcome<(Vec<Act>, String)> {
    let recording = open(path)?;
    Ok((acts(recording.txns), recording.end_content))
}

fn open(path: &Path) -> Outcome<Recording> {
    let recording: Recording =
        serde_json::from_reader(BufReader::new(GzDecoder::new(File::open(path)?)))?;
    let astral = |text: &str| text.chars().any(|c| c.len_utf16() > 1);
    if astral(&recording.end_content) {
        return Err("places in this recording are not counted as Yjs counts them".into());
    }
    Ok(recording)
}

/// An author's own acts follow each other, so what an act has seen is a first part of each author's acts.
fn acts(txns: Vec<Txn>) -> Vec<Act> {
    let mut done = [0, 0];
    // After each transaction: how much of each author's work is known there.
    let mut known: Vec<[usize; 2]> = Vec::with_capacity(txns.len());
    let mut acts = Vec::with_capacity(txns.len());
    for (index, txn) in txns.into_iter().enumerate() {
        let alone = || index.checked_sub(1).into_iter().collect();
        let parents = txn.parents.unwrap_or_else(alone);
        let mut seen = [0, 0];
        for [a, b] in parents.iter().filter_map(|parent| known.get(*parent)) {
            seen = [seen[0].max(*a), seen[1].max(*b)];
        }
        let author = txn.agent % 2;
        let patch = |(at, deleted, inserted)| Patch { at, deleted, inserted };
        acts.push(Act { author, seen, patches: txn.patches.into_iter().map(patch).collect() });
        done[author] += 1;
        seen[author] = done[author];
        known.push(seen);
    }
    acts
}

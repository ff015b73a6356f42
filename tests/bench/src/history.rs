//! How was a long document written? A quarter of a million edits of people, recorded or made up.
//!
//! Where the folder of recorded keystrokes is, these are replayed; elsewhere two made-up authors write in bursts, correct themselves, jump
//! about and paste. Each further replay begins a new text in front of the last one.

mod invented;
mod recorded;

use crate::Outcome;
use crate::server::root;
use std::path::PathBuf;
use yrs::block::ClientID;
use yrs::updates::decoder::Decode;
use yrs::{Doc, GetString, OffsetKind, Options, Text, Transact, Update};

/// The text's name.
const ROOT: &str = "history";

/// The two authors, the first one with the smaller id: where both wrote at one place at once, the recording has the first one's words first.
const AUTHORS: [u64; 2] = [0x2000_0001, 0x2000_0002];

/// Edits that travel in one update. Typed one by one they would cost some of the servers minutes, and the document would be the same.
const EDITS_AN_UPDATE: usize = 500;

/// One edit: at this place, so many characters less, and these more.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Patch {
    at: u32,
    deleted: u32,
    inserted: String,
}

/// What one author did at one moment, and how much of each author's work they had seen (their own included).
#[derive(Clone, Debug)]
struct Act {
    author: usize,
    seen: [usize; 2],
    patches: Vec<Patch>,
}

/// A document and how it came about.
#[derive(Debug)]
pub struct History {
    /// In an order in which they can be applied.
    pub updates: Vec<Vec<u8>>,
    /// What the text says in the end.
    pub text: String,
    /// How many edits that were.
    pub edits: usize,
    /// Where they come from, for the table.
    pub source: &'static str,
}

impl History {
    /// At least so many edits.
    pub fn write(edits: usize) -> Outcome<Self> {
        let folder = recordings();
        let (recordings, source) = match &folder {
            Some(folder) => (recorded::read(folder)?, "recorded keystrokes"),
            None => (vec![invented::write(edits)], "invented keystrokes (seed 1)"),
        };
        let mut pen = Pen::new();
        let mut round = recordings.iter().cycle();
        while pen.edits < edits {
            let acts = round.next().ok_or("there are no recordings")?;
            pen.replay(acts, edits)?;
        }
        Ok(pen.finish(source))
    }

    /// What the text says for somebody who has got these updates.
    pub fn read(updates: &[Box<[u8]>]) -> Outcome<String> {
        let doc = doc(1);
        let text = doc.get_or_insert_text(ROOT);
        let mut transaction = doc.transact_mut();
        for update in updates {
            transaction.apply_update(Update::decode_v1(update)?)?;
        }
        Ok(text.get_string(&transaction))
    }
}

/// The folder named by `BENCH_TRACES`, or the one beside the project.
fn recordings() -> Option<PathBuf> {
    let named = std::env::var_os("BENCH_TRACES").map(PathBuf::from);
    let beside = root().join("../shared/data");
    let folder = named.unwrap_or(beside);
    recorded::FILES.iter().all(|file| folder.join(file).is_file()).then_some(folder)
}

fn doc(client: u64) -> Doc {
    let mut options = Options::with_client_id(ClientID::new(client));
    options.offset_kind = OffsetKind::Utf16;
    Doc::with_options(options)
}

/// Two authors, each with a document of their own.
struct Pen {
    docs: [Doc; 2],
    /// What each author did in this replay, as updates.
    written: [Vec<Vec<u8>>; 2],
    /// How much of the other's work each one has taken in, in this replay.
    taken: [usize; 2],
    waiting: Vec<Vec<u8>>,
    updates: Vec<Vec<u8>>,
    edits: usize,
}

impl Pen {
    fn new() -> Self {
        Self {
            docs: AUTHORS.map(doc),
            written: [Vec::new(), Vec::new()],
            taken: [0, 0],
            waiting: Vec::new(),
            updates: Vec::new(),
            edits: 0,
        }
    }

    fn replay(&mut self, acts: &[Act], enough: usize) -> Outcome<()> {
        for act in acts {
            if self.edits >= enough {
                break;
            }
            let other = 1 - act.author;
            self.take_in(act.author, act.seen[other])?;
            let doc = &self.docs[act.author];
            let text = doc.get_or_insert_text(ROOT);
            let mut transaction = doc.transact_mut();
            for patch in &act.patches {
                text.remove_range(&mut transaction, patch.at, patch.deleted);
                text.insert(&mut transaction, patch.at, &patch.inserted);
            }
            let update = transaction.encode_update_v1();
            drop(transaction);
            self.written[act.author].push(update.clone());
            self.waiting.push(update);
            self.edits += act.patches.len();
            if self.waiting.len() >= EDITS_AN_UPDATE {
                self.pack()?;
            }
        }
        // The next replay begins when both have everything of this one.
        for author in [0, 1] {
            self.take_in(author, self.written[1 - author].len())?;
        }
        self.pack()?;
        self.written = [Vec::new(), Vec::new()];
        self.taken = [0, 0];
        Ok(())
    }

    /// An author takes in the other's work up to this much of it.
    fn take_in(&mut self, author: usize, upto: usize) -> Outcome<()> {
        let from = self.taken[author];
        for update in self.written[1 - author].get(from..upto).unwrap_or_default() {
            self.docs[author].transact_mut().apply_update(Update::decode_v1(update)?)?;
        }
        self.taken[author] = from.max(upto);
        Ok(())
    }

    fn pack(&mut self) -> Outcome<()> {
        if !self.waiting.is_empty() {
            self.updates.push(yrs::merge_updates_v1(&self.waiting)?);
            self.waiting.clear();
        }
        Ok(())
    }

    fn finish(self, source: &'static str) -> History {
        let doc = &self.docs[0];
        let text = doc.get_or_insert_text(ROOT).get_string(&doc.transact());
        History { updates: self.updates, text, edits: self.edits, source }
    }
}

#[cfg(test)]
mod tests;

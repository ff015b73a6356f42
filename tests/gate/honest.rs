//! Honest histories of yrs: several replicas edit and sync in every way there is; nothing is refused, and all agree.

use super::document::{Guarded, new_doc, show, state, state_fingerprint};
use super::hostile::Tally;
use super::workers;
use super::yjs::says;
use commonplace_protocol::update::{merge, parse};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use yrs::types::Attrs;
use yrs::undo::UndoManager;
use yrs::updates::decoder::Decode;
use yrs::{
    Any, Array, ArrayPrelim, ArrayRef, Doc, Map, MapPrelim, MapRef, OffsetKind, Options, Out,
    ReadTxn, Text, TextPrelim, TextRef, Transact, Update, WriteTxn, Xml, XmlElementPrelim,
    XmlFragment, XmlOut, XmlTextPrelim,
};

const HISTORIES: u64 = 2_600;

#[test]
fn what_yrs_sends_passes() {
    let histories = workers::histories(HISTORIES);
    let tally = workers::run("honest::worker", histories);
    println!("{histories} histories, {tally:?}");
    assert_eq!(tally.offered, tally.admitted);
    assert_eq!(tally.contained, 0);
    assert!(tally.admitted as u64 > histories * 38, "{tally:?}");
}

#[test]
fn worker() {
    workers::work(history);
}

struct Replica {
    doc: Doc,
    /// What it has written and not sent yet.
    out: Arc<Mutex<VecDeque<Vec<u8>>>>,
    /// What the server has sent it and it has not read yet.
    incoming: VecDeque<Vec<u8>>,
    undo: Option<UndoManager<()>>,
}

struct History {
    rng: SmallRng,
    seed: u64,
    server: Guarded,
    replicas: Vec<Replica>,
    clients: u64,
    tally: Tally,
}

const SERVER: &str = "server";

impl History {
    fn below(&mut self, n: u32) -> u32 {
        self.rng.random_range(0..n.max(1))
    }

    fn chance(&mut self, percent: u32) -> bool {
        self.below(100) < percent
    }

    fn join(&mut self) {
        self.clients += 1;
        let mut options = Options::with_client_id(yrs::block::ClientID::new(
            self.clients * 1_000_003 % 977 + self.clients * 1000,
        ));
        options.offset_kind = OffsetKind::Utf16;
        options.cleanup_formatting = false;
        options.skip_gc = self.chance(20);
        let doc = Doc::with_options(options);
        apply(&doc, &state(&self.server.doc));
        let out = Arc::new(Mutex::new(VecDeque::new()));
        let queue = out.clone();
        doc.observe_update_v1("out", move |txn: &yrs::TransactionMut<'_>, event| {
            if txn.origin() != Some(&SERVER.into()) {
                queue.lock().unwrap().push_back(event.update.clone());
            }
        })
        .unwrap();
        let undo = self.chance(30).then(|| {
            let text = doc.get_or_insert_text("t");
            let array = doc.get_or_insert_array("a");
            let mut undo = UndoManager::new();
            undo.expand_scope(&doc, &text);
            undo.expand_scope(&doc, &array);
            undo
        });
        self.replicas.push(Replica { doc, out, incoming: VecDeque::new(), undo });
    }

    /// The server receives an update and relays it, several of them merged.
    fn deliver(&mut self, from: usize, updates: &[Vec<u8>]) {
        for bytes in updates {
            self.tally.offered += 1;
            if let Err(refusal) = self.server.offer(bytes) {
                panic!("seed {}: {refusal:?}\n{}", self.seed, show(bytes));
            }
            self.tally.admitted += 1;
        }
        let measured: Vec<_> =
            updates.iter().map(|bytes| parse(bytes).unwrap().measure()).collect();
        let parts: Vec<_> = updates.iter().map(Vec::as_slice).zip(&measured).collect();
        let relayed = merge(&parts);
        for (n, replica) in self.replicas.iter_mut().enumerate() {
            if n != from {
                replica.incoming.extend(relayed.iter().cloned());
            }
        }
    }

    fn flush(&mut self, n: usize) {
        let mut out: Vec<Vec<u8>> = self.replicas[n].out.lock().unwrap().drain(..).collect();
        if out.is_empty() {
            return;
        }
        let doc = self.replicas[n].doc.clone();
        let updates = match self.below(6) {
            0 => vec![state(&doc)],
            1 => vec![
                doc.transact()
                    .encode_state_as_update_v1(&self.server.doc.transact().state_vector()),
            ],
            2 => vec![yrs::merge_updates_v1(&out).unwrap()],
            3 => {
                let measured: Vec<_> =
                    out.iter().map(|bytes| parse(bytes).unwrap().measure()).collect();
                let parts: Vec<_> = out.iter().map(Vec::as_slice).zip(&measured).collect();
                merge(&parts)
            }
            _ => {
                let rest = out.split_off(1 + self.below(out.len() as u32) as usize);
                self.replicas[n].out.lock().unwrap().extend(rest);
                out
            }
        };
        self.deliver(n, &updates);
    }

    fn receive(&mut self, n: usize, all: bool) {
        let waiting = self.replicas[n].incoming.len();
        let count = if all { waiting } else { self.below(waiting as u32 + 1) as usize };
        for _ in 0..count {
            let bytes = self.replicas[n].incoming.pop_front().unwrap();
            apply(&self.replicas[n].doc, &bytes);
        }
    }

    fn reconnect(&mut self, n: usize) {
        self.replicas[n].incoming.clear();
        self.replicas[n].out.lock().unwrap().clear();
        let doc = self.replicas[n].doc.clone();
        let missing =
            self.server.doc.transact().encode_state_as_update_v1(&doc.transact().state_vector());
        let own =
            doc.transact().encode_state_as_update_v1(&self.server.doc.transact().state_vector());
        self.deliver(n, &[own]);
        apply(&doc, &missing);
    }

    fn step(&mut self) {
        let n = self.below(self.replicas.len() as u32) as usize;
        match self.below(20) {
            0..=4 => self.flush(n),
            5..=7 => self.receive(n, false),
            8 if self.chance(30) => self.reconnect(n),
            9 if self.chance(15) && self.clients < 7 => self.join(),
            10 => {
                let redo = self.chance(40);
                if let Some(undo) = &mut self.replicas[n].undo {
                    if redo {
                        undo.redo_blocking()
                    } else {
                        undo.undo_blocking()
                    };
                }
            }
            _ => self.edit(n),
        }
    }

    fn edit(&mut self, n: usize) {
        let doc = self.replicas[n].doc.clone();
        let mut txn = doc.transact_mut();
        for _ in 0..if self.chance(20) { 4 } else { 1 } {
            match self.below(10) {
                0..=3 => {
                    let text = txn.get_or_insert_text("t");
                    self.text(&mut txn, &text);
                }
                4 | 5 => {
                    let map = txn.get_or_insert_map("m");
                    self.map(&mut txn, &map, 0);
                }
                6 | 7 => {
                    let array = txn.get_or_insert_array("a");
                    self.array(&mut txn, &array, 0);
                }
                _ => {
                    let fragment = txn.get_or_insert_xml_fragment("x");
                    self.xml(&mut txn, &fragment, 0);
                }
            }
        }
    }

    fn text(&mut self, txn: &mut yrs::TransactionMut<'_>, text: &TextRef) {
        let ends = boundaries(txn, text);
        let at = |this: &mut Self| ends[this.below(ends.len() as u32) as usize];
        let words = ["a", "note", " ", "é", "女", "😀", "x😀y", "longer words "];
        let from = at(self);
        let to = at(self).min(from + 12);
        let to = *ends.iter().rev().find(|end| **end <= to).unwrap();
        match self.below(6) {
            0 | 1 if ends.len() < 80 => {
                let word = words[self.below(8) as usize];
                let end = if self.chance(50) { *ends.last().unwrap() } else { from };
                text.insert(txn, end, word);
            }
            2 if ends.len() < 80 => {
                text.insert_with_attributes(txn, from, "bold", attributes(true))
            }
            3 if to > from => text.format(txn, from, to - from, attributes(self.chance(50))),
            4 if ends.len() < 80 => {
                text.insert_embed(txn, from, Any::from(1.5));
            }
            _ if to > from => text.remove_range(txn, from, to - from),
            _ => {}
        }
    }

    fn map(&mut self, txn: &mut yrs::TransactionMut<'_>, map: &MapRef, depth: u32) {
        let key = ["k", "l", "key three"][self.below(3) as usize];
        let inside = if self.chance(50) { map.get(txn, key) } else { None };
        match (inside, self.below(7)) {
            (Some(Out::YText(text)), _) => self.text(txn, &text),
            (Some(Out::YMap(map)), _) if depth < 5 => self.map(txn, &map, depth + 1),
            (Some(Out::YArray(array)), _) if depth < 5 => self.array(txn, &array, depth + 1),
            (_, 0) => drop(map.remove(txn, key)),
            (_, 1) => _ = map.insert(txn, key, TextPrelim::new("inner")),
            (_, 2) => {
                _ = map.insert(txn, key, ArrayPrelim::from([Any::from(1.0), Any::from("two")]))
            }
            (_, 3) => _ = map.insert(txn, key, MapPrelim::from([("k", Any::from(true))])),
            (_, 4) => drop(map.insert(txn, key, Any::from(vec![1u8, 2]))),
            _ => drop(map.insert(txn, key, f64::from(self.below(9)))),
        }
    }

    fn array(&mut self, txn: &mut yrs::TransactionMut<'_>, array: &ArrayRef, depth: u32) {
        let len = array.len(txn);
        let at = self.below(len + 1);
        let inside = if at < len && self.chance(50) { array.get(txn, at) } else { None };
        match (inside, self.below(7)) {
            (Some(Out::YText(text)), _) => self.text(txn, &text),
            (Some(Out::YMap(map)), _) if depth < 5 => self.map(txn, &map, depth + 1),
            (Some(Out::YArray(array)), _) if depth < 5 => self.array(txn, &array, depth + 1),
            (_, 0 | 1) if at < len => {
                let count = 1 + self.below((len - at).min(3));
                array.remove_range(txn, at, count.min(len - at));
            }
            _ if len > 14 => {}
            (_, 2) => _ = array.insert(txn, at, TextPrelim::new("inner")),
            (_, 3) => _ = array.insert(txn, at, MapPrelim::from([("k", Any::from(1.0))])),
            _ => array.insert_range(txn, at, [Any::from(1.0), Any::Null, Any::from("x")]),
        }
    }

    fn xml<X: XmlFragment>(&mut self, txn: &mut yrs::TransactionMut<'_>, parent: &X, depth: u32) {
        let len = parent.len(txn);
        let at = self.below(len + 1);
        let inside = if at < len && self.chance(60) { parent.get(txn, at) } else { None };
        match inside {
            Some(XmlOut::Text(text)) => {
                let text: &TextRef = text.as_ref();
                return self.text(txn, text);
            }
            Some(XmlOut::Element(element)) => {
                return if self.chance(30) {
                    element.insert_attribute(
                        txn,
                        ["level", "align"][self.below(2) as usize],
                        ["1", "2"][self.below(2) as usize],
                    );
                } else {
                    self.xml(txn, &element, depth + 1);
                };
            }
            _ => {}
        }
        if at < len && self.chance(40) {
            parent.remove_range(txn, at, 1);
        } else if len < 6 && depth < 5 {
            let paragraph = parent.insert(txn, at, XmlElementPrelim::empty("paragraph"));
            paragraph.insert_attribute(txn, "level", "1");
            paragraph.insert(txn, 0, XmlTextPrelim::new("words"));
        }
    }
}

fn attributes(on: bool) -> Attrs {
    Attrs::from([("bold".into(), if on { Any::from(true) } else { Any::Null })])
}

/// All positions that do not split a character.
fn boundaries(txn: &yrs::TransactionMut<'_>, text: &TextRef) -> Vec<u32> {
    let mut ends = vec![0];
    for chunk in text.diff(txn, yrs::types::text::YChange::identity) {
        let last = *ends.last().unwrap();
        match chunk.insert {
            Out::Any(Any::String(string)) => {
                let mut at = last;
                ends.extend(string.chars().map(|c| {
                    at += c.len_utf16() as u32;
                    at
                }));
            }
            _ => ends.push(last + 1),
        }
    }
    ends
}

/// A replica reads what the server sent.
fn apply(doc: &Doc, bytes: &[u8]) {
    let update = Update::decode_v1(bytes).unwrap();
    doc.transact_mut_with(SERVER).apply_update(update).unwrap();
}

pub(crate) fn history(seed: u64, tally: &mut Tally) {
    let rng = SmallRng::seed_from_u64(seed);
    let mut this = History {
        rng,
        seed,
        server: Guarded::new(),
        replicas: Vec::new(),
        clients: 0,
        tally: Tally::default(),
    };
    for _ in 0..2 + this.below(2) {
        this.join();
    }
    for _ in 0..60 + this.below(200) {
        this.step();
    }
    while this
        .replicas
        .iter()
        .any(|replica| !replica.incoming.is_empty() || !replica.out.lock().unwrap().is_empty())
    {
        for n in 0..this.replicas.len() {
            this.flush(n);
            this.receive(n, true);
        }
    }
    assert_eq!(this.server.contained, 0, "seed {seed}");
    this.server.check();
    let server = state_fingerprint(&this.server.doc);
    for replica in &this.replicas {
        // What a replica keeps of deleted content is its own business: compare what a new document makes of it.
        let fresh = new_doc();
        apply(&fresh, &state(&replica.doc));
        assert_eq!(says(&fresh), says(&this.server.doc), "seed {seed}");
        assert_eq!(state_fingerprint(&fresh), server, "seed {seed}");
    }
    tally.offered += this.tally.offered;
    tally.admitted += this.tally.admitted;
}

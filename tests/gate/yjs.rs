//! Honest histories of Yjs itself: none is refused, and yrs says in the end what Yjs says.

use super::document::{Guarded, show, state};
use super::workers;
use commonplace_protocol::update::fingerprint;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use yrs::types::ToJson;
use yrs::types::text::YChange;
use yrs::{GetString, Out, ReadTxn, Text, Transact, WriteTxn, Xml, XmlFragment, XmlOut};

const HISTORIES: u64 = 1_500;

/// Two producers, as many as there are cores.
const LANES: u64 = 2;

#[test]
fn what_yjs_sends_passes_and_says_the_same() {
    let each = workers::histories(HISTORIES) / LANES;
    let lanes: Vec<_> =
        (0..LANES).map(|lane| std::thread::spawn(move || play(lane * each, each))).collect();
    let updates: usize = lanes.into_iter().map(|lane| lane.join().unwrap()).sum();
    println!("{} histories, {updates} updates", each * LANES);
    assert!(updates as u64 > each * LANES * 20);
}

fn play(first: u64, count: u64) -> usize {
    let dir = Path::new(env!("CARGO_MANIFEST_DIR")).join("gate-yjs");
    assert!(
        dir.join("node_modules/yjs").exists(),
        "Yjs is not installed: run `npm ci` in tests/gate-yjs"
    );
    let mut node = Command::new("node")
        .args(["histories.mjs", &first.to_string(), &count.to_string()])
        .current_dir(dir)
        .stdout(Stdio::piped())
        .spawn()
        .expect("node is installed");
    let mut updates = 0;
    let mut seeds = 0;
    for line in BufReader::new(node.stdout.take().unwrap()).lines() {
        let history: Value = serde_json::from_str(&line.unwrap()).unwrap();
        updates += check(&history);
        seeds += 1;
    }
    assert!(node.wait().unwrap().success(), "the producer failed");
    assert_eq!(seeds, count);
    updates
}

fn hex(value: &Value) -> Vec<u8> {
    let text = value.as_str().unwrap().as_bytes();
    text.chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn check(history: &Value) -> usize {
    let seed = &history["seed"];
    let updates: Vec<Vec<u8>> = history["updates"].as_array().unwrap().iter().map(hex).collect();
    let mut guarded = Guarded::new();
    for (n, bytes) in updates.iter().enumerate() {
        if let Err(refusal) = guarded.offer(bytes) {
            let before: String = updates[..n].iter().map(|bytes| show(bytes) + "\n").collect();
            panic!(
                "seed {seed}: update {n} refused: {refusal:?}\n{before}refused:\n{}",
                show(bytes)
            );
        }
    }
    assert_eq!(guarded.contained, 0, "seed {seed}");
    let says = says(&guarded.doc);
    assert_eq!(numbers(&says), numbers(&history["says"]), "seed {seed}");
    let yjs_state = hex(&history["state"]);
    assert!(guarded.gate.knows(&yjs_state), "seed {seed}: the state of Yjs is news");
    assert_eq!(
        fingerprint(&state(&guarded.doc)),
        fingerprint(&yjs_state),
        "seed {seed}: yrs and Yjs hold different documents"
    );
    guarded.check();
    updates.len()
}

/// What a document says, in the words of `histories.mjs`.
pub(crate) fn says(doc: &yrs::Doc) -> Value {
    let mut txn = doc.transact_mut();
    let (t, e) = (txn.get_or_insert_text("t"), txn.get_or_insert_text("e"));
    let (m, a) = (txn.get_or_insert_map("m"), txn.get_or_insert_array("a"));
    let x = txn.get_or_insert_xml_fragment("x");
    let children: Vec<Value> = x.children(&txn).map(|child| node(&txn, child)).collect();
    json!({
        "t": t.get_string(&txn),
        "e": e.get_string(&txn),
        "m": serde_json::to_value(m.to_json(&txn)).unwrap(),
        "a": serde_json::to_value(a.to_json(&txn)).unwrap(),
        "x": { "name": "", "attributes": {}, "children": children },
    })
}

fn node<T: ReadTxn>(txn: &T, node_: XmlOut) -> Value {
    match node_ {
        XmlOut::Element(element) => {
            let attributes: serde_json::Map<String, Value> = element
                .attributes(txn)
                .map(|(key, value)| (key.to_owned(), json!(value.to_string(txn))))
                .collect();
            let children: Vec<Value> =
                element.children(txn).map(|child| node(txn, child)).collect();
            json!({ "name": element.tag().to_string(), "attributes": attributes, "children": children })
        }
        XmlOut::Text(text) => {
            let diff = text.diff(txn, YChange::identity);
            let strings = diff.into_iter().filter_map(|chunk| {
                if let Out::Any(yrs::Any::String(s)) = chunk.insert { Some(s) } else { None }
            });
            json!(strings.map(|s| s.to_string()).collect::<String>())
        }
        XmlOut::Fragment(_) => panic!("the histories have no fragments inside"),
    }
}

/// JSON does not tell 1 from 1.0.
fn numbers(value: &Value) -> Value {
    match value {
        Value::Number(n) => json!(n.as_f64().unwrap().to_string()),
        Value::Array(items) => items.iter().map(numbers).collect(),
        Value::Object(entries) => {
            entries.iter().map(|(key, value)| (key.clone(), numbers(value))).collect()
        }
        other => other.clone(),
    }
}

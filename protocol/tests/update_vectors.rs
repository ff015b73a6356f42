//! Do we read in an update what Yjs reads in it?
//!
//! The vectors name every block and deletion, as Yjs decodes them. See `vectors.rs` for the rest of the wire.

use commonplace_protocol::Malformed;
use commonplace_protocol::update::{self, Body, Content, StateVector};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::path::Path;

fn file(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(format!("{name}.json"));
    let text = std::fs::read_to_string(path).expect("the vectors are beside the crate");
    serde_json::from_str(&text).expect("vector files are JSON")
}

fn unhex(hex: &Value) -> Vec<u8> {
    let hex = hex.as_str().expect("hex");
    let pairs = (0..hex.len()).step_by(2).map(|at| u8::from_str_radix(&hex[at..at + 2], 16));
    pairs.collect::<Result<_, _>>().expect("hex")
}

/// What we leave out on purpose, and so refuse: see `UPDATE.md`.
const REFUSED: [&str; 4] =
    ["xml: a hook", "subdocument", "the old JSON content", "merged with a gap (a skip block)"];

fn yjs_name(body: &Body<'_>) -> &'static str {
    let Body::Item(item) = body else { return "GC" };
    match item.content {
        Content::Deleted => "ContentDeleted",
        Content::Binary(_) => "ContentBinary",
        Content::Text(_) => "ContentString",
        Content::Embed(_) => "ContentEmbed",
        Content::Format { .. } => "ContentFormat",
        Content::Type(_) => "ContentType",
        Content::Any(_) => "ContentAny",
    }
}

#[test]
fn p49_updates_are_read_as_yjs_reads_them() {
    for name in ["yjs-13.6.33", "y-14.0.0-rc.7"] {
        for vector in file(name)["vectors"].as_array().expect("vectors") {
            let bytes = unhex(&vector["hex"]);
            let parsed = update::parse(&bytes);
            if REFUSED.contains(&vector["name"].as_str().expect("a name")) {
                assert!(
                    matches!(parsed, Err(Malformed::UnknownTag { .. })),
                    "{vector}: {parsed:?}"
                );
                continue;
            }
            let parsed = parsed.unwrap_or_else(|why| panic!("{vector}: {why}"));
            let blocks: Vec<Value> = parsed
                .sections()
                .iter()
                .flat_map(|section| parsed.blocks(section))
                .map(|block| {
                    json!([block.id.client.get(), block.id.clock, block.len, yjs_name(&block.body)])
                })
                .collect();
            assert_eq!(Value::from(blocks), vector["blocks"], "{}", vector["name"]);
            let deletions: Vec<Value> = parsed
                .deletes()
                .flat_map(|(client, ranges)| ranges.iter().map(move |range| (client, range)))
                .map(|(client, range)| json!([client.get(), range.start, range.end - range.start]))
                .collect();
            assert_eq!(Value::from(deletions), vector["deletions"], "{}", vector["name"]);
            for cut in 0..bytes.len() {
                let cut = update::parse(&bytes[..cut]);
                assert!(matches!(cut, Err(Malformed::Truncated(_))), "{}: {cut:?}", vector["name"]);
            }
            spoilt(&bytes);
        }
    }
}

/// Whatever comes: no panic, and what is understood measures no more blocks than bytes.
fn spoilt(bytes: &[u8]) {
    let mut rng = SmallRng::seed_from_u64(0x5eed_c0de);
    for _ in 0..100 {
        let mut changed = bytes.to_vec();
        for _ in 0..rng.random_range(1..4) {
            let at = rng.random_range(0..changed.len());
            changed[at] = rng.random();
        }
        if let Ok(parsed) = update::parse(&changed) {
            assert!(parsed.len() + parsed.delete_ranges() <= changed.len(), "{changed:02x?}");
        }
    }
}

#[test]
fn p40_state_vectors_are_read_and_written_as_yjs_does() {
    for vector in file("yjs-13.6.33")["stateVectors"].as_array().expect("vectors") {
        let bytes = unhex(&vector["hex"]);
        let read = StateVector::decode(&bytes).unwrap_or_else(|why| panic!("{vector}: {why}"));
        let mut expected = vector["clocks"].as_array().expect("clocks").clone();
        expected.sort_by_key(|pair| pair[0].as_u64());
        let clocks: Vec<Value> =
            read.iter().map(|(client, clock)| json!([client.get(), clock])).collect();
        assert_eq!(clocks, expected, "{vector}");
        assert_eq!(read.encode(), bytes, "{vector}");
        for cut in 0..bytes.len() {
            assert!(
                matches!(StateVector::decode(&bytes[..cut]), Err(Malformed::Truncated(_))),
                "{vector}"
            );
        }
    }
}

//! Updates made by Yjs: read, cut, bent, merged.

use super::*;

struct Vector {
    updates: Vec<Vec<u8>>,
    state: Vec<u8>,
    vector: Vec<u8>,
    merged: Vec<u8>,
}

fn hex(value: &serde_json::Value) -> Vec<u8> {
    let text = value.as_str().unwrap().as_bytes();
    text.chunks(2)
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).unwrap(), 16).unwrap())
        .collect()
}

fn vectors() -> Vec<Vector> {
    let file: serde_json::Value =
        serde_json::from_str(include_str!("../../../vectors/updates.json")).unwrap();
    let all = file["vectors"].as_array().unwrap();
    assert!(all.len() >= 7);
    let read = |v: &serde_json::Value| Vector {
        updates: v["updates"].as_array().unwrap().iter().map(hex).collect(),
        state: hex(&v["state"]),
        vector: hex(&v["vector"]),
        merged: hex(&v["merged"]),
    };
    all.iter().map(read).collect()
}

fn all_bytes() -> Vec<Vec<u8>> {
    vectors().into_iter().flat_map(|v| v.updates.into_iter().chain([v.state, v.merged])).collect()
}

#[test]
fn what_yjs_writes_is_an_update() {
    for bytes in all_bytes() {
        let update = parse(&bytes).unwrap();
        let total: usize = update
            .sections()
            .iter()
            .map(|section| update.blocks(section).map(|block| block.bytes.len()).sum::<usize>())
            .sum();
        assert!(total < bytes.len());
        for section in update.sections() {
            let mut clock = section.start;
            for block in update.blocks(section) {
                assert_eq!(block.id.clock, clock);
                clock = block.end();
            }
            assert_eq!(clock, section.end);
        }
    }
}

#[test]
fn state_vectors_of_yjs_come_back_byte_for_byte() {
    for vector in vectors() {
        let known = StateVector::decode(&vector.vector).unwrap();
        assert_eq!(known.encode(), vector.vector);
        let state = parse(&vector.state).unwrap();
        assert_eq!(
            known,
            state.sections().iter().map(|section| (section.client, section.end)).collect()
        );
    }
}

#[test]
fn no_prefix_is_an_update() {
    for bytes in all_bytes() {
        for cut in 0..bytes.len() {
            assert!(parse(&bytes[..cut]).is_err(), "{:02x?} of {bytes:02x?}", &bytes[..cut]);
        }
    }
}

/// Whatever one wrong byte does, nothing panics, and what parses can be measured, merged, split and hashed.
#[test]
fn a_wrong_byte_is_refused_or_harmless() {
    let mut parsed = 0;
    for bytes in all_bytes() {
        for at in 0..bytes.len() {
            for change in [1, 2, 4, 8, 16, 32, 64, 128, 255] {
                let mut bent = bytes.clone();
                bent[at] ^= change;
                let Ok(update) = parse(&bent) else { continue };
                parsed += 1;
                let measured = update.measure();
                assert_eq!(measured.blocks(), update.len());
                for part in merge(&[(&bent, &measured), (&bent, &measured)]) {
                    parse(&part).unwrap();
                }
                for part in split(&bent, 2, 64).unwrap_or_default() {
                    parse(&part).unwrap();
                }
                fingerprint(&bent).unwrap();
                let mut marks = Vec::new();
                for section in update.sections() {
                    for block in update.blocks(section) {
                        if let Body::Item(item) = block.body {
                            let before = marks.len();
                            item.content.marks(&mut marks);
                            assert!(
                                item.content == Content::Deleted
                                    || marks.len() - before == block.len as usize
                            );
                        }
                    }
                }
            }
        }
    }
    assert!(parsed > 1000, "only {parsed} changes were harmless: the test says nothing");
}

#[test]
fn merging_says_what_yjs_says() {
    for vector in vectors() {
        let measured: Vec<_> =
            vector.updates.iter().map(|bytes| parse(bytes).unwrap().measure()).collect();
        let parts: Vec<_> = vector.updates.iter().map(Vec::as_slice).zip(&measured).collect();
        let merged = merge(&parts);
        assert_eq!(merged.len(), 1);
        assert_eq!(fingerprint(&merged[0]).unwrap(), fingerprint(&vector.merged).unwrap());
    }
}

#[test]
fn splitting_loses_nothing() {
    for bytes in all_bytes() {
        for blocks in 1..5 {
            let parts = split(&bytes, blocks, usize::MAX).unwrap();
            let measured: Vec<_> =
                parts.iter().map(|part| parse(part).unwrap().measure()).collect();
            assert!(measured.iter().all(|part| part.blocks() <= blocks));
            let parts: Vec<_> = parts.iter().map(Vec::as_slice).zip(&measured).collect();
            let merged = merge(&parts);
            assert_eq!(merged.len(), 1);
            assert_eq!(fingerprint(&merged[0]).unwrap(), fingerprint(&bytes).unwrap());
        }
    }
}

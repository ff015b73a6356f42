//! Do we read and write the bytes that the real clients and libraries read and write?
//!
//! `vectors/*.json` is made by them (`vectors/make.mjs`). Each vector is decoded, compared with its meaning, encoded again,
//! cut at every byte, and spoilt at random: the decoders may refuse, never panic.

use commonplace_protocol::close::{Client, CloseCode};
use commonplace_protocol::hocuspocus::{self, Address, Frame, Scope};
use commonplace_protocol::sync::Sync;
use commonplace_protocol::varint::{Reader, write_var_bytes, write_var_str, write_var_u64};
use commonplace_protocol::{Malformed, presence, yws};
use rand::rngs::SmallRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use std::path::Path;

fn file(name: &str) -> Value {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors").join(format!("{name}.json"));
    let text = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    serde_json::from_str(&text).expect("vector files are JSON")
}

/// All files whose names begin so: one for each version of a library.
fn files(prefix: &str) -> Vec<Value> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let names = std::fs::read_dir(folder).expect("the vectors are beside the crate");
    let names =
        names.filter_map(|entry| entry.expect("a readable folder").file_name().into_string().ok());
    let found: Vec<Value> = names
        .filter(|name| name.starts_with(prefix))
        .filter_map(|name| name.strip_suffix(".json").map(file))
        .collect();
    assert!(!found.is_empty(), "no vectors of {prefix}");
    found
}

fn each<'a>(file: &'a Value, list: &str) -> impl Iterator<Item = &'a Value> {
    let vectors = file[list].as_array().expect("a list of vectors");
    assert!(!vectors.is_empty(), "no {list}");
    vectors.iter()
}

fn text<'a>(vector: &'a Value, field: &str) -> &'a str {
    vector[field].as_str().unwrap_or_else(|| panic!("{field} of {vector}"))
}

fn bytes(vector: &Value, field: &str) -> Vec<u8> {
    unhex(text(vector, field))
}

fn unhex(hex: &str) -> Vec<u8> {
    let digit = |byte: u8| {
        char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok()).expect("hex")
    };
    hex.as_bytes().chunks(2).map(|pair| digit(pair[0]) << 4 | digit(pair[1])).collect()
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Seeded, so that a failure comes back.
const SEED: u64 = 0x5eed_c0de;

/// Calls `read` with every beginning of the bytes, and with random changes to them.
fn spoil(frame: &[u8], mut cut: impl FnMut(&[u8]), mut spoilt: impl FnMut(&[u8])) {
    for end in 0..frame.len() {
        cut(&frame[..end]);
    }
    let mut rng = SmallRng::seed_from_u64(SEED);
    for _ in 0..200 {
        let mut changed = frame.to_vec();
        for _ in 0..rng.random_range(1..4) {
            match rng.random_range(0..3) {
                0 if !changed.is_empty() => {
                    let at = rng.random_range(0..changed.len());
                    changed[at] = rng.random();
                }
                1 if !changed.is_empty() => {
                    changed.remove(rng.random_range(0..changed.len()));
                }
                _ => changed.insert(rng.random_range(0..=changed.len()), rng.random()),
            }
        }
        spoilt(&changed);
    }
}

fn sync_meaning(sync: &Sync<'_>) -> Value {
    let (kind, body) = match sync {
        Sync::SyncStep1(body) => ("SyncStep1", body),
        Sync::SyncStep2(body) => ("SyncStep2", body),
        Sync::Update(body) => ("Update", body),
    };
    json!({ "kind": kind, "body": hex(body) })
}

fn yws_meaning(message: &yws::Message<'_>) -> Value {
    match message {
        yws::Message::Sync(sync) => sync_meaning(sync),
        yws::Message::Awareness(body) => json!({ "kind": "Awareness", "body": hex(body) }),
        yws::Message::QueryAwareness => json!({ "kind": "QueryAwareness" }),
        yws::Message::SyncStatus(body) => json!({ "kind": "SyncStatus", "body": hex(body) }),
        yws::Message::PermissionDenied(reason) => {
            json!({ "kind": "PermissionDenied", "reason": reason })
        }
        yws::Message::Private { tag, .. } => json!({ "kind": "Private", "tag": tag }),
        yws::Message::Padding => json!({ "kind": "Padding" }),
    }
}

fn hocuspocus_meaning(message: &hocuspocus::Message<'_>) -> Value {
    use hocuspocus::Message;
    match message {
        Message::Sync(sync) => sync_meaning(sync),
        Message::Awareness(body) => json!({ "kind": "Awareness", "body": hex(body) }),
        Message::QueryAwareness => json!({ "kind": "QueryAwareness" }),
        Message::Stateless(text) => json!({ "kind": "Stateless", "text": text }),
        Message::Close { reason } => json!({ "kind": "Close", "reason": reason }),
        Message::Token { token, version } => {
            json!({ "kind": "Token", "token": token, "version": version })
        }
        Message::TokenRequest => json!({ "kind": "TokenRequest" }),
        Message::PermissionDenied { reason } => {
            json!({ "kind": "PermissionDenied", "reason": reason })
        }
        Message::Authenticated { scope } => {
            json!({ "kind": "Authenticated", "scope": scope.as_str() })
        }
        Message::SyncStatus(applied) => json!({ "kind": "SyncStatus", "applied": applied }),
    }
}

#[test]
fn p2_numbers_and_text_are_lib0s() {
    let file = file("lib0-0.2.119");
    for vector in each(&file, "vectors") {
        let (name, frame) = (text(vector, "name"), bytes(vector, "hex"));
        let mut reader = Reader::new(&frame);
        let mut written = Vec::new();
        match text(vector, "kind") {
            "varUint" => {
                let value = vector["value"].as_u64().expect("a number");
                assert_eq!(reader.var_u64_minimal("n"), Ok(value), "{name}");
                write_var_u64(&mut written, value);
            }
            "varInt" => {
                assert_eq!(
                    reader.var_i64("n"),
                    Ok(vector["value"].as_i64().expect("a number")),
                    "{name}"
                );
                written.clone_from(&frame);
            }
            "varString" => {
                assert_eq!(reader.var_str("text"), Ok(text(vector, "value")), "{name}");
                write_var_str(&mut written, text(vector, "value"));
            }
            "varBytes" => {
                assert_eq!(reader.var_bytes("bytes"), Ok(&bytes(vector, "value")[..]), "{name}");
                write_var_bytes(&mut written, &bytes(vector, "value"));
            }
            "any" => continue,
            kind => panic!("{name}: what is a {kind}?"),
        }
        assert!(reader.is_empty(), "{name}");
        assert_eq!(written, frame, "{name}");
    }
    for vector in each(&file, "refusals") {
        let frame = bytes(vector, "hex");
        let mut reader = Reader::new(&frame);
        let refused = match text(vector, "kind") {
            "varUint" => reader.var_u64("n").is_err(),
            _ => reader.var_i64("n").is_err(),
        };
        assert!(refused, "{vector}");
    }
}

#[test]
fn p11_y_websocket_clients_are_understood() {
    for file in files("y-websocket-") {
        for vector in each(&file, "vectors") {
            let frame = bytes(vector, "hex");
            let from_client = text(vector, "from") == "client";
            let read = if from_client { yws::decode } else { yws::decode_server };
            let message = read(&frame).unwrap_or_else(|why| panic!("{vector}: {why}"));
            assert_eq!(yws_meaning(&message), vector["message"], "{vector}");
            assert_eq!(message.encode(), frame, "{vector}");
            let cut = |cut: &[u8]| match read(cut) {
                Err(Malformed::Truncated(_)) => {}
                // P14: what is left of a step 1 may look like an unfilled reply.
                Ok(yws::Message::Padding) if cut == [0, 0] => {}
                other => panic!("{vector} cut to {cut:02x?}: {other:?}"),
            };
            spoil(&frame, cut, yws_holds);
        }
    }
}

#[test]
fn p20_providers_and_their_server_are_understood() {
    for file in files("hocuspocus-") {
        for vector in each(&file, "vectors") {
            let frame = bytes(vector, "hex");
            let from_client = text(vector, "from") == "client";
            let read =
                if from_client { hocuspocus::decode_client } else { hocuspocus::decode_server };
            match read(&frame).unwrap_or_else(|why| panic!("{vector}: {why:?}")) {
                Frame::Ping => assert_eq!(vector["message"]["kind"], "Ping"),
                Frame::Pong => assert_eq!(vector["message"]["kind"], "Pong"),
                Frame::KeepAlive => panic!("{vector}: no library sends our keep-alive"),
                Frame::Document(address, message) => {
                    let Address { raw, document, session } = address;
                    let expected =
                        json!({ "raw": hex(raw), "document": document, "session": session });
                    assert_eq!(expected, vector["address"], "{vector}");
                    assert_eq!(hocuspocus_meaning(&message), vector["message"], "{vector}");
                    assert_eq!(hocuspocus::encode(raw, &message), frame, "{vector}");
                }
            }
            let kind = text(&vector["message"], "kind");
            let cut = |cut: &[u8]| match read(cut).map_err(|refused| refused.why) {
                Err(Malformed::Truncated(_)) => {}
                // A token from before providers told their version, and a goodbye without a reason, are beginnings of
                // what came later.
                Ok(Frame::Document(_, hocuspocus::Message::Token { version: None, .. }))
                    if kind == "Token" => {}
                Ok(Frame::Document(_, hocuspocus::Message::Close { reason: None }))
                    if kind == "Close" => {}
                other => panic!("{vector} cut to {cut:02x?}: {other:?}"),
            };
            spoil(&frame, cut, hocuspocus_holds);
        }
    }
    assert_eq!(Scope::ReadOnly.as_str(), "readonly");
}

#[test]
fn p36_awareness_updates_are_understood() {
    for vector in each(&file("y-protocols-1.0.7"), "vectors") {
        let update = bytes(vector, "hex");
        let entries = presence::decode(&update).unwrap_or_else(|why| panic!("{vector}: {why}"));
        let meaning: Vec<Value> = entries
            .iter()
            .map(|entry| json!({ "client": entry.client.get(), "clock": entry.clock, "state": entry.state }))
            .collect();
        assert_eq!(Value::from(meaning), vector["entries"], "{vector}");
        assert_eq!(presence::encode(&entries), update, "{vector}");
        let cut = |cut: &[u8]| match presence::decode(cut) {
            Err(Malformed::Truncated(_)) => {}
            other => panic!("{vector} cut to {cut:02x?}: {other:?}"),
        };
        spoil(&update, cut, presence_holds);
    }
}

#[test]
fn p80_clients_do_after_a_close_what_we_think() {
    let file = file("close-codes");
    for vector in each(&file, "vectors") {
        let name = text(vector, "client");
        let client = match name.rsplit_once(' ').expect("a library and a version") {
            ("y-websocket", "3.1.0") => Client::YWebsocket3_1,
            ("y-websocket", _) => Client::YWebsocketTo3_0,
            ("provider", version) if version.starts_with('2') => Client::Provider2,
            _ => Client::ProviderFrom3,
        };
        let in_list = |list: &str, code: CloseCode| {
            vector[list]
                .as_array()
                .expect("a list of codes")
                .iter()
                .any(|listed| listed.as_u64() == Some(u64::from(code.0)))
        };
        for code in CloseCode::ALL {
            let list = if code.stops(client) { "stops" } else { "retries" };
            assert!(in_list(list, code), "{name} after {code:?}: we think it {list}");
        }
    }
}

#[test]
fn random_bytes_are_refused_or_understood() {
    let mut rng = SmallRng::seed_from_u64(SEED);
    for _ in 0..50_000 {
        let len = rng.random_range(0..64);
        let mut byte = || if rng.random_bool(0.5) { rng.random_range(0..12) } else { rng.random() };
        let noise: Vec<u8> = (0..len).map(|_| byte()).collect();
        yws_holds(&noise);
        hocuspocus_holds(&noise);
        presence_holds(&noise);
    }
}

/// Whatever the bytes: what is understood can be said again, in no more bytes, and means the same.
fn yws_holds(frame: &[u8]) {
    for read in [yws::decode, yws::decode_server] {
        let Ok(message) = read(frame) else { continue };
        let again = message.encode();
        assert!(again.len() <= frame.len(), "{frame:02x?}");
        assert_eq!(read(&again), Ok(message), "{frame:02x?}");
    }
}

fn hocuspocus_holds(frame: &[u8]) {
    for read in [hocuspocus::decode_client, hocuspocus::decode_server] {
        let Ok(Frame::Document(address, message)) = read(frame) else { continue };
        let again = hocuspocus::encode(address.raw, &message);
        assert!(again.len() <= frame.len(), "{frame:02x?}");
        assert_eq!(read(&again), Ok(Frame::Document(address, message)), "{frame:02x?}");
    }
}

fn presence_holds(update: &[u8]) {
    let Ok(entries) = presence::decode(update) else { return };
    // P31: memory in proportion to what was really sent.
    assert!(
        entries.capacity() * size_of::<presence::Entry<'_>>() <= 8 * update.len(),
        "{update:02x?}"
    );
    let again = presence::encode(&entries);
    assert!(again.len() <= update.len(), "{update:02x?}");
    assert_eq!(presence::decode(&again), Ok(entries), "{update:02x?}");
}

//! Does any sequence of updates pass the gate and hurt yrs, or leave a document that does not load again?
//!
//! The input is a list of updates, each after its length in two bytes.
#![no_main]

// The gate knows nothing of the server around it: taken by its path, the fuzzer builds without the server.
#[path = "../../../server/src/gate/mod.rs"]
#[allow(dead_code)]
mod gate;

use gate::{Anyone, Gate};
use commonplace_protocol::update::{fingerprint, split};
use libfuzzer_sys::fuzz_target;
use yrs::updates::decoder::Decode;
use yrs::{Doc, OffsetKind, Options, ReadTxn, StateVector, Transact, Update};

fn new_doc() -> Doc {
    let mut options = Options::with_client_id(yrs::block::ClientID::new(u64::from(u32::MAX)));
    options.offset_kind = OffsetKind::Utf16;
    options.cleanup_formatting = false;
    Doc::with_options(options)
}

fn feed(doc: &Doc, bytes: &[u8]) {
    for part in split(bytes, 3, 1 << 20).expect("the gate found an order") {
        let update = Update::decode_v1(&part).expect("the gate parsed it");
        doc.transact_mut().apply_update(update).expect("the gate found it consistent");
    }
}

fn state(doc: &Doc) -> Vec<u8> {
    doc.transact().encode_state_as_update_v1(&StateVector::default())
}

fuzz_target!(|input: &[u8]| {
    let (mut gate, doc) = (Gate::new(), new_doc());
    let mut rest = input;
    while let Some(([a, b], tail)) = rest.split_first_chunk::<2>() {
        let len = usize::from(u16::from_be_bytes([*a, *b])).min(tail.len());
        let (bytes, tail) = tail.split_at(len);
        rest = tail;
        if gate.admit(bytes, &mut Anyone).is_ok() {
            feed(&doc, bytes);
        }
    }
    let before = state(&doc);
    let again = new_doc();
    feed(&again, &before);
    assert_eq!(fingerprint(&state(&again)), fingerprint(&before));
    assert!(gate.knows(&before));
});

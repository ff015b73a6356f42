//! Does any update make the parser, or what builds on it, panic or contradict itself?
#![no_main]

use commonplace_protocol::update::{StateVector, fingerprint, merge, parse, split};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(known) = StateVector::decode(bytes) {
        assert_eq!(StateVector::decode(&known.encode()), Ok(known));
    }
    let Ok(update) = parse(bytes) else { return };
    let measured = update.measure();
    assert_eq!(measured.blocks(), update.len());
    let whole = fingerprint(bytes).expect("it was parsed");
    for part in merge(&[(bytes, &measured), (bytes, &measured)]) {
        assert_eq!(fingerprint(&part), Ok(whole));
    }
    let Ok(parts) = split(bytes, 2, 256) else { return };
    let measured: Vec<_> =
        parts.iter().map(|part| parse(part).expect("a part is an update").measure()).collect();
    let parts: Vec<_> = parts.iter().map(Vec::as_slice).zip(&measured).collect();
    for merged in merge(&parts) {
        assert_eq!(fingerprint(&merged), Ok(whole));
    }
});

//! Does any awareness update make its decoder panic, take memory it did not pay for, or keep a state that is not JSON?
#![no_main]

use commonplace_protocol::presence::{self, Entry};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|update: &[u8]| {
    let Ok(entries) = presence::decode(update) else { return };
    assert!(entries.capacity() * size_of::<Entry<'_>>() <= 8 * update.len());
    let again = presence::encode(&entries);
    assert!(again.len() <= update.len());
    assert_eq!(presence::decode(&again), Ok(entries));
});

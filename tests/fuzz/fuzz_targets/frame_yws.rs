//! Does any frame make the y-websocket decoder panic, or understand what cannot be said again?
#![no_main]

use commonplace_protocol::yws;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    for read in [yws::decode, yws::decode_server] {
        let Ok(message) = read(frame) else { continue };
        let again = message.encode();
        assert!(again.len() <= frame.len());
        assert_eq!(read(&again), Ok(message));
    }
});

//! Does any frame make the Hocuspocus decoder panic, or understand what cannot be said again?
#![no_main]

use commonplace_protocol::hocuspocus::{self, Frame};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|frame: &[u8]| {
    for read in [hocuspocus::decode_client, hocuspocus::decode_server] {
        let Ok(Frame::Document(address, message)) = read(frame) else { continue };
        let again = hocuspocus::encode(address.raw, &message);
        assert!(again.len() <= frame.len());
        assert_eq!(read(&again), Ok(Frame::Document(address, message)));
    }
});

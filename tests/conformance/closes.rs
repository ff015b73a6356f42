//! Group 7: goodbyes.

use crate::texts::{INVALID, VALID};
use crate::wire::{BINARY, CLOSE, CONTINUATION, Case, FIN, PING, Step, TEXT, frame, passed_over};

/// Codes that a client may send. (1014 is a gateway's, and younger than the RFC; the library takes it for reserved.)
const ALLOWED: [u16; 18] = [
    1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 1012, 1013, 3000, 3001, 3999, 4000, 4001,
    4205, 4999,
];

/// Codes that nobody may send.
const FORBIDDEN: [u16; 15] =
    [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, 5001, 32_768, 65_535];

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes()[..], reason].concat())
}

pub(crate) fn cases() -> Vec<Case> {
    let message = frame(FIN | BINARY, &passed_over(5));
    let ping = frame(FIN | PING, b"");
    let goodbye = close(1000, b"");
    let echoed = || Step::ClosedSaying(1000, Vec::new());
    let mut cases = vec![
        Case::new("7.1.1 a message and a close")
            .say([message.clone(), goodbye.clone()].concat())
            .then(echoed()),
        Case::new("7.1.2 two closes")
            .say([goodbye.clone(), goodbye.clone()].concat())
            .then(echoed()),
        Case::new("7.1.3 a close and a ping")
            .say([goodbye.clone(), ping.clone()].concat())
            .then(echoed()),
        Case::new("7.1.4 a close and a message")
            .say([goodbye.clone(), message.clone()].concat())
            .then(echoed()),
        Case::new("7.1.4b a close and text")
            .say([goodbye.clone(), frame(FIN | TEXT, b"x")].concat())
            .then(echoed()),
        Case::new("7.1.4c a close and nonsense")
            .say([goodbye.clone(), vec![0xff; 40]].concat())
            .then(echoed()),
        Case::new("7.1.5 a close between two fragments")
            .say([frame(BINARY, &[100]), goodbye.clone(), frame(FIN | CONTINUATION, &[1])].concat())
            .then(echoed()),
        Case::new("7.1.6 256 KiB, a close and a ping")
            .say([frame(FIN | BINARY, &passed_over(1 << 18)), goodbye.clone(), ping].concat())
            .then(echoed()),
        Case::new("7.3.1 a close that says nothing")
            .say(frame(FIN | CLOSE, b""))
            .then(Step::ClosedEmpty),
        Case::new("7.3.2 half a code").say(frame(FIN | CLOSE, &[3])).then(Step::Closed(1002)),
        Case::new("7.3.3 a code").say(goodbye.clone()).then(echoed()),
        Case::new("7.3.4 a code and a reason")
            .say(close(1000, b"Hello World!"))
            .then(Step::Closed(1000)),
        Case::new("7.3.5 the longest reason")
            .say(close(1000, &[b'*'; 123]))
            .then(Step::Closed(1000)),
        Case::new("7.3.6 a reason that is too long")
            .say(close(1000, &[b'*'; 124]))
            .then(Step::Closed(1002)),
        Case::new("7.1.7 a close byte by byte")
            .then(Step::Chopped(close(1001, b"leaving"), 1))
            .then(Step::Closed(1001)),
    ];
    for code in ALLOWED {
        cases.push(Case::new(format!("7.7 {code}")).say(close(code, b"")).then(Step::Closed(code)));
        cases.push(
            Case::new(format!("7.7 {code} with a reason"))
                .say(close(code, b"because"))
                .then(Step::Closed(code)),
        );
    }
    for code in FORBIDDEN {
        cases.push(Case::new(format!("7.9 {code}")).say(close(code, b"")).then(Step::Closed(1002)));
        cases.push(
            Case::new(format!("7.9 {code} with a reason"))
                .say(close(code, b"because"))
                .then(Step::Closed(1002)),
        );
    }
    for text in VALID {
        cases.push(
            Case::new(format!("7.5 the reason {}", text.escape_ascii()))
                .say(close(1000, text))
                .then(Step::Closed(1000)),
        );
    }
    // Like text that is no text. (The RFC would say 1007, or nothing at all.)
    for text in INVALID {
        cases.push(
            Case::new(format!("7.5.1 the reason {}", text.escape_ascii()))
                .say(close(1000, text))
                .then(Step::Closed(1003)),
        );
    }
    cases
}

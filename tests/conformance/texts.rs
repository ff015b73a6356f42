//! Group 6: text, and the many ways in which it is not UTF-8.
//!
//! Text has no meaning here, whatever it says (PROTOCOL.md, P1). The same strings are used as reasons in close frames, where they matter.

use crate::wire::{CONTINUATION, Case, FIN, Step, TEXT, frame};

/// Text that is UTF-8 (Autobahn 6.1, 6.2, 6.5 to 6.23).
pub(crate) const VALID: &[&[u8]] = &[
    b"",
    b"Hello-\xc2\xb5@\xc3\x9f\xc3\xb6\xc3\xa4\xc3\xbc\xc3\xa0\xc3\xa1-UTF-8!!",
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5",
    b"\xf0\x9f\x98\x80",
    b"\x00",
    b"\x7f",
    b"\xc2\x80",
    b"\xdf\xbf",
    b"\xe0\xa0\x80",
    b"\xed\x9f\xbf",
    b"\xee\x80\x80",
    b"\xef\xbf\xbd",
    b"\xef\xbf\xbe",
    b"\xef\xbf\xbf",
    b"\xf0\x90\x80\x80",
    b"\xf0\x9f\xbf\xbe",
    b"\xf0\x9f\xbf\xbf",
    b"\xf0\xaf\xbf\xbf",
    b"\xf1\x8f\xbf\xbf",
    b"\xf4\x8f\xbf\xbe",
    b"\xf4\x8f\xbf\xbf",
    b"\xef\xbb\xbf",
];

/// Text that is not.
pub(crate) const INVALID: &[&[u8]] = &[
    // Surrogates in the middle, and alone.
    b"\xce\xba\xe1\xbd\xb9\xcf\x83\xce\xbc\xce\xb5\xed\xa0\x80edited",
    b"\xed\xa0\x80",
    b"\xed\xad\xbf",
    b"\xed\xae\x80",
    b"\xed\xaf\xbf",
    b"\xed\xb0\x80",
    b"\xed\xbe\x80",
    b"\xed\xbf\xbf",
    b"\xed\xa0\x80\xed\xb0\x80",
    b"\xed\xad\xbf\xed\xbf\xbf",
    // Beyond the last code point.
    b"\xce\xba\xf4\x90\x80\x80edited",
    b"\xf4\x90\x80\x80",
    b"\xf5\x80\x80\x80",
    b"\xf8\x88\x80\x80\x80",
    b"\xfc\x84\x80\x80\x80\x80",
    b"\xf7\xbf\xbf\xbf",
    b"\xfb\xbf\xbf\xbf\xbf",
    b"\xfd\xbf\xbf\xbf\xbf\xbf",
    // Continuations without a beginning.
    b"\x80",
    b"\xbf",
    b"\x80\xbf",
    b"\x80\xbf\x80\xbf\x80\xbf",
    // Beginnings without a continuation.
    b"\xc3",
    b"\xc3 \xc4 \xc5 ",
    b"\xe0 \xe1 ",
    b"\xf0 \xf1 ",
    b"\xe0\x80",
    b"\xf0\x80\x80",
    b"\xce\xba\xe1\xbd",
    b"\xef\xbf",
    b"\xf0\x90\x80",
    // Never in UTF-8.
    b"\xfe",
    b"\xff",
    b"\xfe\xfe\xff\xff",
    // Longer than need be.
    b"\xc0\xaf",
    b"\xe0\x80\xaf",
    b"\xf0\x80\x80\xaf",
    b"\xc1\xbf",
    b"\xe0\x9f\xbf",
    b"\xf0\x8f\xbf\xbf",
    b"\xc0\x80",
    b"\xe0\x80\x80",
    b"\xf0\x80\x80\x80",
];

pub(crate) fn messages() -> Vec<Case> {
    let mut cases = Vec::new();
    for (kind, texts) in [("6 text", VALID), ("6 text that is not UTF-8", INVALID)] {
        for text in texts {
            let name = format!("{kind}, {}", text.escape_ascii());
            cases.push(Case::new(&name).say(frame(FIN | TEXT, text)).then(Step::Closed(1003)));
            if text.len() > 1 {
                let mut fragments = vec![frame(TEXT, &text[..1])];
                fragments
                    .extend(text[1..text.len() - 1].iter().map(|b| frame(CONTINUATION, &[*b])));
                fragments.push(frame(FIN | CONTINUATION, &text[text.len() - 1..]));
                cases.push(
                    Case::new(format!("{name}, in fragments of one byte"))
                        .say(fragments.concat())
                        .then(Step::Closed(1003)),
                );
            }
        }
    }
    cases
}

//! Groups 1 to 5, 9, 10, and what Autobahn does not ask: masks and lengths.

use crate::wire::{
    BINARY, CLOSE, CONTINUATION, Case, FIN, PING, PONG, Step, TEXT, frame, masked, passed_over,
};

/// The server's largest message on a socket with one document: a whole offline document and its framing.
const LARGEST: usize = commonplace_protocol::limits::MAX_INITIAL_SYNC + 1024;

/// Fragments that nobody minds, however small (`FREE_FRAGMENTS` of the server's meter).
const FREE_FRAGMENTS: usize = 1024;

/// 1.1 and 1.2.
pub(crate) fn lengths() -> Vec<Case> {
    let mut cases = Vec::new();
    for len in [0, 1, 125, 126, 127, 128, 65_535, 65_536] {
        let text = frame(FIN | TEXT, &vec![b'*'; len]);
        let binary = frame(FIN | BINARY, &passed_over(len));
        // A message without even a type breaks the protocol.
        let then = if len == 0 { Step::Closed(1002) } else { Step::Alive };
        cases.push(
            Case::new(format!("1.1 text of {len}")).say(text.clone()).then(Step::Closed(1003)),
        );
        cases
            .push(Case::new(format!("1.2 binary of {len}")).say(binary.clone()).then(then.clone()));
        for chop in [997, 1] {
            if len <= 128 || chop > 1 {
                cases.push(
                    Case::new(format!("1.1.8 text of {len} in pieces of {chop}"))
                        .then(Step::Chopped(text.clone(), chop))
                        .then(Step::Closed(1003)),
                );
                cases.push(
                    Case::new(format!("1.2.8 binary of {len} in pieces of {chop}"))
                        .then(Step::Chopped(binary.clone(), chop))
                        .then(then.clone()),
                );
            }
        }
    }
    cases
}

/// 2.
pub(crate) fn pings() -> Vec<Case> {
    let long = vec![0xfe; 125];
    let ten: Vec<u8> = (0..10).flat_map(|n| frame(FIN | PING, &[b'a' + n])).collect();
    let answers = |case: Case| (0..10).fold(case, |case, n| case.then(Step::Pong(vec![b'a' + n])));
    let ping = |name: &str, body: &[u8]| {
        Case::new(name)
            .say(frame(FIN | PING, body))
            .then(Step::Pong(body.to_vec()))
            .then(Step::Alive)
    };
    vec![
        ping("2.1 an empty ping", b""),
        ping("2.2 a ping with text", b"Hello, world!"),
        ping("2.3 a ping with bytes that are no text", &[0, 0xff, 0xfe, 0xfd, 0xfc, 0xfb, 0, 0xff]),
        ping("2.4 the longest ping", &long),
        Case::new("2.5 a ping that is too long")
            .say(frame(FIN | PING, &[0xfe; 126]))
            .then(Step::Closed(1002)),
        Case::new("2.6 the longest ping byte by byte")
            .then(Step::Chopped(frame(FIN | PING, &long), 1))
            .then(Step::Pong(long))
            .then(Step::Alive),
        Case::new("2.7 an empty pong nobody asked for")
            .say(frame(FIN | PONG, b""))
            .then(Step::Alive),
        Case::new("2.8 a pong nobody asked for")
            .say(frame(FIN | PONG, b"unsolicited"))
            .then(Step::Alive),
        Case::new("2.9 a pong nobody asked for, and a ping")
            .say([frame(FIN | PONG, b"unsolicited"), frame(FIN | PING, b"ping")].concat())
            .then(Step::Pong(b"ping".to_vec()))
            .then(Step::Alive),
        answers(Case::new("2.10 ten pings at once").say(ten.clone())).then(Step::Alive),
        answers(Case::new("2.11 ten pings byte by byte").then(Step::Chopped(ten, 1)))
            .then(Step::Alive),
        Case::new("2.12 a pong that is too long")
            .say(frame(FIN | PONG, &[0xfe; 126]))
            .then(Step::Closed(1002)),
        Case::new("2.13 a flood of pings")
            .say((0..40).flat_map(|_| frame(FIN | PING, b"")).collect())
            .then(Step::Closed(1008)),
    ]
}

/// 3: any reserved bit, on any frame, also after a good message and byte by byte.
pub(crate) fn reserved_bits() -> Vec<Case> {
    let mut cases = Vec::new();
    for bits in 1..8 {
        for (opcode, body) in [
            (TEXT, &b"Hello"[..]),
            (BINARY, &[100]),
            (CONTINUATION, &[100]),
            (CLOSE, &[3, 0xe8]),
            (PING, b""),
            (PONG, b""),
        ] {
            let bad = frame(FIN | bits << 4 | opcode, body);
            let name = format!("3 reserved bits {bits:03b} on opcode {opcode}");
            cases.push(Case::new(&name).say(bad.clone()).then(Step::Closed(1002)));
            if opcode == BINARY || opcode == PING {
                cases.push(
                    Case::new(format!("{name} after a good message"))
                        .say([frame(FIN | BINARY, &passed_over(5)), bad.clone()].concat())
                        .then(Step::Closed(1002)),
                );
                cases.push(
                    Case::new(format!("{name} byte by byte"))
                        .then(Step::Chopped(bad, 1))
                        .then(Step::Closed(1002)),
                );
            }
        }
    }
    cases
}

/// 4: opcodes without a meaning.
pub(crate) fn opcodes() -> Vec<Case> {
    let mut cases = Vec::new();
    for opcode in (3..8).chain(11..16) {
        for (name, body) in [("empty", &b""[..]), ("with a body", b"Hello")] {
            let bad = frame(FIN | opcode, body);
            cases.push(
                Case::new(format!("4 opcode {opcode}, {name}"))
                    .say(bad.clone())
                    .then(Step::Closed(1002)),
            );
            cases.push(
                Case::new(format!("4 opcode {opcode}, {name}, between good messages"))
                    .say(
                        [frame(FIN | BINARY, &passed_over(5)), bad, frame(FIN | PING, b"")]
                            .concat(),
                    )
                    .then(Step::Closed(1002)),
            );
        }
    }
    cases
}

/// 5.
pub(crate) fn fragments() -> Vec<Case> {
    let begin = |body: &[u8]| frame(BINARY, body);
    let more = |body: &[u8]| frame(CONTINUATION, body);
    let end = |body: &[u8]| frame(FIN | CONTINUATION, body);
    let ping = frame(FIN | PING, b"ping");
    let pong = || Step::Pong(b"ping".to_vec());
    let whole = frame(FIN | BINARY, &passed_over(5));
    let mut cases = vec![
        Case::new("5.1 a ping in two fragments")
            .say([frame(PING, b"pi"), end(b"ng")].concat())
            .then(Step::Closed(1002)),
        Case::new("5.2 a pong in two fragments")
            .say([frame(PONG, b"po"), end(b"ng")].concat())
            .then(Step::Closed(1002)),
        Case::new("5.2b a close in two fragments")
            .say([frame(CLOSE, &[3]), end(&[0xe8])].concat())
            .then(Step::Closed(1002)),
    ];
    let sound: Vec<(&str, Vec<Vec<u8>>, usize)> = vec![
        ("5.3 a message in two fragments", vec![begin(&[100, 1]), end(&[2])], 0),
        ("5.6 a ping between two fragments", vec![begin(&[100, 1]), ping.clone(), end(&[2])], 1),
        (
            "5.19 two pings between five fragments",
            vec![
                begin(&[100]),
                more(&[1]),
                ping.clone(),
                more(&[2]),
                more(&[3]),
                ping.clone(),
                end(&[4]),
            ],
            2,
        ),
        ("5.a empty fragments", vec![begin(b""), more(b""), more(&[100]), more(b""), end(b"")], 0),
        (
            "5.b a pong between two fragments",
            vec![begin(&[100]), frame(FIN | PONG, b""), end(&[1])],
            0,
        ),
        (
            "5.c two messages in fragments, one after the other",
            vec![begin(&[100]), end(&[1]), begin(&[101]), end(&[1])],
            0,
        ),
        ("5.d a type cut in two", vec![begin(&[0xc8]), end(&[0x01])], 0),
    ];
    for (name, frames, pongs) in sound {
        let bytes = frames.concat();
        let at_once = Case::new(format!("{name}, at once")).say(bytes.clone());
        let each = frames
            .iter()
            .fold(Case::new(format!("{name}, one by one")), |case, frame| case.say(frame.clone()));
        let chopped = Case::new(format!("{name}, byte by byte")).then(Step::Chopped(bytes, 1));
        for case in [at_once, each, chopped] {
            cases.push((0..pongs).fold(case, |case, _| case.then(pong())).then(Step::Alive));
        }
    }
    let broken: Vec<(&str, Vec<u8>)> = vec![
        ("5.9 the end of nothing", end(b"x")),
        ("5.10 the end of nothing, empty", end(b"")),
        ("5.12 the middle of nothing", more(b"x")),
        ("5.14 the middle of nothing, and a message", [more(b""), whole.clone()].concat()),
        (
            "5.15 a whole message in fragments, and the end of nothing",
            [begin(&[100]), end(&[1]), end(&[2])].concat(),
        ),
        ("5.16 two beginnings", [begin(&[100]), begin(&[100]), end(&[1])].concat()),
        ("5.17 the end of nothing before a message", [end(b""), whole.clone()].concat()),
        ("5.18 a whole message between two fragments", [begin(&[100]), whole].concat()),
        ("5.18b text between two fragments", [begin(&[100]), frame(FIN | TEXT, b"x")].concat()),
    ];
    for (name, bytes) in broken {
        cases.push(
            Case::new(format!("{name}, at once")).say(bytes.clone()).then(Step::Closed(1002)),
        );
        cases.push(
            Case::new(format!("{name}, byte by byte"))
                .then(Step::Chopped(bytes, 1))
                .then(Step::Closed(1002)),
        );
    }
    cases.push(
        Case::new("5.4 text in two fragments")
            .say([frame(TEXT, b"Hel"), end(b"lo")].concat())
            .then(Step::Closed(1003)),
    );
    cases
}

/// 9 and 10: up to the limits, and one byte beyond.
pub(crate) fn sizes() -> Vec<Case> {
    let mut cases = Vec::new();
    for len in [1 << 16, 1 << 18, 1 << 20, 1 << 22, 1 << 23, 1 << 24, LARGEST] {
        cases.push(
            Case::new(format!("9.2 a message of {len}"))
                .say(frame(FIN | BINARY, &passed_over(len)))
                .then(Step::Alive),
        );
    }
    for fragment in [64, 256, 1 << 10, 1 << 12, 1 << 14, 1 << 16, 1 << 18] {
        // Small fragments are minded beyond a number of them.
        let len = (fragment * FREE_FRAGMENTS).min(1 << 22);
        cases.push(
            Case::new(format!("9.4 a message of {len} in fragments of {fragment}"))
                .say(in_fragments(&passed_over(len), fragment))
                .then(Step::Alive),
        );
    }
    for chop in [64, 256, 1 << 12, 1 << 16] {
        cases.push(
            Case::new(format!("9.6 a message of 1 MiB in pieces of {chop}"))
                .then(Step::Chopped(frame(FIN | BINARY, &passed_over(1 << 20)), chop))
                .then(Step::Alive),
        );
    }
    for fragment in [1300, 1 << 10] {
        cases.push(
            Case::new(format!("10.1 64 KiB in fragments of {fragment}"))
                .say(in_fragments(&passed_over(1 << 16), fragment))
                .then(Step::Alive),
        );
    }
    let too_long = frame(FIN | BINARY, &passed_over(LARGEST + 1));
    cases.extend([
        Case::new("9.x the header of a message that is too long")
            .say(too_long[..14].to_vec())
            .then(Step::Closed(1009)),
        Case::new("9.x a message that is too long").say(too_long).then(Step::Closed(1009)),
        Case::new("9.x fragments that are too long together")
            .say(in_fragments(&passed_over(LARGEST + 1), 1 << 20))
            .then(Step::Closed(1009)),
        Case::new("9.x more than 1,024 tiny fragments")
            .say(in_fragments(&passed_over(2000), 1))
            .then(Step::Closed(1008)),
        Case::new("9.x more than 1,024 empty fragments")
            .say(
                [frame(BINARY, b"")]
                    .into_iter()
                    .chain((0..1024).map(|_| frame(CONTINUATION, b"")))
                    .flatten()
                    .collect(),
            )
            .then(Step::Closed(1008)),
    ]);
    cases
}

fn in_fragments(body: &[u8], size: usize) -> Vec<u8> {
    let count = body.chunks(size).count();
    let fragment = |(n, piece): (usize, &[u8])| {
        let opcode = if n == 0 { BINARY } else { CONTINUATION };
        frame(if n + 1 == count { FIN | opcode } else { opcode }, piece)
    };
    body.chunks(size).enumerate().flat_map(fragment).collect()
}

/// Masks and length encodings (RFC 6455, sections 5.1 and 5.2).
pub(crate) fn headers() -> Vec<Case> {
    let mut cases = Vec::new();
    for (opcode, body) in [
        (TEXT, &b"Hello"[..]),
        (BINARY, &[100]),
        (CLOSE, &[3, 0xe8]),
        (PING, b"ping"),
        (PONG, b"pong"),
    ] {
        let unmasked = [&[FIN | opcode, body.len() as u8], body].concat();
        cases.push(
            Case::new(format!("an unmasked frame of opcode {opcode}"))
                .say(unmasked.clone())
                .then(Step::Closed(1002)),
        );
        cases.push(
            Case::new(format!("an unmasked frame of opcode {opcode} after a good message"))
                .say([frame(FIN | BINARY, &passed_over(3)), unmasked].concat())
                .then(Step::Closed(1002)),
        );
    }
    // The shortest encoding is a duty of the sender; a longer one is read for what it says.
    let long_16 = masked(vec![FIN | BINARY, 0x80 | 126, 0, 3], &passed_over(3));
    let long_64 = masked(vec![FIN | BINARY, 0x80 | 127, 0, 0, 0, 0, 0, 0, 0, 3], &passed_over(3));
    cases.push(Case::new("3 bytes with a length of 16 bits").say(long_16).then(Step::Alive));
    cases.push(Case::new("3 bytes with a length of 64 bits").say(long_64).then(Step::Alive));
    for (name, len, code) in [
        ("a length with the highest bit", 1_u64 << 63, 1009),
        ("the largest length", u64::MAX, 1009),
        ("the largest signed length", u64::MAX >> 1, 1009),
        ("a length of 4 GiB", 1 << 32, 1009),
    ] {
        let mut header = vec![FIN | BINARY, 0x80 | 127];
        header.extend(len.to_be_bytes());
        cases.push(Case::new(name).say(masked(header.clone(), &[100, 0])).then(Step::Closed(code)));
        cases.push(
            Case::new(format!("{name}, byte by byte"))
                .then(Step::Chopped(masked(header, &[100, 0]), 1))
                .then(Step::Closed(code)),
        );
    }
    for control in [CLOSE, PING, PONG] {
        // The length alone is too much, before it matters whose it is.
        let mut header = vec![FIN | control, 0x80 | 127];
        header.extend((1_u64 << 40).to_be_bytes());
        cases.push(
            Case::new(format!("a control frame {control} of a terabyte"))
                .say(masked(header, &[]))
                .then(Step::Closed(1009)),
        );
    }
    cases
}

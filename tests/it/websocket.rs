//! RFC 6455, case by case, with raw bytes: what a well-behaved client may do, and how each misbehaviour ends.
//!
//! After the groups of the Autobahn suite, as far as they apply to a server that takes binary messages and no extensions. The echo is y-sweet's
//! status message (type 102), which comes back as it was sent.

use commonplace_tests::{Server, patiently};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

const CONTINUE: u8 = 0x0;
const TEXT: u8 = 0x1;
const BINARY: u8 = 0x2;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xa;
const FIN: u8 = 0x80;

/// A masked frame, as clients write them.
fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match body.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len @ 126..65536 => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    let mask = [0x12, 0x34, 0x56, 0x78];
    bytes.extend(mask);
    bytes.extend(body.iter().zip(mask.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

/// A message that comes back.
fn status(len: u8) -> Vec<u8> {
    [&[102, len][..], &vec![b's'; usize::from(len)]].concat()
}

async fn open(server: &Server) -> TcpStream {
    let mut stream = TcpStream::connect(server.address).await.expect("the server listens");
    let request = "GET /sync/note HTTP/1.1\r\nhost: localhost\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
    stream.write_all(request.as_bytes()).await.expect("the server reads");
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(patiently("a handshake", stream.read_u8()).await.expect("a handshake"));
    }
    assert!(head.starts_with(b"HTTP/1.1 101"));
    stream
}

/// What comes back: (opcode, body) of each frame but those that the room sends by itself, until the end.
async fn answers(stream: &mut TcpStream) -> Vec<(u8, Vec<u8>)> {
    let mut bytes = Vec::new();
    // A reset instead of an end is fine once everything has arrived.
    patiently("the end", stream.read_to_end(&mut bytes)).await.ok();
    let mut rest = bytes.as_slice();
    let mut frames = Vec::new();
    while let [first, len, after @ ..] = rest {
        assert_eq!(first & 0x70, 0, "no extension was negotiated");
        assert_eq!(len & 0x80, 0, "servers do not mask");
        let (len, after) = match len {
            126 => (usize::from(u16::from_be_bytes([after[0], after[1]])), &after[2..]),
            127 => panic!("nothing here is that long"),
            short => (usize::from(*short), after),
        };
        let (body, after) = after.split_at(len);
        if first & 0x0f != BINARY || body.first() == Some(&102) {
            frames.push((first & 0x0f, body.to_vec()));
        }
        rest = after;
    }
    frames
}

/// Sends these frames, cut into pieces of `cut` bytes; returns what comes back.
async fn exchange(server: &Server, frames: &[Vec<u8>], cut: usize) -> Vec<(u8, Vec<u8>)> {
    let mut stream = open(server).await;
    for piece in frames.concat().chunks(cut) {
        // The server may have closed before all of a bad stream was sent.
        if stream.write_all(piece).await.is_err() {
            break;
        }
    }
    answers(&mut stream).await
}

#[tokio::test]
async fn good_streams_are_answered() {
    let server = Server::start().await;
    let bye = close(1000, b"");
    let said_bye = (CLOSE, vec![0x03, 0xe8]);
    let echo = |len: u8| (BINARY, status(len));
    let pong = |body: &[u8]| (PONG, body.to_vec());
    let whole = |len: u8| frame(FIN | BINARY, &status(len));
    let cases: Vec<(&str, Vec<Vec<u8>>, Vec<(u8, Vec<u8>)>)> = vec![
        ("1.2 binary", vec![whole(0), whole(1), whole(8)], vec![echo(0), echo(1), echo(8)]),
        ("2.1 empty ping", vec![frame(FIN | PING, b"")], vec![pong(b"")]),
        ("2.2 ping with a body", vec![frame(FIN | PING, b"hello")], vec![pong(b"hello")]),
        ("2.4 the longest ping", vec![frame(FIN | PING, &[0xfe; 125])], vec![pong(&[0xfe; 125])]),
        ("2.7 a pong nobody asked for", vec![frame(FIN | PONG, b""), whole(1)], vec![echo(1)]),
        (
            "5.3 two fragments",
            vec![frame(BINARY, &status(7)[..4]), frame(FIN | CONTINUE, &status(7)[4..])],
            vec![echo(7)],
        ),
        (
            "5.6 a ping between fragments",
            vec![
                frame(BINARY, &status(7)[..4]),
                frame(FIN | PING, b"p"),
                frame(FIN | CONTINUE, &status(7)[4..]),
            ],
            vec![pong(b"p"), echo(7)],
        ),
        (
            "5.8 every byte a fragment, some empty",
            std::iter::once(frame(BINARY, b""))
                .chain(status(7).iter().map(|byte| frame(CONTINUE, &[*byte])))
                .chain([frame(CONTINUE, b""), frame(FIN | CONTINUE, b"")])
                .collect(),
            vec![echo(7)],
        ),
        ("7.1 data after a close is not looked at", vec![], vec![]),
    ];
    for (name, mut frames, mut expected) in cases {
        frames.push(bye.clone());
        frames.push(whole(3));
        expected.push(said_bye.clone());
        for cut in [usize::MAX, 1] {
            let mut found = exchange(&server, &frames, cut).await;
            // Echoes come from the room and pongs from the socket, so their order among each other is free; the close is last.
            assert_eq!(found.last(), expected.last(), "{name}");
            found.sort();
            let mut expected = expected.clone();
            // The room may not have answered before the goodbye.
            expected.retain(|frame| frame.0 != BINARY || found.contains(frame));
            expected.sort();
            assert_eq!(found, expected, "{name}, cut into {cut}");
        }
    }
}

#[tokio::test]
async fn a_message_is_the_same_however_it_is_cut() {
    let server = Server::start().await;
    let message = status(8);
    for fragments in [1, 2, 5, 10] {
        let parts: Vec<_> = message.chunks(message.len().div_ceil(fragments)).collect();
        let (last, before) = parts.split_last().expect("a part");
        let mut frames: Vec<_> = before.iter().map(|part| frame(CONTINUE, part)).collect();
        frames.push(frame(FIN | CONTINUE, last));
        frames[0][0] |= BINARY;
        let mut stream = open(&server).await;
        stream.write_all(&frames.concat()).await.expect("the server reads");
        // Wait for the echo before saying goodbye.
        let mut seen = Vec::new();
        while !seen.ends_with(&message) {
            seen.push(patiently("an echo", stream.read_u8()).await.expect("an echo"));
        }
    }
}

#[tokio::test]
async fn bad_streams_end_with_the_right_code() {
    let server = Server::start().await;
    let unmasked = vec![vec![0x82, 2, 102, 0]];
    let cases: Vec<(&str, Vec<Vec<u8>>, u16)> = vec![
        ("1.1 text", vec![frame(FIN | TEXT, b"hello")], 1003),
        ("2.5 a ping too long", vec![frame(FIN | PING, &[0; 126])], 1002),
        ("2.10 a flood of pings", vec![frame(FIN | PING, b""); 50], 1008),
        ("3.1 reserved bit 1", vec![frame(FIN | 0x40 | BINARY, &status(1))], 1002),
        ("3.2 reserved bit 2", vec![frame(FIN | 0x20 | BINARY, &status(1))], 1002),
        ("3.3 reserved bit 3", vec![frame(FIN | 0x10 | BINARY, &status(1))], 1002),
        ("3.4 reserved bit on a ping", vec![frame(FIN | 0x40 | PING, b"")], 1002),
        ("4.1.1 opcode 3", vec![frame(FIN | 0x3, b"")], 1002),
        ("4.1.5 opcode 7", vec![frame(FIN | 0x7, b"x")], 1002),
        ("4.2.1 opcode 11", vec![frame(FIN | 0xb, b"")], 1002),
        ("4.2.5 opcode 15", vec![frame(FIN | 0xf, b"x")], 1002),
        ("5.1 a ping in fragments", vec![frame(PING, b"x"), frame(FIN | CONTINUE, b"y")], 1002),
        ("5.2 a pong in fragments", vec![frame(PONG, b"x"), frame(FIN | CONTINUE, b"y")], 1002),
        ("5.9 a continuation of nothing", vec![frame(FIN | CONTINUE, b"x")], 1002),
        ("5.10 an open continuation of nothing", vec![frame(CONTINUE, b"x")], 1002),
        (
            "5.18 a new message inside another",
            vec![frame(BINARY, b"x"), frame(FIN | BINARY, b"y")],
            1002,
        ),
        (
            "5.20 empty fragments without end",
            [vec![frame(BINARY, b"")], vec![frame(CONTINUE, b""); 2000]].concat(),
            1008,
        ),
        ("6.4 text that is not UTF-8", vec![frame(FIN | TEXT, b"\xff\xfe")], 1003),
        ("7.3.2 a close with half a code", vec![frame(FIN | CLOSE, &[3])], 1002),
        ("7.3.6 a close too long", vec![close(1000, &[b'x'; 124])], 1002),
        ("7.5.1 a close whose reason is not UTF-8", vec![close(1000, b"\xff")], 1003),
        ("9 a frame above the limit", vec![frame(FIN | BINARY, &vec![0; 17 << 20])], 1009),
        ("10 no mask", unmasked, 1002),
    ];
    for (name, frames, code) in cases {
        let found = exchange(&server, &frames, usize::MAX).await;
        let last = found.last().unwrap_or_else(|| panic!("{name}: no close frame"));
        assert_eq!((last.0, u16::from_be_bytes([last.1[0], last.1[1]])), (CLOSE, code), "{name}");
    }
}

#[tokio::test]
async fn a_close_is_answered_with_its_code_unless_that_is_not_allowed() {
    let server = Server::start().await;
    for (code, answer) in [
        (1000, 1000),
        (1001, 1001),
        (1003, 1003),
        (1011, 1011),
        (3000, 3000),
        (3999, 3999),
        (4000, 4000),
        (4999, 4999),
        (0, 1002),
        (999, 1002),
        (1004, 1002),
        (1005, 1002),
        (1006, 1002),
        (1016, 1002),
        (1100, 1002),
        (2000, 1002),
        (2999, 1002),
        (5000, 1002),
        (65535, 1002),
    ] {
        let found = exchange(&server, &[close(code, b"bye")], usize::MAX).await;
        let last = found.last().expect("a close frame");
        assert_eq!((last.0, u16::from_be_bytes([last.1[0], last.1[1]])), (CLOSE, answer), "{code}");
    }
    assert_eq!(
        exchange(&server, &[frame(FIN | CLOSE, b"")], usize::MAX).await,
        [(CLOSE, Vec::new())]
    );
}

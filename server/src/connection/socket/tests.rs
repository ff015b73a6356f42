use super::*;
use crate::outbox::{BATCH, outbox};
use std::future::poll_fn;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};

const LIMIT: usize = 1 << 20;

fn socket(io: DuplexStream, early: &[u8]) -> Socket<DuplexStream> {
    Socket::new(io, early, LIMIT, outbox(None).1).expect("what came early is fine")
}

fn pair() -> (Socket<DuplexStream>, DuplexStream) {
    let (ours, theirs) = duplex(1 << 22);
    (socket(ours, &[]), theirs)
}

/// A frame as a client writes it, masked with zeros.
fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match body.len() {
        len @ 0..126 => bytes.push(0x80 | len as u8),
        len @ 126..65536 => bytes.extend([0x80 | 126, (len >> 8) as u8, len as u8]),
        len => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(body);
    bytes
}

async fn read(socket: &mut Socket<DuplexStream>) -> Result<Incoming, Fault> {
    poll_fn(|cx| socket.poll_read(cx)).await
}

async fn fault_after(bytes: &[u8]) -> Fault {
    let (mut socket, mut client) = pair();
    client.write_all(bytes).await.expect("the pipe is wide");
    loop {
        match read(&mut socket).await {
            Ok(Incoming::Message(_)) => {}
            Ok(Incoming::Goodbye) => panic!("a goodbye where a fault was expected"),
            Err(fault) => return fault,
        }
    }
}

#[tokio::test]
async fn messages_come_in_whole_or_in_fragments() {
    let (mut socket, mut client) = pair();
    let large = vec![7; 200_000];
    for bytes in [
        frame(0x82, b"one"),
        frame(0x02, b"t"),
        frame(0x89, b"ping"),
        frame(0x80, b"wo"),
        frame(0x82, &large),
        frame(0x82, b""),
    ] {
        client.write_all(&bytes).await.expect("the pipe is wide");
    }
    for expected in [&b"one"[..], b"two", &large, b""] {
        assert_eq!(
            read(&mut socket).await,
            Ok(Incoming::Message(Bytes::copy_from_slice(expected)))
        );
    }
    poll_fn(|cx| socket.poll_write(cx)).await.expect("the pipe is wide");
    let mut pong = [0; 6];
    client.read_exact(&mut pong).await.expect("a pong");
    assert_eq!(&pong, b"\x8a\x04ping");
}

#[tokio::test]
async fn the_buffer_of_a_large_message_is_given_back_and_nothing_is_lost_by_it() {
    let (mut socket, mut client) = pair();
    let large = vec![7; BIG_MESSAGE];
    for round in 0..3 {
        let two = [frame(0x82, &large), frame(0x82, b"next")].concat();
        client.write_all(&two).await.expect("the pipe is wide");
        assert_eq!(
            read(&mut socket).await,
            Ok(Incoming::Message(large.clone().into())),
            "round {round}"
        );
        assert!(socket.took_big_message);
        assert_eq!(read(&mut socket).await, Ok(Incoming::Message(Bytes::from_static(b"next"))));
        // Half a message waits: the buffer has to stay.
        let bytes = frame(0x82, b"halves");
        client.write_all(&bytes[..7]).await.expect("the pipe is wide");
        assert!(tokio::time::timeout(Duration::from_millis(1), read(&mut socket)).await.is_err());
        assert!(socket.took_big_message);
        client.write_all(&bytes[7..]).await.expect("the pipe is wide");
        assert_eq!(read(&mut socket).await, Ok(Incoming::Message(Bytes::from_static(b"halves"))));
        assert!(tokio::time::timeout(Duration::from_millis(1), read(&mut socket)).await.is_err());
        assert!(!socket.took_big_message);
    }
}

#[tokio::test]
async fn what_came_before_the_upgrade_was_answered_is_not_lost() {
    let (ours, _theirs) = duplex(1 << 10);
    let mut socket = socket(ours, &frame(0x82, b"early"));
    assert_eq!(read(&mut socket).await, Ok(Incoming::Message(Bytes::from_static(b"early"))));
}

#[tokio::test]
async fn each_fault_has_its_name() {
    let mut huge = frame(0x82, &[]);
    huge[1] = 0x80 | 127;
    huge.splice(2..2, (LIMIT as u64 + 1).to_be_bytes());
    let fragments = [frame(0x02, &vec![0; LIMIT]), frame(0x80, &[0])].concat();
    for (bytes, fault) in [
        (huge, Fault::TooBig),
        (fragments, Fault::TooBig),
        (frame(0x81, b"text"), Fault::Text),
        (frame(0x81, b"\xff"), Fault::Text),
        (frame(0x83, b""), Fault::NotWebSocket),
        (frame(0x80, b""), Fault::NotWebSocket),
        (frame(0xc2, b""), Fault::NotWebSocket),
        (frame(0x09, b""), Fault::NotWebSocket),
        (b"\x82\x01a".to_vec(), Fault::NotWebSocket),
        (frame(0x89, b"").repeat(11), Fault::ControlFlood),
        ([frame(0x02, b""), frame(0x00, b"").repeat(2000)].concat(), Fault::Fragments),
    ] {
        assert_eq!(fault_after(&bytes).await, fault, "{:02x?} …", &bytes[..bytes.len().min(16)]);
    }
    let (mut socket, client) = pair();
    drop(client);
    assert_eq!(read(&mut socket).await, Err(Fault::Vanished));
}

#[tokio::test]
async fn frames_of_every_length_go_out_in_order() {
    let (mut socket, mut client) = pair();
    let lengths = [0, 1, 125, 126, 65535, 65536, 100_000];
    for len in lengths {
        socket.send(vec![len as u8; len].into());
    }
    // More frames than one batch of slices holds.
    (0..BATCH).for_each(|_| socket.send(Bytes::from_static(b"x")));
    poll_fn(|cx| socket.poll_write(cx)).await.expect("the pipe is wide");
    for len in lengths {
        let header = match len {
            0..126 => vec![0x82, len as u8],
            126..65536 => vec![0x82, 126, (len >> 8) as u8, len as u8],
            _ => [&[0x82, 127][..], &(len as u64).to_be_bytes()].concat(),
        };
        let mut bytes = vec![0; header.len() + len];
        client.read_exact(&mut bytes).await.expect("a frame");
        assert_eq!(&bytes[..header.len()], header);
        assert!(bytes[header.len()..].iter().all(|byte| *byte == len as u8));
    }
}

#[tokio::test]
async fn a_slow_reader_gets_every_byte() {
    let (ours, mut client) = duplex(7);
    let mut socket = socket(ours, &[]);
    (0..100_u8).for_each(|n| socket.send(vec![n; usize::from(n)].into()));
    let reader = async {
        for n in 0..100_u8 {
            let mut bytes = vec![0; 2 + usize::from(n)];
            client.read_exact(&mut bytes).await.expect("a frame");
            assert_eq!((bytes[1], bytes.get(2).copied().unwrap_or(n)), (n, n));
        }
    };
    let (written, ()) = tokio::join!(poll_fn(|cx| socket.poll_write(cx)), reader);
    assert_eq!((written, socket.stuck_since()), (Ok(()), None));
}

#[tokio::test]
async fn a_goodbye_is_answered() {
    let (mut socket, mut client) = pair();
    client.write_all(&frame(0x88, &[0x03, 0xe8])).await.expect("the pipe is wide");
    assert_eq!(read(&mut socket).await, Ok(Incoming::Goodbye));
    poll_fn(|cx| socket.poll_write(cx)).await.expect("the pipe is wide");
    drop(socket);
    let mut answer = Vec::new();
    client.read_to_end(&mut answer).await.expect("an answer");
    assert_eq!(answer, [0x88, 2, 0x03, 0xe8]);
}

#[tokio::test]
async fn our_close_comes_behind_what_waits_and_waits_for_the_answer() {
    let (mut socket, mut client) = pair();
    socket.send(Bytes::from_static(b"x"));
    socket.close(CloseCode::RESTART, "bye");
    poll_fn(|cx| socket.poll_write(cx)).await.expect("the pipe is wide");
    let mut bytes = [0; 10];
    client.read_exact(&mut bytes).await.expect("two frames");
    assert_eq!(&bytes, b"\x82\x01x\x88\x05\x03\xf4bye");
    assert!(
        tokio::time::timeout(Duration::from_millis(1), poll_fn(|cx| socket.poll_goodbye(cx)))
            .await
            .is_err()
    );
    client
        .write_all(&[frame(0x82, b"late"), frame(0x88, &[0x03, 0xf4])].concat())
        .await
        .expect("the pipe is wide");
    poll_fn(|cx| socket.poll_goodbye(cx)).await;
}

#[tokio::test]
async fn a_broken_stream_is_told_why_and_then_ignored() {
    let (mut socket, mut client) = pair();
    let mut huge = frame(0x82, &[]);
    huge[1] = 0x80 | 127;
    huge.splice(2..2, (1_u64 << 40).to_be_bytes());
    client.write_all(&huge).await.expect("the pipe is wide");
    assert_eq!(read(&mut socket).await, Err(Fault::TooBig));
    socket.close(CloseCode::TOO_BIG, "");
    poll_fn(|cx| socket.poll_write(cx)).await.expect("the pipe is wide");
    client.write_all(&[0; 10_000]).await.expect("the pipe is wide");
    let end = async {
        let mut answer = Vec::new();
        client.read_to_end(&mut answer).await.expect("the server ends its half");
        drop(client);
        answer
    };
    let ((), answer) = tokio::join!(poll_fn(|cx| socket.poll_goodbye(cx)), end);
    assert_eq!(answer, [0x88, 2, 0x03, 0xf1]);
}

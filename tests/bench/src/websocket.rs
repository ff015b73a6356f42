//! How does a message travel? RFC 6455 from a client's side, as little of it as these servers use.
//!
//! A library would keep buffers and a state machine for each of eight thousand clients. Here a frame is looked at where the kernel put it.

/// The opening handshake. The key is the RFC's own example: nobody checks the answer to it.
#[must_use]
pub fn handshake(path: &str, host: &str) -> Vec<u8> {
    format!(
        "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// The status of the answer, and how many bytes it takes. `None`: not all there yet.
#[must_use]
pub fn handshake_answer(bytes: &[u8]) -> Option<(u16, usize)> {
    let end = bytes.windows(4).position(|window| window == b"\r\n\r\n")? + 4;
    let status = bytes.get(9..12).and_then(|digits| std::str::from_utf8(digits).ok());
    Some((status.and_then(|digits| digits.parse().ok()).unwrap_or(0), end))
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A whole message.
    Message,
    /// To be answered with a pong.
    Ping,
    /// The end.
    Close,
    /// A pong, or text: nothing to act on.
    Other,
}

/// The front of a buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Front<'a> {
    /// A frame, and how many bytes it takes.
    Frame(Kind, &'a [u8], usize),
    /// So many bytes are needed before another look is worth it.
    Need(usize),
    /// A fragment: none of the servers sends any.
    Fragment,
}

/// Looks at the front of what has arrived.
#[must_use]
pub fn front(bytes: &[u8]) -> Front<'_> {
    let [first, second, rest @ ..] = bytes else { return Front::Need(2) };
    if first & 0x80 == 0 || first & 0x0f == 0 {
        return Front::Fragment;
    }
    let (len, header) = match (second & 0x7f, rest) {
        (126, [a, b, ..]) => (usize::from(u16::from_be_bytes([*a, *b])), 4),
        (126, _) => return Front::Need(4),
        (127, [a, b, c, d, e, f, g, h, ..]) => {
            let len = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            (usize::try_from(len).unwrap_or(usize::MAX), 10)
        }
        (127, _) => return Front::Need(10),
        (short, _) => (usize::from(short), 2),
    };
    let end = header + len;
    match bytes.get(header..end) {
        None => Front::Need(end),
        Some(body) => {
            let kind = match first & 0x0f {
                2 => Kind::Message,
                8 => Kind::Close,
                9 => Kind::Ping,
                _ => Kind::Other,
            };
            Front::Frame(kind, body, end)
        }
    }
}

/// Appends a message. The mask is zero, which every server has to undo like any other.
pub fn write_message(out: &mut Vec<u8>, body: &[u8]) {
    write_frame(out, 2, body);
}

/// Appends the answer to a ping.
pub fn write_pong(out: &mut Vec<u8>, body: &[u8]) {
    write_frame(out, 10, body);
}

fn write_frame(out: &mut Vec<u8>, opcode: u8, body: &[u8]) {
    out.push(0x80 | opcode);
    match body.len() {
        len @ 0..=125 => out.push(0x80 | len as u8),
        len @ 126..=0xffff => {
            out.push(0x80 | 126);
            out.extend((len as u16).to_be_bytes());
        }
        len => {
            out.push(0x80 | 127);
            out.extend((len as u64).to_be_bytes());
        }
    }
    out.extend([0; 4]);
    out.extend_from_slice(body);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_frame_is_found_when_it_is_whole() {
        for len in [0, 1, 125, 126, 65_535, 65_536] {
            let body = vec![7; len];
            let mut sent = Vec::new();
            write_message(&mut sent, &body);
            // A server's frame is a client's without the mask.
            let header = sent.len() - len - 4;
            let mut frame = sent.get(..header).expect("a header").to_vec();
            frame[1] &= 0x7f;
            frame.extend_from_slice(&body);
            for cut in [0, 1, header, frame.len().saturating_sub(1)] {
                if cut < frame.len() {
                    assert!(matches!(front(&frame[..cut]), Front::Need(need) if need > cut));
                }
            }
            assert_eq!(front(&frame), Front::Frame(Kind::Message, &body, frame.len()));
        }
    }

    #[test]
    fn an_answer_to_the_handshake_is_read_when_it_is_whole() {
        let answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\n\r\n\x82";
        assert_eq!(handshake_answer(answer), Some((101, answer.len() - 1)));
        assert_eq!(handshake_answer(&answer[..40]), None);
    }
}

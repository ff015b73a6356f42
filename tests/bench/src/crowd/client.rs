//! What is one client? A socket, what it expects, and what it waits for.

use crate::Outcome;
use crate::ledger::Seen;
use crate::websocket::{
    Front, Kind, front, handshake, handshake_answer, write_message, write_pong,
};
use mio::net::TcpStream;
use std::collections::VecDeque;
use std::io::{ErrorKind, Read, Write};
use std::net::SocketAddr;

/// One socket of the crowd.
#[derive(Debug)]
pub struct Client {
    /// Which document.
    pub room: usize,
    /// Its place there; writers come first.
    pub seat: usize,
    /// What has arrived.
    pub seen: Seen,
    /// Updates as they came, if they are kept.
    pub kept: Option<Vec<Box<[u8]>>>,
    /// When each update was sent that is not acknowledged yet, oldest first. Zero: an answer and no edit.
    pub unacknowledged: VecDeque<u64>,
    /// Edits that were acknowledged.
    pub saved: u32,
    /// Why it is no longer there.
    pub ended: Option<String>,
    /// When it began to connect, in nanoseconds of the crowd's time.
    pub came_at: u64,
    /// How long that took, until the document was there.
    pub synced_after: Option<u64>,
    stream: Option<TcpStream>,
    shaking_hands: bool,
    /// A message of which not everything has come, and how long it has to get.
    partial: Vec<u8>,
    need: usize,
    /// What the kernel has not taken yet.
    unsent: Vec<u8>,
}

/// What a read has brought.
pub(super) enum Came {
    Nothing,
    Bytes { len: usize, drained: bool },
}

impl Client {
    pub(super) fn new(room: usize, seat: usize, authors: usize, keep: bool) -> Self {
        Self {
            room,
            seat,
            seen: Seen::new(authors),
            kept: keep.then(Vec::new),
            unacknowledged: VecDeque::new(),
            saved: 0,
            ended: None,
            came_at: 0,
            synced_after: None,
            stream: None,
            shaking_hands: true,
            partial: Vec::new(),
            need: 0,
            unsent: Vec::new(),
        }
    }

    pub(super) fn connect(
        &mut self,
        address: SocketAddr,
        path: &str,
        now: u64,
    ) -> Outcome<&mut TcpStream> {
        let stream = TcpStream::connect(address)?;
        stream.set_nodelay(true)?;
        if self.came_at == 0 {
            self.came_at = now;
        }
        self.shaking_hands = true;
        self.unsent = handshake(path, &address.to_string());
        Ok(self.stream.insert(stream))
    }

    pub(super) fn go_away(&mut self) {
        self.stream = None;
        self.partial.clear();
        self.unsent.clear();
    }

    pub(super) fn end(&mut self, why: String) {
        self.go_away();
        self.ended.get_or_insert(why);
    }

    pub(super) const fn is_shaking_hands(&self) -> bool {
        self.shaking_hands
    }

    /// How many bytes the server's answer takes, if it is there; the status, if it is another than hoped for.
    pub(super) fn hands_shaken(&mut self, bytes: &[u8]) -> Result<Option<usize>, u16> {
        match handshake_answer(bytes) {
            None => Ok(None),
            Some((101, used)) => {
                self.shaking_hands = false;
                Ok(Some(used))
            }
            Some((status, _)) => Err(status),
        }
    }

    /// One read from the socket.
    pub(super) fn read(&mut self, buffer: &mut [u8]) -> Came {
        let Some(stream) = &mut self.stream else { return Came::Nothing };
        match stream.read(buffer) {
            Ok(0) => self.end("the server closed the connection".to_owned()),
            // Less than there was room for: the kernel has no more, and tells us when it has.
            Ok(len) => return Came::Bytes { len, drained: len < buffer.len() },
            Err(error) if error.kind() == ErrorKind::WouldBlock => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {
                return Came::Bytes { len: 0, drained: false };
            }
            Err(error) => self.end(error.to_string()),
        }
        Came::Nothing
    }

    /// Puts new bytes behind those that wait. `None`: still not enough. `Some(None)`: nothing waited.
    pub(super) fn join(&mut self, bytes: &[u8]) -> Option<Option<Vec<u8>>> {
        if self.partial.is_empty() {
            return Some(None);
        }
        self.partial.extend_from_slice(bytes);
        if self.partial.len() < self.need {
            None
        } else {
            Some(Some(std::mem::take(&mut self.partial)))
        }
    }

    pub(super) fn keep(&mut self, bytes: &[u8], need: usize) {
        self.partial.reserve(need);
        self.partial.extend_from_slice(bytes);
        self.need = need;
    }

    /// The next frame at the front: its message, if it is one, and its length. `None`: the rest is kept, or the client has ended.
    pub(super) fn next_message<'a>(
        &mut self,
        bytes: &'a [u8],
    ) -> Option<(Option<&'a [u8]>, usize)> {
        if bytes.is_empty() || self.stream.is_none() {
            return None;
        }
        match front(bytes) {
            Front::Frame(Kind::Message, body, used) => Some((Some(body), used)),
            Front::Frame(Kind::Ping, body, used) => {
                write_pong(&mut self.unsent, body);
                self.flush();
                Some((None, used))
            }
            Front::Frame(Kind::Close, body, _) => {
                let code = body.first_chunk().map_or(0, |code| u16::from_be_bytes(*code));
                let why = body.get(2..).map(String::from_utf8_lossy).unwrap_or_default();
                self.end(format!("closed with {code} {why}"));
                None
            }
            Front::Frame(Kind::Other, _, used) => Some((None, used)),
            Front::Need(need) => {
                self.keep(bytes, need);
                None
            }
            Front::Fragment => {
                self.end("the server sends fragments".to_owned());
                None
            }
        }
    }

    /// Puts a message behind those that wait to be sent.
    pub(super) fn queue(&mut self, message: &[u8]) {
        if self.ended.is_none() {
            write_message(&mut self.unsent, message);
        }
    }

    /// Gives the kernel what it takes.
    pub(super) fn flush(&mut self) {
        let Some(stream) = &mut self.stream else { return };
        let mut taken = 0;
        while let Some(rest) = self.unsent.get(taken..).filter(|rest| !rest.is_empty()) {
            match stream.write(rest) {
                Ok(len) => taken += len,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::NotConnected) =>
                {
                    break;
                }
                Err(error) => {
                    self.end(error.to_string());
                    return;
                }
            }
        }
        self.unsent.drain(..taken);
    }

    /// The oldest so many updates are acknowledged.
    pub(super) fn acknowledged(&mut self, updates: u32, mut each: impl FnMut(u64)) {
        for _ in 0..updates {
            // Zero stands for the answer to the server's question.
            if let Some(sent) = self.unacknowledged.pop_front().filter(|sent| *sent > 0) {
                self.saved += 1;
                each(sent);
            }
        }
    }
}

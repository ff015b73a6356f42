//! How is a raw frame made, sent and waited for?

use commonplace_tests::patiently;
use std::net::SocketAddr;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// The bit that ends a message.
pub(crate) const FIN: u8 = 0x80;

const MASK: [u8; 4] = [0x12, 0xa4, 0x56, 0xf8];

/// What is done, one after the other.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    /// Bytes in one go.
    Say(Vec<u8>),
    /// Bytes in pieces of this size.
    Chopped(Vec<u8>, usize),
    /// The server answers a ping with this.
    Pong(Vec<u8>),
    /// The server has nothing to say, and answers a question.
    Alive,
    /// The server closes with this code, and the socket ends.
    Closed(u16),
    /// The server closes with this code and these bytes of reason.
    ClosedSaying(u16, Vec<u8>),
    /// The server closes without a code.
    ClosedEmpty,
}

/// One line of a table.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    steps: Vec<Step>,
}

impl Case {
    pub(crate) fn new(name: impl Into<String>) -> Self {
        Self { name: name.into(), steps: Vec::new() }
    }

    pub(crate) fn then(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    pub(crate) fn say(self, bytes: Vec<u8>) -> Self {
        self.then(Step::Say(bytes))
    }
}

/// A masked frame with the shortest length. `first` is its first byte.
pub(crate) fn frame(first: u8, body: &[u8]) -> Vec<u8> {
    let len = body.len();
    let mut bytes = vec![first];
    match len {
        0..126 => bytes.push(0x80 | len as u8),
        126..65_536 => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend((len as u64).to_be_bytes());
        }
    }
    masked(bytes, body)
}

/// A header as it stands, a mask, and the masked body.
pub(crate) fn masked(mut header: Vec<u8>, body: &[u8]) -> Vec<u8> {
    header.extend(MASK);
    header.extend(body.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    header
}

/// A message that the server passes over: of a type that is the application's own.
pub(crate) fn passed_over(len: usize) -> Vec<u8> {
    let mut body = vec![0xfe; len];
    if let Some(first) = body.first_mut() {
        *first = 100;
    }
    body
}

struct Wire(TcpStream);

/// Does what a case says; what went wrong, if something did.
pub(crate) async fn run(address: SocketAddr, case: &Case) -> Result<(), String> {
    let mut wire = open(address).await.map_err(|error| format!("handshake: {error}"))?;
    for (number, step) in case.steps.iter().enumerate() {
        let done = patiently(&format!("step {number} of {}", case.name), wire.step(step)).await;
        done.map_err(|why| format!("step {number}: {why}"))?;
    }
    Ok(())
}

async fn open(address: SocketAddr) -> std::io::Result<Wire> {
    let mut stream = TcpStream::connect(address).await?;
    stream.set_nodelay(true)?;
    let request = format!(
        "GET /sync/conformance HTTP/1.1\r\nhost: {address}\r\nconnection: upgrade\r\nupgrade: websocket\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(stream.read_u8().await?);
    }
    let answer = String::from_utf8_lossy(&answer).to_ascii_lowercase();
    if answer.starts_with("http/1.1 101 ")
        && answer.contains("sec-websocket-accept: s3pplmbitxaq9kygzzhzrbk+xoo=")
    {
        Ok(Wire(stream))
    } else {
        Err(std::io::Error::other(answer))
    }
}

impl Wire {
    async fn step(&mut self, step: &Step) -> Result<(), String> {
        match step {
            Step::Say(bytes) => {
                // The server may close before it has read all.
                self.0.write_all(bytes).await.ok();
                Ok(())
            }
            Step::Chopped(bytes, size) => {
                for piece in bytes.chunks(*size) {
                    if self.0.write_all(piece).await.is_err() {
                        break;
                    }
                    // Lets the server's task run between the pieces.
                    tokio::task::yield_now().await;
                }
                Ok(())
            }
            Step::Pong(body) => self.expect(PONG, body).await,
            Step::Alive => {
                // An empty document is asked for, and given.
                let question = frame(FIN | BINARY, &[0, 0, 1, 0]);
                self.0.write_all(&question).await.map_err(|error| error.to_string())?;
                // First the server asks back.
                self.expect(BINARY, &[0, 0, 1, 0]).await?;
                self.expect(BINARY, &[0, 1, 2, 0, 0]).await
            }
            Step::Closed(code) => {
                let body = self.closing().await?;
                match body.first_chunk() {
                    Some(found) if u16::from_be_bytes(*found) == *code => self.end().await,
                    found => {
                        Err(format!("closed with {:?}", found.map(|b| u16::from_be_bytes(*b))))
                    }
                }
            }
            Step::ClosedSaying(code, reason) => {
                let body = self.closing().await?;
                let expected = [&code.to_be_bytes()[..], reason].concat();
                if body == expected {
                    self.end().await
                } else {
                    Err(format!("closed with {body:?}"))
                }
            }
            Step::ClosedEmpty => {
                let body = self.closing().await?;
                if body.is_empty() {
                    self.end().await
                } else {
                    Err(format!("closed with {body:?}"))
                }
            }
        }
    }

    async fn expect(&mut self, opcode: u8, body: &[u8]) -> Result<(), String> {
        let (found, bytes) = self.frame().await?;
        if found == FIN | opcode && bytes == body {
            Ok(())
        } else {
            Err(format!("{found:#x} {:?} came", String::from_utf8_lossy(&bytes)))
        }
    }

    async fn closing(&mut self) -> Result<Vec<u8>, String> {
        let (found, body) = self.frame().await?;
        if found == FIN | CLOSE { Ok(body) } else { Err(format!("{found:#x} came, and no close")) }
    }

    /// One frame of the server: never masked, never fragmented.
    async fn frame(&mut self) -> Result<(u8, Vec<u8>), String> {
        let ended = |error: std::io::Error| format!("the socket ended: {error}");
        let first = self.0.read_u8().await.map_err(ended)?;
        let len = match self.0.read_u8().await.map_err(ended)? {
            masked @ 0x80.. => return Err(format!("a masked frame came: {masked:#x}")),
            126 => u64::from(self.0.read_u16().await.map_err(ended)?),
            127 => self.0.read_u64().await.map_err(ended)?,
            short => u64::from(short),
        };
        let mut body = vec![0; usize::try_from(len).map_err(|error| error.to_string())?];
        self.0.read_exact(&mut body).await.map_err(ended)?;
        Ok((first, body))
    }

    /// The client answers the close; after that nothing may come but the end.
    async fn end(&mut self) -> Result<(), String> {
        self.0.write_all(&frame(FIN | CLOSE, &1000_u16.to_be_bytes())).await.ok();
        let mut rest = Vec::new();
        match self.0.read_to_end(&mut rest).await {
            Ok(_) if !rest.is_empty() => Err(format!("{rest:?} came after the close")),
            // A reset says the same: the server had gone before our answer came.
            Ok(_) | Err(_) => Ok(()),
        }
    }
}

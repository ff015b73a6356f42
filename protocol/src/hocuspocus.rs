//! What do Hocuspocus providers say, and what may they hear?
//!
//! One WebSocket carries many documents: a frame is an address, a type and a body. Only ping and pong have no address.
//! Source: `@hocuspocus/provider` 2.15, 3.4 and 4.8, `@hocuspocus/common` `auth.ts` and `routingKey.ts`.

use crate::error::Malformed;
use crate::limits::{
    MAX_AWARENESS_MESSAGE, MAX_CLIENT_VERSION, MAX_CLOSE_REASON, MAX_DOCUMENT_NAME, MAX_SESSION_ID,
    MAX_STATELESS, MAX_TOKEN,
};
use crate::sync::Sync;
use crate::varint::{Reader, var_bytes_len, write_var_bytes, write_var_str};
use std::fmt;

const SYNC: u8 = 0;
const AWARENESS: u8 = 1;
const AUTH: u8 = 2;
const QUERY_AWARENESS: u8 = 3;
const STATELESS: u8 = 5;
const CLOSE: u8 = 7;
const SYNC_STATUS: u8 = 8;
const PING: u8 = 9;
const PONG: u8 = 10;

const AUTH_TOKEN: u8 = 0;
const AUTH_PERMISSION_DENIED: u8 = 1;
const AUTH_AUTHENTICATED: u8 = 2;

/// The smallest frame that every provider takes and that means nothing: an address no document can have (P60).
pub const KEEP_ALIVE: [u8; 2] = [1, 0];

/// Asks a provider of version 4 for a [`PONG_FRAME`]. Older ones throw on it (P62).
pub const PING_FRAME: [u8; 1] = [PING];

/// The answer to [`PING_FRAME`].
pub const PONG_FRAME: [u8; 1] = [PONG];

/// To which document a frame speaks, and for which of the sender's sessions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Address<'a> {
    /// The bytes as the client wrote them, without their length: an answer must bear exactly these.
    pub raw: &'a [u8],
    /// The document's name.
    pub document: &'a str,
    /// What tells two providers of one document on one socket apart.
    pub session: Option<&'a str>,
}

impl<'a> Address<'a> {
    /// Splits and checks an address (P20 to P23).
    pub fn parse(raw: &'a [u8]) -> Result<Self, Malformed> {
        if raw.len() > MAX_DOCUMENT_NAME + 1 + MAX_SESSION_ID {
            return Err(Malformed::TooLarge("address"));
        }
        let text = std::str::from_utf8(raw).map_err(|_| Malformed::NotUtf8("address"))?;
        let (document, session) = match text.split_once('\0') {
            Some((document, session)) => (document, Some(session)),
            None => (text, None),
        };
        if document.is_empty() || session == Some("") {
            return Err(Malformed::Rule("an address has an empty part"));
        }
        if document.len() > MAX_DOCUMENT_NAME
            || session.is_some_and(|session| session.len() > MAX_SESSION_ID)
        {
            return Err(Malformed::TooLarge("address"));
        }
        let unprintable = |part: &str| part.chars().any(char::is_control);
        if unprintable(document) || session.is_some_and(unprintable) {
            return Err(Malformed::Rule("an address contains control characters"));
        }
        Ok(Self { raw, document, session })
    }
}

/// What a peer may do in a document, in the provider's words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// Reads, and is seen.
    ReadOnly,
    /// Reads and writes.
    ReadWrite,
}

impl Scope {
    /// The word on the wire.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ReadOnly => "readonly",
            Self::ReadWrite => "read-write",
        }
    }
}

/// One message, without its address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// About the document.
    Sync(Sync<'a>),
    /// About who is here: an awareness update, see [`crate::presence`].
    Awareness(&'a [u8]),
    /// "Tell me who is here."
    QueryAwareness,
    /// An application's own text.
    Stateless(&'a str),
    /// "I am leaving this document" (no reason), or "you are out of it" (a reason).
    Close {
        /// What the server tells.
        reason: Option<&'a str>,
    },
    /// Client to server: may I? Empty for a provider without a token.
    Token {
        /// What the client presents.
        token: &'a str,
        /// The provider's version; only providers from 4 on tell it.
        version: Option<&'a str>,
    },
    /// Server to client: send your token again.
    TokenRequest,
    /// Server to client: no.
    PermissionDenied {
        /// In words a person can act on.
        reason: &'a str,
    },
    /// Server to client: yes.
    Authenticated {
        /// How far.
        scope: Scope,
    },
    /// Server to client: one received update is durable (`true`) or will never be stored (`false`).
    SyncStatus(bool),
}

/// One frame of a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Frame<'a> {
    /// Are you there?
    Ping,
    /// I am.
    Pong,
    /// Server to client: feeds the watchdog ([`KEEP_ALIVE`]).
    KeepAlive,
    /// Something about a document.
    Document(Address<'a>, Message<'a>),
}

/// Why a frame was refused, and how far that reaches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refused<'a> {
    /// The document whose peer sent it: only that one is closed (P24). Without an address the socket is.
    pub address: Option<Address<'a>>,
    /// What is wrong.
    pub why: Malformed,
}

impl fmt::Display for Refused<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            Some(address) => write!(f, "a message for {:?} is refused", address.document),
            None => f.write_str("a frame is refused"),
        }
    }
}

impl std::error::Error for Refused<'_> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.why)
    }
}

/// Decodes what a client may send.
pub fn decode_client(frame: &[u8]) -> Result<Frame<'_>, Refused<'_>> {
    decode(frame, client_message)
}

/// Decodes what the server sends: for test clients and tools. No limits, the server is trusted.
pub fn decode_server(frame: &[u8]) -> Result<Frame<'_>, Refused<'_>> {
    if frame == KEEP_ALIVE {
        return Ok(Frame::KeepAlive);
    }
    decode(frame, server_message)
}

type ReadMessage = for<'a> fn(&mut Reader<'a>) -> Result<Message<'a>, Malformed>;

fn decode(frame: &[u8], read: ReadMessage) -> Result<Frame<'_>, Refused<'_>> {
    // A single byte cannot be a frame with an address, so these two are not ambiguous.
    match frame {
        [PING] => return Ok(Frame::Ping),
        [PONG] => return Ok(Frame::Pong),
        _ => {}
    }
    let mut reader = Reader::new(frame);
    let address = reader
        .var_bytes("address")
        .and_then(Address::parse)
        .map_err(|why| Refused { address: None, why })?;
    let message = read(&mut reader).and_then(|message| reader.finish().map(|()| message));
    message
        .map(|message| Frame::Document(address, message))
        .map_err(|why| Refused { address: Some(address), why })
}

fn client_message<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, Malformed> {
    match reader.var_u64("message type")? {
        0 => Sync::read(reader)?.within_limits().map(Message::Sync),
        1 => bounded(reader.var_bytes("awareness")?, MAX_AWARENESS_MESSAGE, "awareness")
            .map(Message::Awareness),
        2 => match reader.var_u64("auth message type")? {
            0 => {
                let token = bounded_str(reader, MAX_TOKEN, "token")?;
                let version = if reader.is_empty() {
                    None
                } else {
                    Some(bounded_str(reader, MAX_CLIENT_VERSION, "client version")?)
                };
                Ok(Message::Token { token, version })
            }
            tag => Err(Malformed::UnknownTag { what: "auth message type", tag }),
        },
        3 => Ok(Message::QueryAwareness),
        5 => bounded_str(reader, MAX_STATELESS, "stateless message").map(Message::Stateless),
        7 => {
            let reason = if reader.is_empty() {
                None
            } else {
                Some(bounded_str(reader, MAX_CLOSE_REASON, "reason")?)
            };
            Ok(Message::Close { reason })
        }
        // 4, 6 and 8 have a meaning, but not in this direction (P25).
        tag => Err(Malformed::UnknownTag { what: "message type", tag }),
    }
}

fn server_message<'a>(reader: &mut Reader<'a>) -> Result<Message<'a>, Malformed> {
    match reader.var_u64("message type")? {
        0 => Sync::read(reader).map(Message::Sync),
        1 => reader.var_bytes("awareness").map(Message::Awareness),
        2 => match reader.var_u64("auth message type")? {
            0 => Ok(Message::TokenRequest),
            1 => reader.var_str("reason").map(|reason| Message::PermissionDenied { reason }),
            2 => match reader.var_str("scope")? {
                "readonly" => Ok(Message::Authenticated { scope: Scope::ReadOnly }),
                "read-write" => Ok(Message::Authenticated { scope: Scope::ReadWrite }),
                _ => Err(Malformed::Rule("a scope is neither readonly nor read-write")),
            },
            tag => Err(Malformed::UnknownTag { what: "auth message type", tag }),
        },
        3 => Ok(Message::QueryAwareness),
        5 => reader.var_str("stateless message").map(Message::Stateless),
        7 => reader.var_str("reason").map(|reason| Message::Close { reason: Some(reason) }),
        8 => match reader.var_u64("sync status")? {
            0 => Ok(Message::SyncStatus(false)),
            1 => Ok(Message::SyncStatus(true)),
            tag => Err(Malformed::UnknownTag { what: "sync status", tag }),
        },
        tag => Err(Malformed::UnknownTag { what: "message type", tag }),
    }
}

fn bounded<'a>(bytes: &'a [u8], limit: usize, what: &'static str) -> Result<&'a [u8], Malformed> {
    if bytes.len() > limit { Err(Malformed::TooLarge(what)) } else { Ok(bytes) }
}

fn bounded_str<'a>(
    reader: &mut Reader<'a>,
    limit: usize,
    what: &'static str,
) -> Result<&'a str, Malformed> {
    let bytes = bounded(reader.var_bytes(what)?, limit, what)?;
    std::str::from_utf8(bytes).map_err(|_| Malformed::NotUtf8(what))
}

/// A frame for the document at `address` (as in [`Address::raw`]), in one allocation of the exact size.
#[must_use]
pub fn encode(address: &[u8], message: &Message<'_>) -> Vec<u8> {
    let len = var_bytes_len(address.len()) + message.encoded_len();
    let mut out = Vec::with_capacity(len);
    write_var_bytes(&mut out, address);
    message.write(&mut out);
    debug_assert_eq!(out.len(), len, "the length was told wrong");
    out
}

impl Message<'_> {
    /// How many bytes this message takes after the address.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        match self {
            Self::Sync(sync) => 1 + sync.encoded_len(),
            Self::Awareness(body) => 1 + var_bytes_len(body.len()),
            Self::QueryAwareness | Self::Close { reason: None } => 1,
            Self::Stateless(text) | Self::Close { reason: Some(text) } => {
                1 + var_bytes_len(text.len())
            }
            Self::Token { token, version: None } => 2 + var_bytes_len(token.len()),
            Self::Token { token, version: Some(version) } => {
                2 + var_bytes_len(token.len()) + var_bytes_len(version.len())
            }
            Self::TokenRequest | Self::SyncStatus(_) => 2,
            Self::PermissionDenied { reason } => 2 + var_bytes_len(reason.len()),
            Self::Authenticated { scope } => 2 + var_bytes_len(scope.as_str().len()),
        }
    }

    fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Sync(sync) => {
                out.push(SYNC);
                sync.write(out);
            }
            Self::Awareness(body) => {
                out.push(AWARENESS);
                write_var_bytes(out, body);
            }
            Self::QueryAwareness => out.push(QUERY_AWARENESS),
            Self::Stateless(text) => {
                out.push(STATELESS);
                write_var_str(out, text);
            }
            Self::Close { reason } => {
                out.push(CLOSE);
                if let Some(reason) = reason {
                    write_var_str(out, reason);
                }
            }
            Self::Token { token, version } => {
                out.extend([AUTH, AUTH_TOKEN]);
                write_var_str(out, token);
                if let Some(version) = version {
                    write_var_str(out, version);
                }
            }
            Self::TokenRequest => out.extend([AUTH, AUTH_TOKEN]),
            Self::PermissionDenied { reason } => {
                out.extend([AUTH, AUTH_PERMISSION_DENIED]);
                write_var_str(out, reason);
            }
            Self::Authenticated { scope } => {
                out.extend([AUTH, AUTH_AUTHENTICATED]);
                write_var_str(out, scope.as_str());
            }
            Self::SyncStatus(applied) => out.extend([SYNC_STATUS, u8::from(*applied)]),
        }
    }
}

#[cfg(test)]
mod tests;

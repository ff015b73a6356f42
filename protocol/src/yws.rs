//! What do y-websocket and y-sweet clients say, and what may they hear?
//!
//! One WebSocket carries one document, named by the URL; one binary frame carries one message: a type and a body.
//! Source: `y-websocket` 1.3 to 3.1, `@y/websocket` 4, `y-protocols` 1.0, the y-sweet client's `provider.ts`.

use crate::error::Malformed;
use crate::limits::{MAX_AWARENESS_MESSAGE, MAX_PADDING, MAX_SYNC_STATUS};
use crate::sync::Sync;
use crate::varint::{
    Reader, var_bytes_len, var_u64_len, write_var_bytes, write_var_str, write_var_u64,
};

const SYNC: u8 = 0;
const AWARENESS: u8 = 1;
const AUTH: u8 = 2;
const QUERY_AWARENESS: u8 = 3;
const SYNC_STATUS: u8 = 102;

/// Types from here up belong to applications (P15).
const FIRST_PRIVATE: u64 = 100;

const AUTH_PERMISSION_DENIED: u8 = 0;

/// The smallest frame that every client takes and that means nothing: an awareness update about nobody (P61).
pub const KEEP_ALIVE: [u8; 3] = [AWARENESS, 1, 0];

/// One message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Message<'a> {
    /// About the document.
    Sync(Sync<'a>),
    /// About who is here: an awareness update, see [`crate::presence`].
    Awareness(&'a [u8]),
    /// "Tell me who is here."
    QueryAwareness,
    /// y-sweet's "tell me when all I sent before this is safe"; comes back as it is.
    SyncStatus(&'a [u8]),
    /// Server to client: the reason for a refusal. Clients print it and go on, so a close code has to follow.
    PermissionDenied(&'a str),
    /// An application's own message. Never an error, never answered.
    Private {
        /// From 100 up.
        tag: u64,
        /// All that follows.
        body: &'a [u8],
    },
    /// Zero bytes and nothing else: a reply that y-websocket 4 began and never filled. Means nothing.
    Padding,
}

/// Decodes what a client may send.
pub fn decode(frame: &[u8]) -> Result<Message<'_>, Malformed> {
    if frame.len() > 1 && is_padding(frame) {
        return Ok(Message::Padding);
    }
    let mut reader = Reader::new(frame);
    let message = match reader.var_u64("message type")? {
        0 => {
            let sync = Sync::read(&mut reader)?.within_limits()?;
            if is_padding(reader.rest()) {
                // P14: unfilled replies may also follow a filled one.
                return Ok(Message::Sync(sync));
            }
            Message::Sync(sync)
        }
        1 => Message::Awareness(awareness(&mut reader)?),
        3 if reader.is_empty() => Message::QueryAwareness,
        // P13: the y-sweet client answers a query under the query's own number.
        3 => Message::Awareness(awareness(&mut reader)?),
        102 => Message::SyncStatus(bounded(&mut reader, MAX_SYNC_STATUS, "sync status")?),
        tag if tag >= FIRST_PRIVATE => return Ok(Message::Private { tag, body: reader.rest() }),
        tag => return Err(Malformed::UnknownTag { what: "message type", tag }),
    };
    reader.finish()?;
    Ok(message)
}

/// Decodes what the server sends: for test clients and tools. No limits, the server is trusted.
pub fn decode_server(frame: &[u8]) -> Result<Message<'_>, Malformed> {
    let mut reader = Reader::new(frame);
    let message = match reader.var_u64("message type")? {
        0 => Message::Sync(Sync::read(&mut reader)?),
        1 => Message::Awareness(reader.var_bytes("awareness")?),
        2 => match reader.var_u64("auth message type")? {
            0 => Message::PermissionDenied(reader.var_str("reason")?),
            tag => return Err(Malformed::UnknownTag { what: "auth message type", tag }),
        },
        3 => Message::QueryAwareness,
        102 => Message::SyncStatus(reader.var_bytes("sync status")?),
        tag => return Err(Malformed::UnknownTag { what: "message type", tag }),
    };
    reader.finish()?;
    Ok(message)
}

fn is_padding(bytes: &[u8]) -> bool {
    !bytes.is_empty() && bytes.len() <= MAX_PADDING && bytes.iter().all(|&byte| byte == 0)
}

fn awareness<'a>(reader: &mut Reader<'a>) -> Result<&'a [u8], Malformed> {
    bounded(reader, MAX_AWARENESS_MESSAGE, "awareness")
}

fn bounded<'a>(
    reader: &mut Reader<'a>,
    limit: usize,
    what: &'static str,
) -> Result<&'a [u8], Malformed> {
    let bytes = reader.var_bytes(what)?;
    if bytes.len() > limit { Err(Malformed::TooLarge(what)) } else { Ok(bytes) }
}

impl Message<'_> {
    /// How many bytes [`Message::encode`] makes.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        match self {
            Self::Sync(sync) => 1 + sync.encoded_len(),
            Self::Awareness(body) | Self::SyncStatus(body) => 1 + var_bytes_len(body.len()),
            Self::QueryAwareness => 1,
            Self::PermissionDenied(reason) => 2 + var_bytes_len(reason.len()),
            Self::Private { tag, body } => var_u64_len(*tag) + body.len(),
            Self::Padding => 2,
        }
    }

    /// The frame, in one allocation of the exact size.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(self.encoded_len());
        match self {
            Self::Sync(sync) => {
                out.push(SYNC);
                sync.write(&mut out);
            }
            Self::Awareness(body) => {
                out.push(AWARENESS);
                write_var_bytes(&mut out, body);
            }
            Self::QueryAwareness => out.push(QUERY_AWARENESS),
            Self::SyncStatus(body) => {
                out.push(SYNC_STATUS);
                write_var_bytes(&mut out, body);
            }
            Self::PermissionDenied(reason) => {
                out.extend([AUTH, AUTH_PERMISSION_DENIED]);
                write_var_str(&mut out, reason);
            }
            Self::Private { tag, body } => {
                write_var_u64(&mut out, *tag);
                out.extend_from_slice(body);
            }
            Self::Padding => out.extend([0, 0]),
        }
        debug_assert_eq!(out.len(), self.encoded_len(), "the length was told wrong");
        out
    }
}

#[cfg(test)]
mod tests;

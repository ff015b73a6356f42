//! How do two copies of a document tell each other what they lack? The part of the wire both dialects share.
//!
//! Source: `y-protocols` 1.0 `sync.js`. The bodies stay raw here: [`crate::update`] knows what is inside them.

use crate::error::Malformed;
use crate::limits::{MAX_INITIAL_SYNC, MAX_MESSAGE};
use crate::varint::{Reader, var_bytes_len, write_var_bytes};

const STEP_1: u8 = 0;
const STEP_2: u8 = 1;
const UPDATE: u8 = 2;

/// What [`Malformed::TooLarge`] calls a `SyncStep2` above its limit: the one message that would be as large next time (P42).
pub const INITIAL_SYNC: &str = "initial sync";

/// What [`Malformed::TooLarge`] calls an `Update` above its limit: the same change fits a `SyncStep2` (P43).
pub const EDIT: &str = "update";

/// One sync message, without its frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sync<'a> {
    /// "This is what I have; send me the rest." A state vector.
    SyncStep1(&'a [u8]),
    /// The last (or only) part of the answer to a `SyncStep1`. An update.
    SyncStep2(&'a [u8]),
    /// An edit, or an earlier part of a large answer. An update.
    Update(&'a [u8]),
}

impl<'a> Sync<'a> {
    /// Reads one sync message off the front.
    pub fn read(reader: &mut Reader<'a>) -> Result<Self, Malformed> {
        match reader.var_u64("sync message type")? {
            0 => body(reader, "state vector").map(Self::SyncStep1),
            1 => body(reader, "update").map(Self::SyncStep2),
            2 => body(reader, "update").map(Self::Update),
            tag => Err(Malformed::UnknownTag { what: "sync message type", tag }),
        }
    }

    /// The size rules for what a client sends (P41 to P43).
    pub(crate) fn within_limits(self) -> Result<Self, Malformed> {
        match self {
            Self::SyncStep1(body) if body.len() > MAX_MESSAGE => {
                Err(Malformed::TooLarge("state vector"))
            }
            Self::SyncStep2(body) if body.len() > MAX_INITIAL_SYNC => {
                Err(Malformed::TooLarge(INITIAL_SYNC))
            }
            Self::Update(body) if body.len() > MAX_MESSAGE => Err(Malformed::TooLarge(EDIT)),
            fits => Ok(fits),
        }
    }

    const fn parts(&self) -> (u8, &'a [u8]) {
        match *self {
            Self::SyncStep1(body) => (STEP_1, body),
            Self::SyncStep2(body) => (STEP_2, body),
            Self::Update(body) => (UPDATE, body),
        }
    }

    /// How many bytes [`Sync::write`] appends.
    #[must_use]
    pub const fn encoded_len(&self) -> usize {
        1 + var_bytes_len(self.parts().1.len())
    }

    /// Appends the message.
    pub fn write(&self, out: &mut Vec<u8>) {
        let (tag, body) = self.parts();
        out.push(tag);
        write_var_bytes(out, body);
    }
}

/// P40: state vectors and updates begin with a count, so none is without bytes. This also keeps a `SyncStep1` from looking
/// like a y-websocket frame of zero bytes that means nothing.
fn body<'a>(reader: &mut Reader<'a>, what: &'static str) -> Result<&'a [u8], Malformed> {
    match reader.var_bytes(what)? {
        [] => Err(Malformed::Truncated(what)),
        body => Ok(body),
    }
}

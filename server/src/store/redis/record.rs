//! How do entries and snapshots lie in Redis, and are they what was written?

use super::scripts::{number, text};
use crate::store::checksum::Sum;
use crate::store::{Entry, EntryId, LogName, Position};
use bytes::Bytes;
use redis::Value;

/// The checksum of an entry before it has a position. What is stored is this, exclusive-or the position: the script knows the position and
/// this knows the rest, so that an entry in another place does not match either.
pub(crate) fn entry_sum(log: &LogName, id: EntryId, at: u64, bytes: &[u8]) -> u32 {
    Sum::of("redis entry")
        .bytes(log.as_str().as_bytes())
        .bytes(&id.0.to_be_bytes())
        .number(at.cast_signed())
        .bytes(bytes)
        .done()
}

/// The checksum of a snapshot.
pub(crate) fn snapshot_sum(
    log: &LogName,
    covers: Position,
    last: Option<EntryId>,
    bytes: &[u8],
) -> u32 {
    let last = last.map(|last| last.0.to_be_bytes());
    Sum::of("redis snapshot")
        .bytes(log.as_str().as_bytes())
        .number(covers.0.cast_signed())
        .bytes(last.as_ref().map_or(&[], |last| &last[..]))
        .bytes(bytes)
        .done()
}

/// An id as scripts take it: nothing where it is not known.
pub(crate) fn id_bytes(id: Option<EntryId>) -> Vec<u8> {
    id.map_or_else(Vec::new, |id| id.0.to_be_bytes().to_vec())
}

/// An id as it is written for people.
pub(crate) fn id_text(id: Option<EntryId>) -> String {
    id.map_or_else(|| "-".to_owned(), |id| format!("{:032x}", id.0))
}

/// An id in sixteen bytes.
pub(crate) fn id_of(bytes: &[u8]) -> Option<EntryId> {
    Some(EntryId(u128::from_be_bytes(bytes.try_into().ok()?)))
}

/// One entry of a stream, as it lies there.
#[derive(Clone, Debug)]
pub(crate) struct RawEntry {
    pub(crate) position: u64,
    pub(crate) id: Option<EntryId>,
    pub(crate) bytes: Bytes,
    pub(crate) intact: bool,
}

impl RawEntry {
    /// Takes one element of an answer of `XRANGE`. `None` if it is not even that.
    pub(crate) fn take(log: &LogName, value: Value) -> Option<Self> {
        let Value::Array(parts) = value else { return None };
        let [place, Value::Array(fields)] = <[Value; 2]>::try_from(parts).ok()? else {
            return None;
        };
        let position = text(&place)?.split_once('-')?.0.parse().ok()?;
        let (mut id, mut at, mut sum, mut bytes) = (None, None, None, None);
        let mut fields = fields.into_iter();
        while let (Some(Value::BulkString(name)), Some(value)) = (fields.next(), fields.next()) {
            match (name.as_slice(), value) {
                (b"i", Value::BulkString(value)) => id = id_of(&value),
                (b"t", value) => at = number(&value),
                // The script's bit operations give signed numbers.
                (b"c", value) => sum = text(&value).and_then(|sum| sum.parse::<i64>().ok()),
                (b"b", Value::BulkString(value)) => bytes = Some(Bytes::from(value)),
                _ => {}
            }
        }
        let bytes_found = bytes.clone().unwrap_or_default();
        let intact = match (id, at, sum, bytes) {
            (Some(id), Some(at), Some(sum), Some(bytes)) => {
                #[expect(
                    clippy::cast_possible_truncation,
                    reason = "a checksum is 32 bits, signed or not, and so is what binds it to the position"
                )]
                let (sum, bound) = (sum as u32, position as u32);
                sum ^ bound == entry_sum(log, id, at, &bytes)
            }
            _ => false,
        };
        Some(Self { position, id, bytes: bytes_found, intact })
    }

    pub(crate) fn entry(self) -> Entry {
        Entry { position: Position(self.position), id: self.id, bytes: self.bytes }
    }
}

/// One line of a log's list of snapshots: "covers object length checksum last".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Generation {
    pub(crate) covers: Position,
    pub(crate) object: String,
    pub(crate) length: usize,
    pub(crate) sum: u32,
    pub(crate) last: Option<EntryId>,
}

/// A log's snapshots, newest first. A line that cannot be read is left out: what it listed cannot be found.
pub(crate) fn generations(list: &str) -> Vec<Generation> {
    let line = |line: &str| {
        let mut words = line.split(' ');
        Some(Generation {
            covers: Position(words.next()?.parse().ok()?),
            object: words.next()?.to_owned(),
            length: words.next()?.parse().ok()?,
            sum: words.next()?.parse().ok()?,
            last: u128::from_str_radix(words.next()?, 16).ok().map(EntryId),
        })
    };
    list.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests;

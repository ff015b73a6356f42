//! What does a stored record's checksum cover?
//!
//! Not only the bytes: also where they belong. A record that turns up under another log or at another position, or that
//! outlived a log which was deleted and begun again, does not match.

use super::LogName;

/// Collects the fields of one record. Every field is either of fixed width or preceded by its length, so two different
/// records never feed the same bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sum(u32);

impl Sum {
    /// Begins with the kind of record.
    pub(crate) fn of(kind: &'static str) -> Self {
        Self(crc32c::crc32c(kind.as_bytes()))
    }

    pub(crate) fn number(self, value: i64) -> Self {
        Self(crc32c::crc32c_append(self.0, &value.to_le_bytes()))
    }

    pub(crate) fn bytes(self, value: &[u8]) -> Self {
        Self(crc32c::crc32c_append(self.number(value.len() as i64).0, value))
    }

    pub(crate) fn done(self) -> u32 {
        self.0
    }
}

/// The checksum of an entry. `id` is the log's number, which is never used twice.
pub(crate) fn entry(id: i64, log: &LogName, position: i64, at: i64, bytes: &[u8]) -> u32 {
    Sum::of("entry")
        .number(id)
        .bytes(log.as_str().as_bytes())
        .number(position)
        .number(at)
        .bytes(bytes)
        .done()
}

/// The checksum of a snapshot.
pub(crate) fn snapshot(id: i64, log: &LogName, covers: i64, bytes: &[u8]) -> u32 {
    Sum::of("snapshot").number(id).bytes(log.as_str().as_bytes()).number(covers).bytes(bytes).done()
}

/// The checksum of a blob.
pub(crate) fn blob(name: &LogName, bytes: &[u8]) -> u32 {
    Sum::of("blob").bytes(name.as_str().as_bytes()).bytes(bytes).done()
}

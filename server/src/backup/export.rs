//! What lies in one log, in a form that outlives this program; and how is a log set aside by hand?
//!
//! An export is one file:
//!
//! ```text
//! export   = "commonplace log 1" and a line feed · count · record …
//! count    = 8 bytes, little endian: how many records follow
//! record   = kind · intact · position · length · bytes
//! kind     = 1 byte: 1 an entry, 2 a snapshot of everything up to position
//! intact   = 1 byte: 1 if the bytes match their checksum, 0 if not or if the record is missing
//! position = 8 bytes, little endian
//! length   = 8 bytes, little endian: how many bytes follow
//! ```
//!
//! Snapshots come first, then entries in order. What the bytes mean is for the room or the ledger to say.

use super::{BackupError, Source, io_at};
use crate::store::sqlite::open::open_writer;
use crate::store::sqlite::trouble::Stop;
use crate::store::sqlite::{Directory, OpenError, write};
use crate::store::{LogName, Position, RawRecord};
use bytes::Bytes;
use std::io::Write;
use std::path::Path;

const FIRST_LINE: &[u8] = b"commonplace log 1\n";
const HEADER: usize = 1 + 1 + 8 + 8;

/// What an export holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exported {
    /// How many records.
    pub records: usize,
    /// How many of them are damaged or missing.
    pub damaged: usize,
}

/// Writes every record of a log, damaged or not, set aside or not. A server may be running.
pub async fn export(
    from: &Source,
    log: &LogName,
    to: &mut dyn Write,
) -> Result<Exported, BackupError> {
    let records = from.records(log).await?;
    if records.is_empty() {
        return Err(BackupError::NoSuchLog(log.clone()));
    }
    let place = Path::new(log.as_str());
    let mut put = |bytes: &[u8]| to.write_all(bytes).map_err(io_at("writing the export of", place));
    put(FIRST_LINE)?;
    put(&(records.len() as u64).to_le_bytes())?;
    for record in &records {
        put(&[if record.is_snapshot { 2 } else { 1 }, u8::from(record.intact)])?;
        put(&record.position.0.to_le_bytes())?;
        put(&(record.bytes.len() as u64).to_le_bytes())?;
        put(&record.bytes)?;
    }
    Ok(Exported {
        records: records.len(),
        damaged: records.iter().filter(|record| !record.intact).count(),
    })
}

/// Reads an export back. `None` if it is not one, or is cut off.
#[must_use]
pub fn read_export(bytes: &Bytes) -> Option<Vec<RawRecord>> {
    let mut rest =
        bytes.slice(bytes.strip_prefix(FIRST_LINE).map(|rest| bytes.len() - rest.len())?..);
    let count = u64::from_le_bytes(rest.get(..8)?.try_into().ok()?);
    rest = rest.slice(8..);
    let mut records = Vec::new();
    for _ in 0..count {
        let header: [u8; HEADER] = rest.get(..HEADER)?.try_into().ok()?;
        let [kind, intact, numbers @ ..] = header;
        let (position, length) = numbers.split_at(8);
        let length = usize::try_from(u64::from_le_bytes(length.try_into().ok()?)).ok()?;
        let end = HEADER.checked_add(length)?;
        if end > rest.len() {
            return None;
        }
        records.push(RawRecord {
            position: Position(u64::from_le_bytes(position.try_into().ok()?)),
            is_snapshot: kind == 2,
            id: None,
            bytes: rest.slice(HEADER..end),
            intact: intact == 1,
        });
        rest = rest.slice(end..);
    }
    rest.is_empty().then_some(records)
}

/// Sets a log aside while no server runs.
pub fn quarantine(data: &Path, log: &LogName, reason: &str) -> Result<(), BackupError> {
    let now = crate::store::sqlite::now_ms();
    change(data, |connection| write::quarantine(connection, log, reason, now))
}

/// Takes a log back into service while no server runs.
pub fn release(data: &Path, log: &LogName) -> Result<(), BackupError> {
    change(data, |connection| write::release(connection, log))
}

/// One transaction on a database that no server has open.
fn change(
    data: &Path,
    work: impl FnOnce(&rusqlite::Connection) -> Result<(), Stop>,
) -> Result<(), BackupError> {
    let directory = Directory::new(data);
    if !directory.database().exists() {
        return Err(BackupError::NotFound(directory.database()));
    }
    let _lock = directory.lock()?;
    let connection = open_writer(&directory, None)?;
    let done = || -> Result<(), Stop> {
        connection.execute_batch("BEGIN IMMEDIATE")?;
        work(&connection)?;
        connection.execute_batch("COMMIT")?;
        Ok(())
    };
    done().map_err(|stop| BackupError::Open(OpenError::stop(data, stop)))
}

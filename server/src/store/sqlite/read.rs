//! How is a log read, and what happens when a record is not what was written?
//!
//! Readers have connections of their own and each answer is one read transaction, so a reader sees one moment and waits for no append.

use super::schema::LogRow;
use super::trouble::Stop;
use super::write::{find_log, int, position, refuse_quarantined};
use crate::store::{
    Entry, EntryId, LogInfo, LogName, Page, Position, READ_PAGE_BYTES, RawRecord, Snapshot,
    StoreError, checksum,
};
use bytes::{Bytes, BytesMut};
use rusqlite::{Connection, OptionalExtension, params};
use std::collections::HashMap;

fn damaged(what: String) -> Stop {
    Stop::Refused(StoreError::Corrupt(what))
}

/// S6, S7, S9: one page.
pub(crate) fn page(connection: &Connection, log: &LogName, after: Position) -> Result<Page, Stop> {
    refuse_quarantined(connection, log)?;
    page_even_if_set_aside(connection, log, after)
}

/// The same, for those who look at what is set aside.
pub(crate) fn page_even_if_set_aside(
    connection: &Connection,
    log: &LogName,
    after: Position,
) -> Result<Page, Stop> {
    let Some(row) = find_log(connection, log)? else { return Ok(Page::default()) };
    let mut next = int(after.0);
    let mut page = Page::default();
    if next < row.trimmed {
        let snapshot = newest_snapshot(connection, &row)?;
        next = int(snapshot.covers.0);
        page.snapshot = Some(snapshot);
    }
    let mut read = connection.prepare_cached(
        "SELECT position, at, crc, bytes FROM entries WHERE log = ?1 AND position > ?2 ORDER BY position",
    )?;
    let mut rows = read.query([row.id, next])?;
    let mut size = 0;
    while let Some(found) = rows.next()? {
        let (place, at, crc): (i64, i64, i64) = (found.get(0)?, found.get(1)?, found.get(2)?);
        let bytes = found.get_ref(3)?.as_blob().map_err(rusqlite::Error::from)?;
        if place != next + 1 || place > row.head {
            return Err(damaged(format!("entry {} is missing", next + 1)));
        }
        if crc != i64::from(checksum::entry(row.id, log, place, at, bytes)) {
            return Err(damaged(format!("entry {place} does not match its checksum")));
        }
        if size > 0 && size + bytes.len() > READ_PAGE_BYTES {
            page.more = true;
            return Ok(page);
        }
        size += bytes.len();
        page.entries.push(Entry {
            position: position(place),
            id: None,
            bytes: Bytes::copy_from_slice(bytes),
        });
        next = place;
    }
    // A reader that is ahead of the log has read nothing wrong: there is just nothing more.
    if next < row.head {
        return Err(damaged(format!("entry {} is missing", next + 1)));
    }
    Ok(page)
}

/// S9: the newest snapshot that passes its checksum.
fn newest_snapshot(connection: &Connection, row: &LogRow) -> Result<Snapshot, Stop> {
    let mut all = connection.prepare_cached(
        "SELECT covers, object, length, crc FROM snapshots WHERE log = ?1 ORDER BY covers DESC",
    )?;
    let found: Vec<(i64, i64, i64, i64)> = all
        .query_map([row.id], |found| {
            Ok((found.get(0)?, found.get(1)?, found.get(2)?, found.get(3)?))
        })?
        .collect::<Result<_, _>>()?;
    for (covers, object, length, crc) in found {
        let bytes = match object_bytes(connection, object, length) {
            Ok(bytes) => bytes,
            Err(stop) => {
                tracing::error!(log = %row.name, covers, ?stop, "a snapshot cannot be read; falling back to the one before");
                continue;
            }
        };
        // One that covers less than was trimmed has no entries to continue with.
        if covers >= row.trimmed
            && covers <= row.head
            && crc == i64::from(checksum::snapshot(row.id, &row.name, covers, &bytes))
        {
            if covers != row.snapshot {
                tracing::error!(log = %row.name, covers, newest = row.snapshot, "the newest snapshot is damaged; reading from an older one");
            }
            return Ok(Snapshot { covers: position(covers), last: None, bytes });
        }
        tracing::error!(log = %row.name, covers, "a snapshot does not match its checksum; falling back to the one before");
    }
    Err(damaged(format!("no snapshot is left of the entries up to {}", row.trimmed)))
}

/// The pieces of an object, joined.
pub(crate) fn object_bytes(
    connection: &Connection,
    object: i64,
    length: i64,
) -> Result<Bytes, Stop> {
    let mut parts =
        connection.prepare_cached("SELECT bytes FROM parts WHERE object = ?1 ORDER BY part")?;
    let mut rows = parts.query([object])?;
    let length = usize::try_from(length).unwrap_or(0);
    let mut joined = BytesMut::new();
    while let Some(part) = rows.next()? {
        joined.extend_from_slice(part.get_ref(0)?.as_blob().map_err(rusqlite::Error::from)?);
        if joined.len() > length {
            break;
        }
    }
    if joined.len() == length {
        Ok(joined.freeze())
    } else {
        Err(damaged(format!("an object has {} bytes instead of {length}", joined.len())))
    }
}

/// S15: a blob, checked.
pub(crate) fn blob(connection: &Connection, name: &LogName) -> Result<Option<Bytes>, Stop> {
    let mut find =
        connection.prepare_cached("SELECT object, length, crc FROM blobs WHERE name = ?1")?;
    let found = find
        .query_row([name.as_str()], |row| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?, row.get::<_, i64>(2)?))
        })
        .optional()?;
    let Some((object, length, crc)) = found else { return Ok(None) };
    let bytes = object_bytes(connection, object, length)?;
    if crc == i64::from(checksum::blob(name, &bytes)) {
        Ok(Some(bytes))
    } else {
        Err(damaged("a blob does not match its checksum".into()))
    }
}

/// S20: names of blobs in byte order.
pub(crate) fn list_blobs(
    connection: &Connection,
    after: Option<&LogName>,
    limit: usize,
) -> Result<Vec<LogName>, Stop> {
    let mut names = connection
        .prepare_cached("SELECT name FROM blobs WHERE name > ?1 ORDER BY name LIMIT ?2")?;
    let after = after.map_or("", LogName::as_str);
    let names: Vec<String> = names
        .query_map(params![after, int(limit as u64)], |row| row.get(0))?
        .collect::<Result<_, _>>()?;
    names
        .iter()
        .map(|name| LogName::new(name).map_err(|_| damaged("the name of a blob".into())))
        .collect()
}

/// S11: everything that lies there. Rows that the database cannot give are listed too, empty and not intact.
pub(crate) fn raw(connection: &Connection, log: &LogName) -> Result<Vec<RawRecord>, Stop> {
    // Number and bounds are taken as they are: a damaged line in the list of logs must not hide its records.
    let found: Option<(i64, i64, i64)> = connection
        .prepare_cached("SELECT id, head, trimmed FROM logs WHERE name = ?1")?
        .query_row([log.as_str()], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()?;
    let Some((id, head, trimmed)) = found else { return Ok(Vec::new()) };
    let mut records = raw_snapshots(connection, id, log)?;
    let line_is_good = matches!(find_log(connection, log), Ok(Some(_)));
    match raw_entries(connection, id, log, trimmed) {
        Ok(entries) if !line_is_good => records.extend(entries),
        Ok(entries) => {
            let mut next = trimmed;
            for entry in entries {
                let place = int(entry.position.0);
                records.extend((next + 1..place).map(missing));
                next = place;
                records.push(entry);
            }
            records.extend((next + 1..=head).map(missing));
        }
        // The table is damaged somewhere: take the rows one by one.
        Err(_) if line_is_good => {
            for place in trimmed + 1..=head {
                records.push(
                    raw_entry(connection, id, log, place)
                        .ok()
                        .flatten()
                        .unwrap_or_else(|| missing(place)),
                );
            }
        }
        Err(stop) => return Err(stop),
    }
    // Ids are a help and no content: where their table cannot be read the records are given without.
    let known = ids(connection, id).unwrap_or_default();
    for record in records.iter_mut().filter(|record| !record.is_snapshot) {
        record.id = known.get(&record.position).copied();
    }
    Ok(records)
}

/// Which append made which entry, as far as it is remembered (S4).
fn ids(connection: &Connection, log: i64) -> Result<HashMap<Position, EntryId>, Stop> {
    let mut read = connection.prepare_cached("SELECT position, id FROM ids WHERE log = ?1")?;
    let known = read.query_map([log], |row| {
        let id: [u8; 16] = row.get(1)?;
        Ok((position(row.get(0)?), EntryId(u128::from_be_bytes(id))))
    })?;
    Ok(known.collect::<Result<_, _>>()?)
}

fn missing(place: i64) -> RawRecord {
    RawRecord {
        position: position(place),
        is_snapshot: false,
        id: None,
        bytes: Bytes::new(),
        intact: false,
    }
}

fn raw_snapshots(connection: &Connection, id: i64, log: &LogName) -> Result<Vec<RawRecord>, Stop> {
    let mut all = connection.prepare_cached(
        "SELECT covers, object, length, crc FROM snapshots WHERE log = ?1 ORDER BY covers",
    )?;
    let found: Vec<(i64, i64, i64, i64)> = all
        .query_map([id], |found| Ok((found.get(0)?, found.get(1)?, found.get(2)?, found.get(3)?)))?
        .collect::<Result<_, _>>()?;
    Ok(found
        .into_iter()
        .map(|(covers, object, length, crc)| {
            let bytes = object_bytes(connection, object, length).ok();
            let intact = bytes
                .as_ref()
                .is_some_and(|bytes| crc == i64::from(checksum::snapshot(id, log, covers, bytes)));
            RawRecord {
                position: position(covers),
                is_snapshot: true,
                id: None,
                bytes: bytes.unwrap_or_default(),
                intact,
            }
        })
        .collect())
}

fn raw_entries(
    connection: &Connection,
    id: i64,
    log: &LogName,
    trimmed: i64,
) -> Result<Vec<RawRecord>, Stop> {
    let mut read = connection.prepare_cached(
        "SELECT position, at, crc, bytes FROM entries WHERE log = ?1 AND position > ?2 ORDER BY position",
    )?;
    Ok(read.query_map([id, trimmed], |row| raw_row(row, id, log))?.collect::<Result<_, _>>()?)
}

fn raw_entry(
    connection: &Connection,
    id: i64,
    log: &LogName,
    place: i64,
) -> Result<Option<RawRecord>, Stop> {
    let mut read = connection.prepare_cached(
        "SELECT position, at, crc, bytes FROM entries WHERE log = ?1 AND position = ?2",
    )?;
    Ok(read.query_row([id, place], |row| raw_row(row, id, log)).optional()?)
}

fn raw_row(row: &rusqlite::Row<'_>, id: i64, log: &LogName) -> rusqlite::Result<RawRecord> {
    let (place, at, crc): (i64, i64, i64) = (row.get(0)?, row.get(1)?, row.get(2)?);
    let bytes = row.get_ref(3)?.as_blob()?;
    let intact = crc == i64::from(checksum::entry(id, log, place, at, bytes));
    Ok(RawRecord {
        position: position(place),
        is_snapshot: false,
        id: None,
        bytes: Bytes::copy_from_slice(bytes),
        intact,
    })
}

/// S13: names in byte order.
pub(crate) fn list(
    connection: &Connection,
    prefix: &str,
    after: Option<&LogName>,
    limit: usize,
) -> Result<Vec<LogInfo>, Stop> {
    let mut read = connection.prepare_cached(
        "SELECT logs.*, reason FROM logs LEFT JOIN quarantine USING (name)
         WHERE logs.name >= ?1 AND logs.name > ?2 ORDER BY logs.name LIMIT ?3",
    )?;
    let mut found =
        infos(&mut read, params![prefix, after.map_or("", LogName::as_str), int(limit as u64)])?;
    // Names with the prefix stand together; the first one without it ends them.
    found.truncate(found.partition_point(|info| info.name.as_str().starts_with(prefix)));
    Ok(found)
}

/// Logs by their last change, newest first.
pub(crate) fn recent(
    connection: &Connection,
    prefix: &str,
    limit: usize,
) -> Result<Vec<LogInfo>, Stop> {
    let mut read = connection.prepare_cached(
        "SELECT logs.*, reason FROM logs LEFT JOIN quarantine USING (name)
         WHERE logs.name >= ?1 AND substr(logs.name, 1, length(?1)) = ?1 ORDER BY changed_at DESC, logs.name LIMIT ?2",
    )?;
    infos(&mut read, params![prefix, int(limit as u64)])
}

fn infos(
    read: &mut rusqlite::Statement<'_>,
    with: impl rusqlite::Params,
) -> Result<Vec<LogInfo>, Stop> {
    let mut rows = read.query(with)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        let reason: Option<String> = row.get(10)?;
        found.push(match LogRow::read(row)? {
            Ok(log) => LogInfo {
                name: log.name,
                head: position(log.head),
                snapshot: (log.snapshot > 0).then(|| position(log.snapshot)),
                bytes: u64::try_from(log.entry_bytes + log.snapshot_bytes).unwrap_or(0),
                changed_at: u64::try_from(log.changed_at).unwrap_or(0),
                quarantined: reason,
            },
            Err(super::schema::BadRow::State(name)) => LogInfo {
                name,
                head: Position::START,
                snapshot: None,
                bytes: 0,
                changed_at: 0,
                quarantined: Some(
                    reason.unwrap_or_else(|| "its line in the list of logs is damaged".into()),
                ),
            },
            // Found when the store is opened; here it would be a name that nobody can ask for.
            Err(super::schema::BadRow::Identity) => continue,
        });
    }
    Ok(found)
}

//! What does each write do to the tables?
//!
//! Every function runs inside one transaction of the writer. An append checks everything before it changes anything, so that a
//! refused one leaves no trace in the group it shares a commit with.

use super::schema::{BadRow, LogRow};
use super::trouble::{Stop, Trouble};
use super::writer::Append;
use crate::store::{
    EntryId, KEPT_SNAPSHOTS, LogName, Position, REMEMBERED_IDS, StoreError, checksum,
};
use rusqlite::{Connection, OptionalExtension, params};

/// How many rows one sweep removes: a few milliseconds of work, then appends get their turn.
const SWEEP_ROWS: i64 = 500;

/// The outcome of one append.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Appended {
    pub(crate) position: Position,
    /// False when it was there already (S4).
    pub(crate) written: bool,
}

/// Positions and sizes are 63 bits wide in the database; nothing real comes near.
pub(crate) fn int(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

pub(crate) fn position(value: i64) -> Position {
    Position(u64::try_from(value).unwrap_or(0))
}

pub(super) fn length(bytes: &[u8]) -> i64 {
    i64::try_from(bytes.len()).unwrap_or(i64::MAX)
}

/// Finds a log. `None` if nobody has written it.
pub(crate) fn find_log(connection: &Connection, log: &LogName) -> Result<Option<LogRow>, Stop> {
    let mut find = connection.prepare_cached(LogRow::FIND)?;
    match find.query_row([log.as_str()], LogRow::read).optional()? {
        None => Ok(None),
        Some(Ok(row)) if row.name == *log => Ok(Some(row)),
        Some(Ok(_) | Err(BadRow::Identity | BadRow::State(_))) => {
            Err(Stop::Refused(StoreError::Corrupt("its line in the list of logs".into())))
        }
    }
}

/// Refuses a log that is set aside (S11).
pub(crate) fn refuse_quarantined(connection: &Connection, log: &LogName) -> Result<(), Stop> {
    let mut find = connection.prepare_cached("SELECT reason FROM quarantine WHERE name = ?1")?;
    match find.query_row([log.as_str()], |row| row.get::<_, String>(0)).optional()? {
        Some(reason) => Err(Stop::Refused(StoreError::Quarantined(reason))),
        None => Ok(()),
    }
}

pub(super) fn save_log(connection: &Connection, row: &LogRow) -> Result<(), Stop> {
    let mut save = connection.prepare_cached(
        "UPDATE logs SET head = ?2, trimmed = ?3, snapshot = ?4, entry_bytes = ?5, snapshot_bytes = ?6, changed_at = ?7, crc = ?8
         WHERE name = ?1",
    )?;
    let changed = save.execute(params![
        row.name.as_str(),
        row.head,
        row.trimmed,
        row.snapshot,
        row.entry_bytes,
        row.snapshot_bytes,
        row.changed_at,
        row.crc()
    ])?;
    if changed == 1 {
        Ok(())
    } else {
        Err(Stop::Trouble(Trouble::Damaged("the list of logs lost a line".into())))
    }
}

/// Takes a number that was never used before.
fn next_id(connection: &Connection) -> Result<i64, Stop> {
    let mut take = connection.prepare_cached(
        "UPDATE meta SET value = value + 1 WHERE key = 'next_id' RETURNING value - 1",
    )?;
    Ok(take.query_row([], |row| row.get(0))?)
}

fn count_logs(connection: &Connection, by: i64) -> Result<(), Stop> {
    connection
        .prepare_cached("UPDATE meta SET value = value + ?1 WHERE key = 'logs'")?
        .execute([by])?;
    Ok(())
}

pub(super) fn new_log(connection: &Connection, log: &LogName) -> Result<LogRow, Stop> {
    let row = LogRow {
        name: log.clone(),
        id: next_id(connection)?,
        head: 0,
        trimmed: 0,
        snapshot: 0,
        entry_bytes: 0,
        snapshot_bytes: 0,
        changed_at: 0,
    };
    connection
        .prepare_cached("INSERT INTO logs VALUES (?1, ?2, ?3, 0, 0, 0, 0, 0, 0, ?4)")?
        .execute(params![log.as_str(), row.id, row.identity(), row.crc()])?;
    count_logs(connection, 1)?;
    Ok(row)
}

/// S2, S3, S4: one append.
pub(crate) fn append_in(
    connection: &Connection,
    now: i64,
    append: &Append,
) -> Result<Appended, Stop> {
    let Append { log, expected, id, bytes, .. } = append;
    refuse_quarantined(connection, log)?;
    let found = find_log(connection, log)?;
    let id = id_bytes(*id);
    if let Some(row) = &found {
        let mut known =
            connection.prepare_cached("SELECT position FROM ids WHERE log = ?1 AND id = ?2")?;
        if let Some(first) = known.query_row(params![row.id, id], |row| row.get(0)).optional()? {
            return Ok(Appended { position: position(first), written: false });
        }
    }
    let head = position(found.as_ref().map_or(0, |row| row.head));
    if expected.is_some_and(|expected| expected != head) {
        return Err(Stop::Refused(StoreError::Conflict { head }));
    }
    let mut row = match found {
        Some(row) => row,
        None => new_log(connection, log)?,
    };
    row.head += 1;
    row.entry_bytes += length(bytes);
    row.changed_at = now;
    let crc = i64::from(checksum::entry(row.id, log, row.head, now, bytes));
    connection
        .prepare_cached("INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![row.id, row.head, now, crc, &bytes[..]])?;
    connection
        .prepare_cached("INSERT INTO ids VALUES (?1, ?2, ?3)")?
        .execute(params![row.id, id, row.head])?;
    save_log(connection, &row)?;
    Ok(Appended { position: position(row.head), written: true })
}

pub(super) fn id_bytes(id: EntryId) -> [u8; 16] {
    id.0.to_be_bytes()
}

/// Takes a number for a new object and books it as garbage until it is sealed: a crash on the way leaves nothing behind.
pub(crate) fn begin_object(connection: &Connection) -> Result<i64, Stop> {
    let object = next_id(connection)?;
    discard(connection, object)?;
    Ok(object)
}

fn discard(connection: &Connection, id: i64) -> Result<(), Stop> {
    connection.prepare_cached("INSERT INTO garbage VALUES (?1)")?.execute([id])?;
    Ok(())
}

pub(super) fn keep(connection: &Connection, id: i64) -> Result<(), Stop> {
    connection.prepare_cached("DELETE FROM garbage WHERE id = ?1")?.execute([id])?;
    Ok(())
}

/// Writes one piece of an object.
pub(crate) fn put_part(
    connection: &Connection,
    object: i64,
    part: i64,
    bytes: &[u8],
) -> Result<(), Stop> {
    connection
        .prepare_cached("INSERT INTO parts VALUES (?1, ?2, ?3)")?
        .execute(params![object, part, bytes])?;
    Ok(())
}

/// S8: whether a snapshot that covers `covers` may be stored. Asked before the work, and again when it is done.
pub(crate) fn admit_snapshot(
    connection: &Connection,
    log: &LogName,
    covers: i64,
) -> Result<LogRow, Stop> {
    refuse_quarantined(connection, log)?;
    let Some(row) = find_log(connection, log)? else {
        return Err(Stop::Refused(StoreError::Ahead { head: Position::START }));
    };
    if covers > row.head {
        return Err(Stop::Refused(StoreError::Ahead { head: position(row.head) }));
    }
    if covers == 0 || covers < row.snapshot {
        return Err(Stop::Refused(StoreError::Stale { newest: position(row.snapshot) }));
    }
    Ok(row)
}

/// A snapshot whose pieces are written and were read back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Sealed {
    pub(crate) covers: i64,
    pub(crate) object: i64,
    pub(crate) length: i64,
    pub(crate) crc: u32,
}

/// S8, S9: makes a verified object the newest snapshot of the log numbered `id`, and lets go what no kept snapshot needs.
/// Returns the objects that are garbage now.
pub(crate) fn seal_snapshot(
    connection: &Connection,
    log: &LogName,
    id: i64,
    new: Sealed,
) -> Result<Vec<i64>, Stop> {
    let mut row = admit_snapshot(connection, log, new.covers)?;
    if row.id != id {
        // Deleted and begun again meanwhile: this snapshot belongs to another life.
        return Err(Stop::Refused(StoreError::Ahead { head: position(row.head) }));
    }
    let mut garbage: Vec<i64> = Vec::new();
    let replaced = connection
        .prepare_cached("DELETE FROM snapshots WHERE log = ?1 AND covers = ?2 RETURNING object")?
        .query_row([id, new.covers], |row| row.get::<_, i64>(0))
        .optional()?;
    garbage.extend(replaced);
    connection
        .prepare_cached("INSERT INTO snapshots VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![id, new.covers, new.object, new.length, new.crc])?;
    keep(connection, new.object)?;

    let kept: Vec<(i64, i64)> = connection
        .prepare_cached("SELECT covers, object FROM snapshots WHERE log = ?1 ORDER BY covers DESC")?
        .query_map([id], |row| Ok((row.get(0)?, row.get(1)?)))?
        .collect::<Result<_, _>>()?;
    for (covers, object) in kept.iter().skip(KEPT_SNAPSHOTS) {
        connection
            .prepare_cached("DELETE FROM snapshots WHERE log = ?1 AND covers = ?2")?
            .execute([id, *covers])?;
        garbage.push(*object);
    }
    for object in &garbage {
        discard(connection, *object)?;
    }

    let oldest =
        kept.iter().take(KEPT_SNAPSHOTS).next_back().map_or(new.covers, |(covers, _)| *covers);
    if oldest > row.trimmed {
        let freed: i64 = connection
            .prepare_cached(
                "SELECT coalesce(sum(length(bytes)), 0) FROM entries WHERE log = ?1 AND position > ?2 AND position <= ?3",
            )?
            .query_row([id, row.trimmed, oldest], |row| row.get(0))?;
        row.entry_bytes -= freed;
        row.trimmed = oldest;
    }
    row.snapshot = new.covers;
    row.snapshot_bytes = new.length;
    save_log(connection, &row)?;
    Ok(garbage)
}

/// Removes some of the entries that a log has trimmed, and ids that need not be remembered (S4). `true`: there may be more.
pub(crate) fn sweep_log(connection: &Connection, log: &LogName) -> Result<bool, Stop> {
    let Some(row) = find_log(connection, log)? else { return Ok(false) };
    let entries = connection
        .prepare_cached(
            "DELETE FROM entries WHERE log = ?1 AND position <= ?2 AND position IN
             (SELECT position FROM entries WHERE log = ?1 AND position <= ?2 ORDER BY position LIMIT ?3)",
        )?
        .execute(params![row.id, row.trimmed, SWEEP_ROWS])?;
    let forgotten = row.trimmed.min(row.head - i64::try_from(REMEMBERED_IDS).unwrap_or(i64::MAX));
    let ids = connection
        .prepare_cached(
            "DELETE FROM ids WHERE log = ?1 AND id IN
             (SELECT id FROM ids WHERE log = ?1 AND position <= ?2 LIMIT ?3)",
        )?
        .execute(params![row.id, forgotten, SWEEP_ROWS])?;
    Ok(int(entries as u64) == SWEEP_ROWS || int(ids as u64) == SWEEP_ROWS)
}

/// Removes some of what lies under a number that is garbage. `true`: there may be more.
pub(crate) fn sweep_garbage(connection: &Connection, id: i64) -> Result<bool, Stop> {
    let wanted: bool = connection
        .prepare_cached("SELECT EXISTS (SELECT 1 FROM garbage WHERE id = ?1)")?
        .query_row([id], |row| row.get(0))?;
    if !wanted {
        return Ok(false);
    }
    // Pieces are large: a few at a time.
    let parts = connection
        .prepare_cached(
            "DELETE FROM parts WHERE object = ?1 AND part IN (SELECT part FROM parts WHERE object = ?1 LIMIT 4)",
        )?
        .execute([id])?;
    let entries = connection
        .prepare_cached(
            "DELETE FROM entries WHERE log = ?1 AND position IN (SELECT position FROM entries WHERE log = ?1 LIMIT ?2)",
        )?
        .execute([id, SWEEP_ROWS])?;
    let ids = connection
        .prepare_cached(
            "DELETE FROM ids WHERE log = ?1 AND id IN (SELECT id FROM ids WHERE log = ?1 LIMIT ?2)",
        )?
        .execute([id, SWEEP_ROWS])?;
    if parts + entries + ids > 0 {
        return Ok(true);
    }
    keep(connection, id)?;
    Ok(false)
}

/// Numbers that were garbage when the process last ended.
pub(crate) fn all_garbage(connection: &Connection) -> Result<Vec<i64>, Stop> {
    let mut all = connection.prepare("SELECT id FROM garbage")?;
    Ok(all.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?)
}

/// S11: sets a log aside. The first reason stays.
pub(crate) fn quarantine(
    connection: &Connection,
    log: &LogName,
    reason: &str,
    now: i64,
) -> Result<(), Stop> {
    connection
        .prepare_cached("INSERT INTO quarantine VALUES (?1, ?2, ?3) ON CONFLICT DO NOTHING")?
        .execute(params![log.as_str(), reason, now])?;
    Ok(())
}

/// S11: takes a log back into service, with a clean record.
pub(crate) fn release(connection: &Connection, log: &LogName) -> Result<(), Stop> {
    connection.prepare_cached("DELETE FROM quarantine WHERE name = ?1")?.execute([log.as_str()])?;
    clear_crashes(connection, log)
}

/// S12: forgets a log. Returns the numbers to sweep.
pub(crate) fn delete_log(connection: &Connection, log: &LogName) -> Result<Vec<i64>, Stop> {
    release(connection, log)?;
    // The number is read as it is, damaged or not: a damaged log can be deleted too.
    let id: Option<i64> = connection
        .prepare_cached("DELETE FROM logs WHERE name = ?1 RETURNING id")?
        .query_row([log.as_str()], |row| row.get(0))
        .optional()?;
    let Some(id) = id else { return Ok(Vec::new()) };
    count_logs(connection, -1)?;
    let mut garbage = vec![id];
    let mut objects =
        connection.prepare_cached("DELETE FROM snapshots WHERE log = ?1 RETURNING object")?;
    for object in objects.query_map([id], |row| row.get(0))? {
        garbage.push(object?);
    }
    for id in &garbage {
        discard(connection, *id)?;
    }
    Ok(garbage)
}

/// S15: makes a verified object the blob of that name. Returns what to sweep.
pub(crate) fn seal_blob(
    connection: &Connection,
    name: &LogName,
    new: Sealed,
) -> Result<Vec<i64>, Stop> {
    let garbage = drop_blob(connection, name)?;
    connection.prepare_cached("INSERT INTO blobs VALUES (?1, ?2, ?3, ?4)")?.execute(params![
        name.as_str(),
        new.object,
        new.length,
        new.crc
    ])?;
    keep(connection, new.object)?;
    Ok(garbage)
}

/// S15: forgets a blob. Returns what to sweep.
pub(crate) fn drop_blob(connection: &Connection, name: &LogName) -> Result<Vec<i64>, Stop> {
    let object: Option<i64> = connection
        .prepare_cached("DELETE FROM blobs WHERE name = ?1 RETURNING object")?
        .query_row([name.as_str()], |row| row.get(0))
        .optional()?;
    if let Some(object) = object {
        discard(connection, object)?;
    }
    Ok(object.into_iter().collect())
}

/// Notes that the process died while it applied an entry of this log. Returns how often that has happened since the last clean load.
pub(crate) fn count_crash(connection: &Connection, log: &LogName) -> Result<i64, Stop> {
    let mut count = connection.prepare_cached(
        "INSERT INTO crashes VALUES (?1, 1) ON CONFLICT DO UPDATE SET count = count + 1 RETURNING count",
    )?;
    Ok(count.query_row([log.as_str()], |row| row.get(0))?)
}

/// Forgets the crashes of a log.
pub(crate) fn clear_crashes(connection: &Connection, log: &LogName) -> Result<(), Stop> {
    connection.prepare_cached("DELETE FROM crashes WHERE name = ?1")?.execute([log.as_str()])?;
    Ok(())
}

//! How does a whole log come into the database at once?
//!
//! Its snapshots are written first, in pieces that belong to nobody. Then one transaction makes the log with its entries and takes the snapshots: whoever
//! looks sees no log or all of it.

use super::schema::LogRow;
use super::trouble::Stop;
use super::write::{self, Sealed, int};
use super::{SqliteStore, sealed_length};
use crate::store::{Contents, LogName, RawRecord, Shape, StoreError, checksum};
use rusqlite::{Connection, params};

impl SqliteStore {
    /// S19.
    pub(super) async fn import_whole(
        &self,
        log: &LogName,
        contents: Contents,
    ) -> Result<(), StoreError> {
        let shape = contents.shape()?;
        let name = log.clone();
        self.read_with(move |connection| refuse_existing(connection, &name)).await?;
        let mut objects = Vec::new();
        let mut put = Ok(());
        for snapshot in contents.snapshots() {
            match self.put_object(&snapshot.bytes).await {
                Ok(object) => objects.push(object),
                Err(error) => {
                    put = Err(error);
                    break;
                }
            }
        }
        let done = match put {
            Ok(()) => {
                let (name, objects) = (log.clone(), objects.clone());
                let bytes = contents.entries().map(|entry| entry.bytes.len()).sum();
                self.write(bytes, move |connection| {
                    place(connection, &name, &contents, shape, &objects)
                })
                .await
            }
            Err(error) => Err(error),
        };
        if done.is_err() {
            // Only what no log has taken is garbage: a sweep leaves everything else alone.
            self.sweep_quietly(objects).await;
        }
        done
    }
}

fn refuse_existing(connection: &Connection, log: &LogName) -> Result<(), Stop> {
    match write::find_log(connection, log)? {
        Some(found) => {
            Err(Stop::Refused(StoreError::Conflict { head: write::position(found.head) }))
        }
        None => Ok(()),
    }
}

fn place(
    connection: &Connection,
    log: &LogName,
    contents: &Contents,
    shape: Shape,
    objects: &[i64],
) -> Result<(), Stop> {
    refuse_existing(connection, log)?;
    let mut row = LogRow {
        head: int(shape.head.0),
        trimmed: int(shape.trimmed.0),
        snapshot: int(shape.newest.0),
        changed_at: int(contents.changed_at),
        ..write::new_log(connection, log)?
    };
    for (record, object) in contents.snapshots().zip(objects) {
        let sealed = sealed(&row, record, *object);
        connection
            .prepare_cached("INSERT INTO snapshots VALUES (?1, ?2, ?3, ?4, ?5)")?
            .execute(params![row.id, sealed.covers, sealed.object, sealed.length, sealed.crc])?;
        write::keep(connection, *object)?;
        row.snapshot_bytes = sealed.length;
    }
    for record in contents.entries() {
        put_entry(connection, &row, record)?;
        row.entry_bytes += write::length(&record.bytes);
    }
    write::save_log(connection, &row)?;
    if let Some(reason) = &contents.quarantined {
        write::quarantine(connection, log, reason, super::now_ms())?;
    }
    Ok(())
}

/// What was damaged gets a checksum that does not match here either.
fn hurt(record: &RawRecord) -> u32 {
    u32::from(!record.intact)
}

fn sealed(row: &LogRow, record: &RawRecord, object: i64) -> Sealed {
    let covers = int(record.position.0);
    Sealed {
        covers,
        object,
        length: sealed_length(&record.bytes),
        crc: checksum::snapshot(row.id, &row.name, covers, &record.bytes) ^ hurt(record),
    }
}

fn put_entry(connection: &Connection, row: &LogRow, record: &RawRecord) -> Result<(), Stop> {
    let place = int(record.position.0);
    let crc =
        checksum::entry(row.id, &row.name, place, row.changed_at, &record.bytes) ^ hurt(record);
    connection
        .prepare_cached("INSERT INTO entries VALUES (?1, ?2, ?3, ?4, ?5)")?
        .execute(params![row.id, place, row.changed_at, i64::from(crc), &record.bytes[..]])?;
    if let Some(id) = record.id {
        connection
            .prepare_cached("INSERT OR IGNORE INTO ids VALUES (?1, ?2, ?3)")?
            .execute(params![row.id, write::id_bytes(id), place])?;
    }
    Ok(())
}

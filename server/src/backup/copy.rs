//! How does a database become one file elsewhere, and how does it come back?

use super::transfer::{self, Copied, Moving, Progress};
use super::verify::{Report, check};
use super::{BackupError, Source, damaged, io_at, open_to_read};
use crate::store::sqlite::directory::{Marker, sync_directory};
use crate::store::sqlite::{Directory, SqliteOptions, SqliteStore, schema};
use crate::store::{LogName, Store};
use rusqlite::Connection;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};

/// What a backup holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Saved {
    /// How many logs.
    pub logs: usize,
    /// The file's size. Bytes.
    pub bytes: u64,
    /// Logs with records that do not match their checksums. They were so in the original, and are in the backup as they are.
    pub damaged: Vec<LogName>,
}

/// What a restore did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Restored {
    /// What is in place now.
    pub saved: Saved,
    /// Where the former data went, if there was any.
    pub moved_to: Option<PathBuf>,
}

/// What a restore does with data that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Existing {
    /// Leaves it, and refuses.
    Keep,
    /// Moves it into a folder beside it.
    MoveAside,
}

fn beside(file: &Path, suffix: &str) -> PathBuf {
    let mut name = file.file_name().unwrap_or_default().to_owned();
    name.push(suffix);
    file.with_file_name(name)
}

fn folder_of(file: &Path) -> &Path {
    match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

fn saved(report: &Report, file: &Path) -> Result<Saved, BackupError> {
    if let Err(what) = &report.structure {
        return Err(BackupError::Damaged { file: file.to_path_buf(), what: what.clone() });
    }
    Ok(Saved {
        logs: report.logs.len(),
        bytes: std::fs::metadata(file).map_err(io_at("reading", file))?.len(),
        damaged: report
            .logs
            .iter()
            .filter(|log| !log.damaged.is_empty())
            .map(|log| log.name.clone())
            .collect(),
    })
}

/// Copies the database of a data directory, one moment of it, into a new file. The server may be running. When this returns the file is
/// complete, was read back and is on the disk; if it does not return, no file of that name is there.
pub fn backup(data: &Path, file: &Path) -> Result<Saved, BackupError> {
    if file.exists() {
        return Err(BackupError::Exists(file.to_path_buf()));
    }
    let (source, from) = open_to_read(data)?;
    let partial = beside(file, ".partial");
    remove(&partial)?;
    let Some(target) = partial.to_str() else {
        let source = io::Error::new(io::ErrorKind::InvalidInput, "the name is not text");
        return Err(io_at("writing", &partial)(source));
    };
    source.execute("VACUUM INTO ?1", [target]).map_err(damaged(&from))?;
    let (copy, _) = open_to_read(&partial)?;
    let saved = saved(&check(&copy, &|_: &super::LogContent| Ok(())), &partial)?;
    drop(copy);
    File::open(&partial).and_then(|file| file.sync_all()).map_err(io_at("writing", &partial))?;
    place(&partial, file)?;
    sync_directory(folder_of(file)).map_err(io_at("writing in", folder_of(file)))?;
    Ok(saved)
}

/// The same for a store: everything is copied into a database beside the new file first, log by log, each at one moment of its own.
pub async fn backup_of(
    source: &Source,
    origin: &str,
    file: &Path,
    tell: &mut dyn FnMut(Progress),
) -> Result<(Saved, Copied), BackupError> {
    if file.exists() {
        return Err(BackupError::Exists(file.to_path_buf()));
    }
    let folder = beside(file, ".copying");
    // Left by one that was interrupted.
    remove_folder(&folder)?;
    let store = SqliteStore::open(&folder, SqliteOptions::default())?;
    let copied = transfer::copy(source, origin, &*store, Moving::IsFine, tell).await;
    store.close().await;
    drop(store);
    let saved = copied.and_then(|copied| Ok((backup(&folder, file)?, copied)));
    let removed = remove_folder(&folder);
    let saved = saved?;
    removed?;
    Ok(saved)
}

fn remove_folder(folder: &Path) -> Result<(), BackupError> {
    match std::fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_at("removing", folder)(error))
        }
        _ => Ok(()),
    }
}

/// Gives a finished file its name, unless the name has been taken meanwhile.
fn place(partial: &Path, file: &Path) -> Result<(), BackupError> {
    match std::fs::hard_link(partial, file) {
        Ok(()) => remove(partial),
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
            Err(BackupError::Exists(file.to_path_buf()))
        }
        // Some file systems of memory sticks have no links: reserve the name and put the file over it.
        Err(_) => match File::create_new(file) {
            Ok(_) => std::fs::rename(partial, file).map_err(io_at("writing", file)),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                Err(BackupError::Exists(file.to_path_buf()))
            }
            Err(error) => Err(io_at("writing", file)(error)),
        },
    }
}

fn remove(file: &Path) -> Result<(), BackupError> {
    match std::fs::remove_file(file) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => {
            Err(io_at("removing", file)(error))
        }
        _ => Ok(()),
    }
}

/// Puts a backup into a data directory. The database gets a new id and remembers that it was restored, because clients may hold newer edits.
///
/// At every step a crash leaves a directory that either still has its former data or refuses to start.
pub fn restore(file: &Path, data: &Path, existing: Existing) -> Result<Restored, BackupError> {
    let (backup, _) = open_to_read(file)?;
    let report = check(&backup, &|_: &super::LogContent| Ok(()));
    let saved = saved(&report, file)?;
    drop(backup);

    std::fs::create_dir_all(data).map_err(io_at("creating", data))?;
    let directory = Directory::new(data);
    let _lock = directory.lock()?;
    let there: Vec<PathBuf> =
        directory.all_files().into_iter().filter(|file| file.exists()).collect();
    if !there.is_empty() && existing == Existing::Keep {
        return Err(BackupError::Occupied(data.to_path_buf()));
    }

    // 1. A whole new database beside the old one.
    let fresh = beside(&directory.database(), ".restoring");
    remove(&fresh)?;
    std::fs::copy(file, &fresh).map_err(io_at("copying to", &fresh))?;
    let id = format!("{:032x}", rand::random::<u128>());
    renew(&fresh, &id).map_err(damaged(&fresh))?;
    File::open(&fresh).and_then(|file| file.sync_all()).map_err(io_at("writing", &fresh))?;

    // 2. The marker asks for the new one: from here on a start without it is refused.
    let moved_to = set_aside(&directory, &there)?;
    let marker = Marker { schema: schema::SCHEMA, id };
    directory.set_marker(&marker).map_err(io_at("writing", &directory.marker_file()))?;

    // 3. The old one goes, the new one comes.
    if let Some(aside) = &moved_to {
        for old in &there {
            if *old != directory.marker_file() {
                let name = old.file_name().unwrap_or_default();
                std::fs::rename(old, aside.join(name)).map_err(io_at("moving", old))?;
            }
        }
        sync_directory(aside).map_err(io_at("writing in", aside))?;
    }
    std::fs::rename(&fresh, directory.database()).map_err(io_at("moving", &fresh))?;
    directory.sync().map_err(io_at("writing in", data))?;
    Ok(Restored { saved, moved_to })
}

/// Makes the folder for the former data, with a copy of its marker.
fn set_aside(directory: &Directory, there: &[PathBuf]) -> Result<Option<PathBuf>, BackupError> {
    if there.is_empty() {
        return Ok(None);
    }
    let aside = directory.root().join(format!("replaced-{}", crate::clock::wall_millis()));
    std::fs::create_dir(&aside).map_err(io_at("creating", &aside))?;
    let marker = directory.marker_file();
    if marker.exists() {
        std::fs::copy(&marker, aside.join("commonplace.id")).map_err(io_at("copying", &marker))?;
    }
    Ok(Some(aside))
}

fn renew(file: &Path, id: &str) -> rusqlite::Result<()> {
    let connection = Connection::open(file)?;
    // One file and no other beside it.
    connection.execute_batch(
        "PRAGMA journal_mode = DELETE; PRAGMA synchronous = FULL; BEGIN IMMEDIATE",
    )?;
    connection.execute("UPDATE meta SET value = ?1 WHERE key = 'id'", [id])?;
    let now = crate::store::sqlite::now_ms();
    connection.execute("UPDATE meta SET value = ?1 WHERE key = 'restored_at'", [now])?;
    // What crashed the server before may be gone with the newer records.
    connection.execute_batch("DELETE FROM crashes; COMMIT")
}

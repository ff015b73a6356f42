//! How does an operator copy, restore, prove and look into what is stored, without the server's help?
//!
//! These are plain functions for the command line. What only reads (`backup`, `verify`, `list`, `export`) works beside a running server: it
//! opens the database read-only and sees one moment of it. What changes something (`restore`, `quarantine`, `release`) takes the data
//! directory's lock and refuses while a server holds it: a running server keeps documents in memory, and a mark made behind its back would be
//! overtaken by its next append.
//!
//! A store that several instances share has no lock. There, what changes something is a verb of the store, which the instances see when they next ask it.

mod copy;
mod export;
mod source;
mod transfer;
mod verify;

pub use copy::{Existing, Restored, Saved, backup, backup_of, restore};
pub use export::{Exported, export, quarantine, read_export, release};
pub use source::Source;
pub use transfer::{Copied, Moving, Progress, copy, unfinished};
pub use verify::{Judge, LogContent, LogReport, Report, verify, verify_store};

use crate::store::sqlite::{OpenError, schema};
use crate::store::{BadLogName, LogName, StoreError};
use rusqlite::Connection;
use std::io;
use std::path::{Path, PathBuf};

/// Why a command did not happen. Unless it says otherwise nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum BackupError {
    /// The data directory cannot be used.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A backup never replaces a file.
    #[error("{} exists already; choose another name or move it away", .0.display())]
    Exists(PathBuf),
    /// A restore never replaces data unless it is asked to.
    #[error("{} holds a database already; add --replace to move it aside and put the backup in its place", .0.display())]
    Occupied(PathBuf),
    /// There is nothing to read.
    #[error("there is no database at {}", .0.display())]
    NotFound(PathBuf),
    /// The file is something else.
    #[error("{} is not a Commonplace database or backup", .0.display())]
    Foreign(PathBuf),
    /// The file is from a newer release.
    #[error("{} was written by a newer release (its schema is {found}, this release knows {known})", .file.display())]
    Newer {
        /// The file.
        file: PathBuf,
        /// Its schema.
        found: i32,
        /// The newest schema we know.
        known: i32,
    },
    /// The file cannot be believed.
    #[error("{} is damaged: {what}", .file.display())]
    Damaged {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Nothing was ever written to that log.
    #[error("there is no log {0:?}")]
    NoSuchLog(LogName),
    /// Not a name.
    #[error(transparent)]
    BadName(#[from] BadLogName),
    /// The store said no.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A copy goes only where nothing is.
    #[error(
        "there is data in the place to copy to; a copy goes only where nothing is: choose another place"
    )]
    NotEmpty,
    /// Another copy was begun there.
    #[error(
        "a copy from {0} was begun there and is not finished: finish that one, or choose another place"
    )]
    OtherCopy(String),
    /// The source is itself half a copy.
    #[error("{0} is itself a copy that is not finished: finish that one first")]
    HalfCopy(String),
    /// What was written does not read back.
    #[error(
        "{0:?} is not the same in both places, although nothing should have changed it: is something else writing to the place of the copy?"
    )]
    Differs(LogName),
    /// The file system said no.
    #[error("{doing} {}", .path.display())]
    Io {
        /// What was tried.
        doing: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

fn io_at(doing: &'static str, path: &Path) -> impl FnOnce(io::Error) -> BackupError {
    move |source| BackupError::Io { doing, path: path.to_path_buf(), source }
}

fn damaged(file: &Path) -> impl FnOnce(rusqlite::Error) -> BackupError {
    move |error| BackupError::Damaged { file: file.to_path_buf(), what: error.to_string() }
}

/// Opens a data directory's database, or a backup file, to read.
fn open_to_read(path: &Path) -> Result<(Connection, PathBuf), BackupError> {
    let file = if path.is_dir() {
        crate::store::sqlite::Directory::new(path).database()
    } else {
        path.to_path_buf()
    };
    if !file.exists() {
        return Err(BackupError::NotFound(file));
    }
    let connection = crate::store::sqlite::open_reader(&file).map_err(damaged(&file))?;
    let number = |pragma: &str| {
        connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i32>(0))
    };
    let application = match number("application_id") {
        Ok(application) => application,
        Err(error) if error.sqlite_error_code() == Some(rusqlite::ErrorCode::NotADatabase) => {
            return Err(BackupError::Foreign(file));
        }
        Err(error) => return Err(damaged(&file)(error)),
    };
    if application != schema::APPLICATION_ID {
        return Err(BackupError::Foreign(file));
    }
    let found = number("user_version").map_err(damaged(&file))?;
    if found > schema::SCHEMA {
        return Err(BackupError::Newer { file, found, known: schema::SCHEMA });
    }
    Ok((connection, file))
}

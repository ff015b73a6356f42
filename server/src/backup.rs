//! How does an operator copy, restore, prove and look into what is stored, without the server's help?
//!
//! These are plain functions for the command line. What only reads (`backup`, `verify`, `list`, `export`) works beside a running server: it
//! opens the database read-only and sees one moment of it. What changes something (`restore`, `quarantine`, `release`) takes the data
//! directory's lock and refuses while a server holds it: a running server keeps documents in memory, and a mark made behind its back would be
//! overtaken by its next append. On a running server the same is done through the server.

mod copy;
mod export;
mod verify;

pub use copy::{Existing, Restored, Saved, backup, restore};
pub use export::{Exported, export, list, quarantine, read_export, release};
pub use verify::{Judge, LogContent, LogReport, Report, verify};

use crate::store::sqlite::{OpenError, schema};
use crate::store::{BadLogName, LogName};
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

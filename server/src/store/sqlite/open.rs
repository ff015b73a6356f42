//! When may the server start on what it finds in the data directory?
//!
//! It starts on a directory where nothing was ever kept, and on a database that is whole. In every other case it says what is wrong and
//! what to do, and leaves everything as it is: a server that starts empty where there was a database would let every client
//! believe that its notes are gone.

use super::directory::{Directory, Marker};
use super::schema::{APPLICATION_ID, BadRow, LogRow, SCHEMA, TABLES, settle, settle_writer};
use super::trouble::{Stop, Trouble};
use super::write::{int, quarantine};
use super::writer::now_ms;
use crate::store::LogName;
use rusqlite::{Connection, OpenFlags, OptionalExtension};
use std::io;
use std::path::{Path, PathBuf};

/// Up to this size the structure of the database is checked at every start, which takes well under a second. Larger ones are checked after
/// an unclean stop only. Bytes.
const CHECK_ALWAYS_BYTES: u64 = 256 * 1024 * 1024;

/// Why a store did not open. Nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by process {process}; one data directory serves one server: stop that one first, or give this one another directory with --data", .dir.display())]
    Locked {
        /// The data directory.
        dir: PathBuf,
        /// The other process's number.
        process: String,
    },
    /// Written by a newer release.
    #[error("{} was written by a newer release (its schema is {found}, this release knows {known}); start that release, or restore a backup made before the upgrade: commonplace restore FILE --data {}", .dir.display(), .dir.display())]
    Newer {
        /// The data directory.
        dir: PathBuf,
        /// The schema found.
        found: i32,
        /// The newest schema we know.
        known: i32,
    },
    /// There was a database here.
    #[error("{} held a database, and now {what}; if a disk is not mounted, mount it; otherwise restore a backup: commonplace restore FILE --data {}", .dir.display(), .dir.display())]
    Missing {
        /// The data directory.
        dir: PathBuf,
        /// What is found instead.
        what: String,
    },
    /// It is there and cannot be believed.
    #[error("the database in {} is damaged ({what}); keep a copy of the directory, then restore a backup: commonplace restore FILE --data {} --replace", .dir.display(), .dir.display())]
    Damaged {
        /// The data directory.
        dir: PathBuf,
        /// What is wrong with it.
        what: String,
    },
    /// Something else is there.
    #[error("{} is not a Commonplace database", .file.display())]
    Foreign {
        /// The file.
        file: PathBuf,
    },
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
    /// The database said no, for a reason outside its contents.
    #[error("opening the database in {} failed: {what}", .dir.display())]
    Database {
        /// The data directory.
        dir: PathBuf,
        /// What it said.
        what: String,
    },
}

impl OpenError {
    pub(crate) fn io(doing: &'static str, path: &Path, source: io::Error) -> Self {
        Self::Io { doing, path: path.to_path_buf(), source }
    }

    pub(crate) fn damaged(dir: &Path, what: impl Into<String>) -> Self {
        Self::Damaged { dir: dir.to_path_buf(), what: what.into() }
    }

    fn trouble(dir: &Path, trouble: Trouble) -> Self {
        match trouble {
            Trouble::Damaged(what) => Self::damaged(dir, what),
            Trouble::Full => {
                Self::Database { dir: dir.to_path_buf(), what: "the disk is full".into() }
            }
            Trouble::Busy(what) | Trouble::Broken(what) => {
                Self::Database { dir: dir.to_path_buf(), what }
            }
        }
    }

    pub(crate) fn stop(dir: &Path, stop: Stop) -> Self {
        match stop {
            Stop::Refused(error) => Self::damaged(dir, error.to_string()),
            Stop::Trouble(trouble) => Self::trouble(dir, trouble),
        }
    }

    pub(crate) fn sqlite(dir: &Path, error: rusqlite::Error) -> Self {
        Self::trouble(dir, Trouble::from(error))
    }
}

/// Opens or creates the database for writing. The directory's lock is held by the caller.
pub(crate) fn open_writer(
    directory: &Directory,
    max_bytes: Option<u64>,
) -> Result<Connection, OpenError> {
    let dir = directory.root();
    let marker = directory.marker()?;
    if let Some(Marker { schema, .. }) = marker
        && schema > SCHEMA
    {
        return Err(OpenError::Newer { dir: dir.to_path_buf(), found: schema, known: SCHEMA });
    }
    let size = std::fs::metadata(directory.database()).map_or(0, |found| found.len());
    if size == 0 {
        if marker.is_some() {
            let what = if directory.database().exists() {
                "its file is empty"
            } else {
                "its file is gone"
            };
            return Err(OpenError::Missing { dir: dir.to_path_buf(), what: what.into() });
        }
        return create(directory, max_bytes);
    }
    newer_in_header(directory)?;
    open_existing(directory, marker.as_ref(), size, max_bytes)
}

/// Looks for a newer schema in the file's first bytes, before SQLite touches anything.
fn newer_in_header(directory: &Directory) -> Result<(), OpenError> {
    let path = directory.database();
    let mut header = [0_u8; 72];
    let read = std::fs::File::open(&path)
        .and_then(|mut file| io::Read::read_exact(&mut file, &mut header));
    if read.is_err() || !header.starts_with(b"SQLite format 3\0") {
        // A torn first page may still be whole in the write-ahead log: SQLite decides.
        return Ok(());
    }
    let number = |at: usize| {
        i32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]])
    };
    let (schema, application) = (number(60), number(68));
    if application == APPLICATION_ID && schema > SCHEMA {
        return Err(OpenError::Newer {
            dir: directory.root().to_path_buf(),
            found: schema,
            known: SCHEMA,
        });
    }
    Ok(())
}

fn connect(directory: &Directory) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(directory.database(), flags)?;
    settle(&connection)?;
    Ok(connection)
}

fn limit(connection: &Connection, max_bytes: Option<u64>) -> rusqlite::Result<()> {
    let Some(max_bytes) = max_bytes else { return Ok(()) };
    let page: i64 = connection.query_row("PRAGMA page_size", [], |row| row.get(0))?;
    connection
        .query_row(&format!("PRAGMA max_page_count = {}", int(max_bytes) / page), [], |_| Ok(()))
}

fn create(directory: &Directory, max_bytes: Option<u64>) -> Result<Connection, OpenError> {
    let dir = directory.root();
    let id = format!("{:032x}", rand::random::<u128>());
    let make = || {
        let connection = connect(directory)?;
        settle_writer(&connection)?;
        connection.execute_batch("BEGIN IMMEDIATE")?;
        for table in TABLES {
            connection.execute_batch(table)?;
        }
        let mut fact = connection.prepare("INSERT INTO meta VALUES (?1, ?2)")?;
        fact.execute(("id", &id))?;
        for (key, value) in [("next_id", 1), ("logs", 0), ("probe", 0), ("restored_at", 0)] {
            fact.execute((key, value))?;
        }
        drop(fact);
        connection.execute_batch(&format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {SCHEMA}; COMMIT;"
        ))?;
        // The header has to be in the file itself: it is read from there before SQLite is asked.
        connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()))?;
        limit(&connection, max_bytes)?;
        Ok(connection)
    };
    let connection = make().map_err(|error| OpenError::sqlite(dir, error))?;
    directory
        .sync()
        .and_then(|()| directory.set_marker(&Marker { schema: SCHEMA, id }))
        .map_err(|source| OpenError::io("writing", &directory.marker_file(), source))?;
    Ok(connection)
}

fn open_existing(
    directory: &Directory,
    marker: Option<&Marker>,
    size: u64,
    max_bytes: Option<u64>,
) -> Result<Connection, OpenError> {
    let dir = directory.root();
    let in_dir = |error| OpenError::sqlite(dir, error);
    let connection = connect(directory).map_err(in_dir)?;
    let number = |pragma: &str| {
        connection.query_row(&format!("PRAGMA {pragma}"), [], |row| row.get::<_, i32>(0))
    };
    let application = number("application_id").map_err(in_dir)?;
    let schema = number("user_version").map_err(in_dir)?;
    if application != APPLICATION_ID {
        // With the marker this was ours once. Without, an interrupted creation has left a file without tables, or it is someone else's.
        let tables = number("schema_version").map_err(in_dir)?;
        return match marker {
            Some(_) => Err(OpenError::damaged(dir, "its header is not the one that was written")),
            None if tables == 0 => {
                drop(connection);
                for file in directory.database_files() {
                    remove_if_there(&file)?;
                }
                create(directory, max_bytes)
            }
            None => Err(OpenError::Foreign { file: directory.database() }),
        };
    }
    if schema > SCHEMA {
        return Err(OpenError::Newer { dir: dir.to_path_buf(), found: schema, known: SCHEMA });
    }
    if schema != SCHEMA {
        return Err(OpenError::damaged(
            dir,
            format!("its schema is {schema}, which no release has written"),
        ));
    }
    settle_writer(&connection).map_err(in_dir)?;
    if size <= CHECK_ALWAYS_BYTES || directory.stopped_uncleanly() {
        check_structure(&connection).map_err(|stop| OpenError::stop(dir, stop))?;
    }
    let id = check_contents(&connection).map_err(|stop| OpenError::stop(dir, stop))?;
    match marker {
        Some(marker) if marker.id != id => {
            let what = format!("another one is in its place (expected {}, found {id})", marker.id);
            return Err(OpenError::Missing { dir: dir.to_path_buf(), what });
        }
        Some(_) => {}
        None => directory
            .set_marker(&Marker { schema, id })
            .map_err(|source| OpenError::io("writing", &directory.marker_file(), source))?,
    }
    limit(&connection, max_bytes).map_err(in_dir)?;
    Ok(connection)
}

pub(crate) fn remove_if_there(path: &Path) -> Result<(), OpenError> {
    match std::fs::remove_file(path) {
        Err(source) if source.kind() != io::ErrorKind::NotFound => {
            Err(OpenError::io("removing", path, source))
        }
        _ => Ok(()),
    }
}

fn damaged<T>(what: impl Into<String>) -> Result<T, Stop> {
    Err(Stop::Trouble(Trouble::Damaged(what.into())))
}

/// SQLite's own check: pages, free lists, order of keys.
pub(crate) fn check_structure(connection: &Connection) -> Result<(), Stop> {
    let verdict: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if verdict == "ok" { Ok(()) } else { damaged(verdict) }
}

/// What SQLite cannot know: that the tables are ours, that the list of logs is complete and every line of it true. A line that is
/// wrong about itself sets its log aside; one that does not even say which log it is stops the start, because that log
/// would read as never written. Returns the database's id.
pub(crate) fn check_contents(connection: &Connection) -> Result<String, Stop> {
    let mut tables = connection.prepare("SELECT sql FROM sqlite_schema ORDER BY rowid")?;
    let found: Vec<String> = tables.query_map([], |row| row.get(0))?.collect::<Result<_, _>>()?;
    if found != TABLES {
        return damaged("its tables are not the ones that were made");
    }
    let fact = |key: &str| {
        connection
            .query_row("SELECT value FROM meta WHERE key = ?1", [key], |row| row.get::<_, i64>(0))
            .optional()
    };
    let (Some(next_id), Some(count)) = (fact("next_id")?, fact("logs")?) else {
        return damaged("it does not say how many logs it has");
    };
    let mut highest: i64 = connection.query_row(
        "SELECT max((SELECT coalesce(max(object), 0) FROM parts), (SELECT coalesce(max(log), 0) FROM entries),
                    (SELECT coalesce(max(id), 0) FROM garbage))",
        [],
        |row| row.get(0),
    )?;
    let mut bad: Vec<LogName> = Vec::new();
    let mut before: Option<LogName> = None;
    let mut seen = 0;
    let mut logs = connection.prepare("SELECT * FROM logs ORDER BY name")?;
    let mut rows = logs.query([])?;
    while let Some(row) = rows.next()? {
        seen += 1;
        let name = match LogRow::read(row)? {
            Ok(log) => {
                highest = highest.max(log.id);
                log.name
            }
            Err(BadRow::State(name)) => {
                bad.push(name.clone());
                name
            }
            Err(BadRow::Identity) => return damaged("a line in the list of logs cannot be read"),
        };
        if before.as_ref().is_some_and(|before| *before >= name) {
            return damaged("the list of logs is out of order");
        }
        before = Some(name);
    }
    if seen != count {
        return damaged(format!("it should list {count} logs and lists {seen}"));
    }
    if highest >= next_id {
        return damaged("its next number is taken");
    }
    if !connection.is_readonly("main")? {
        for name in bad {
            tracing::error!(log = %name, "its line in the list of logs is damaged; the log is set aside");
            quarantine(connection, &name, "damaged: its line in the list of logs", now_ms())?;
        }
    }
    match connection
        .query_row("SELECT value FROM meta WHERE key = 'id'", [], |row| row.get(0))
        .optional()?
    {
        Some(id) => Ok(id),
        None => damaged("it has no id"),
    }
}

#[cfg(test)]
mod tests;

//! What lies in a data directory, and may this process use it?
//!
//! | file | what |
//! |---|---|
//! | `commonplace.db`, `-wal`, `-shm` | the database |
//! | `commonplace.id` | says that a database with this id and schema was here: if it is gone, the server does not start empty |
//! | `lock` | held while a server runs |
//! | `open` | there while the store is open; left behind by an unclean stop |
//! | `applying` | which logs are being applied right now (`crash`) |

use super::open::OpenError;
use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, Read, Seek, Write};
use std::path::{Path, PathBuf};

/// The paths in a data directory.
#[derive(Clone, Debug)]
pub(crate) struct Directory {
    root: PathBuf,
}

/// What `commonplace.id` says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Marker {
    pub(crate) schema: i32,
    pub(crate) id: String,
}

/// Held while the directory is ours.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Closing alone is not enough: a program that is just being started holds a copy of the file until it runs. Where this fails, the
        // end of the process does the same.
        self.file.unlock().ok();
    }
}

impl Directory {
    pub(crate) fn new(root: &Path) -> Self {
        Self { root: root.to_path_buf() }
    }

    pub(crate) fn root(&self) -> &Path {
        &self.root
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.root.join("commonplace.db")
    }

    /// The database and the two files that SQLite keeps beside it.
    pub(crate) fn database_files(&self) -> [PathBuf; 3] {
        ["commonplace.db", "commonplace.db-wal", "commonplace.db-shm"]
            .map(|name| self.root.join(name))
    }

    /// Everything that belongs to one database.
    pub(crate) fn all_files(&self) -> Vec<PathBuf> {
        let mut all = self.database_files().to_vec();
        all.extend([self.marker_file(), self.applying_file(), self.open_file()]);
        all
    }

    pub(crate) fn marker_file(&self) -> PathBuf {
        self.root.join("commonplace.id")
    }

    pub(crate) fn applying_file(&self) -> PathBuf {
        self.root.join("applying")
    }

    fn open_file(&self) -> PathBuf {
        self.root.join("open")
    }

    /// Takes the directory for this process.
    pub(crate) fn lock(&self) -> Result<Lock, OpenError> {
        let path = self.root.join("lock");
        let mut file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .truncate(false)
            .open(&path)
            .map_err(|source| OpenError::io("opening", &path, source))?;
        match file.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let mut holder = String::new();
                // The number is a courtesy; the lock is the truth.
                if file.read_to_string(&mut holder).is_err() {
                    holder.clear();
                }
                return Err(OpenError::Locked {
                    dir: self.root.clone(),
                    process: holder.trim().to_owned(),
                });
            }
            Err(TryLockError::Error(source)) => {
                return Err(OpenError::io("locking", &path, source));
            }
        }
        // A courtesy to whoever is refused: on a full disk the server starts without it, to serve what is there.
        let written = file
            .set_len(0)
            .and_then(|()| file.rewind())
            .and_then(|()| writeln!(file, "{}", std::process::id()));
        if let Err(error) = written {
            tracing::warn!(%error, "the lock file does not say who holds it");
        }
        Ok(Lock { file })
    }

    /// What was here, if anything.
    pub(crate) fn marker(&self) -> Result<Option<Marker>, OpenError> {
        let path = self.marker_file();
        let text = match std::fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(source) => return Err(OpenError::io("reading", &path, source)),
        };
        let mut words = text.split_whitespace();
        let parsed = match (words.next(), words.next(), words.next(), words.next()) {
            (Some("schema"), Some(schema), Some("database"), Some(id)) => {
                schema.parse().ok().map(|schema| Marker { schema, id: id.to_owned() })
            }
            _ => None,
        };
        parsed
            .map(Some)
            .ok_or_else(|| OpenError::damaged(&self.root, "the file commonplace.id cannot be read"))
    }

    /// Says what is here, durably.
    pub(crate) fn set_marker(&self, marker: &Marker) -> io::Result<()> {
        let path = self.marker_file();
        let fresh = path.with_extension("id.new");
        let mut file = File::create(&fresh)?;
        writeln!(file, "schema {} database {}", marker.schema, marker.id)?;
        file.sync_all()?;
        std::fs::rename(&fresh, &path)?;
        self.sync()
    }

    /// Whether the last process to open this stopped without closing it.
    pub(crate) fn stopped_uncleanly(&self) -> bool {
        self.open_file().exists()
    }

    pub(crate) fn mark_open(&self) -> io::Result<()> {
        File::create(self.open_file())?.sync_all()?;
        self.sync()
    }

    pub(crate) fn mark_closed(&self) -> io::Result<()> {
        match std::fs::remove_file(self.open_file()) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => self.sync(),
        }
    }

    /// Makes the names in the directory durable.
    pub(crate) fn sync(&self) -> io::Result<()> {
        sync_directory(&self.root)
    }
}

/// Makes the names in a directory durable.
pub(crate) fn sync_directory(path: &Path) -> io::Result<()> {
    File::open(path)?.sync_all()
}

#[cfg(test)]
mod tests;

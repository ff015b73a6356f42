//! From where is everything read that goes somewhere else: a database file, or a store?

use super::{BackupError, damaged, open_to_read};
use crate::store::sqlite::directory::Lock;
use crate::store::sqlite::{Directory, read};
use crate::store::{Contents, LogInfo, LogName, RawRecord, Store, StoreError};
use bytes::Bytes;
use rusqlite::Connection;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Something to read logs and blobs from.
#[derive(Debug)]
pub struct Source(Kind);

#[derive(Debug)]
enum Kind {
    /// A backup file, or the database of a data folder.
    File {
        /// Reads, and never writes.
        connection: Connection,
        path: PathBuf,
        /// Held so that no server begins to write while a folder is copied.
        lock: Option<Lock>,
    },
    /// A store that others may be writing to.
    Store(Arc<dyn Store>),
}

impl Source {
    /// A data folder or a backup file. A server may be running.
    pub fn file(path: &Path) -> Result<Self, BackupError> {
        let (connection, path) = open_to_read(path)?;
        Ok(Self(Kind::File { connection, path, lock: None }))
    }

    /// The same, and refused while a server runs on it.
    pub fn file_at_rest(path: &Path) -> Result<Self, BackupError> {
        let lock = match path.is_dir() {
            true => {
                let directory = Directory::new(path);
                if !directory.database().exists() {
                    return Err(BackupError::NotFound(directory.database()));
                }
                Some(directory.lock()?)
            }
            false => None,
        };
        let (connection, path) = open_to_read(path)?;
        Ok(Self(Kind::File { connection, path, lock }))
    }

    /// A store, beside servers that write to it.
    #[must_use]
    pub fn store(store: Arc<dyn Store>) -> Self {
        Self(Kind::Store(store))
    }

    /// Whether nobody else can change it while it is read.
    #[must_use]
    pub fn is_at_rest(&self) -> bool {
        match &self.0 {
            Kind::File { path, lock, .. } => {
                // A backup is a file by itself, whose name nobody serves from.
                lock.is_some() || path.file_name().is_none_or(|name| name != "commonplace.db")
            }
            Kind::Store(_) => false,
        }
    }

    /// Names in byte order after `after`, at most `limit`.
    pub async fn list(
        &self,
        prefix: &str,
        after: Option<&LogName>,
        limit: usize,
    ) -> Result<Vec<LogInfo>, BackupError> {
        match &self.0 {
            Kind::File { connection, path, .. } => {
                read::list(connection, prefix, after, limit).map_err(|stop| refused(path, stop))
            }
            Kind::Store(store) => Ok(store.list(prefix, after, limit).await?),
        }
    }

    /// Every record of a log, at one moment.
    pub async fn records(&self, log: &LogName) -> Result<Vec<RawRecord>, BackupError> {
        match &self.0 {
            Kind::File { connection, path, .. } => {
                let moment = connection.unchecked_transaction().map_err(damaged(path))?;
                read::raw(&moment, log).map_err(|stop| refused(path, stop))
            }
            Kind::Store(store) => Ok(store.read_raw(log).await?),
        }
    }

    /// A whole log.
    pub(super) async fn contents(&self, info: &LogInfo) -> Result<Contents, BackupError> {
        Ok(Contents {
            records: self.records(&info.name).await?,
            changed_at: info.changed_at,
            quarantined: info.quarantined.clone(),
        })
    }

    /// Names of blobs in byte order after `after`, at most `limit`.
    pub async fn list_blobs(
        &self,
        after: Option<&LogName>,
        limit: usize,
    ) -> Result<Vec<LogName>, BackupError> {
        match &self.0 {
            Kind::File { connection, path, .. } => {
                read::list_blobs(connection, after, limit).map_err(|stop| refused(path, stop))
            }
            Kind::Store(store) => Ok(store.list_blobs(after, limit).await?),
        }
    }

    /// A blob, or what is wrong with it.
    pub async fn blob(&self, name: &LogName) -> Result<Option<Bytes>, StoreError> {
        match &self.0 {
            Kind::File { connection, .. } => read::blob(connection, name).map_err(StoreError::from),
            Kind::Store(store) => store.get_blob(name).await,
        }
    }
}

fn refused(file: &Path, stop: crate::store::sqlite::trouble::Stop) -> BackupError {
    let what = StoreError::from(stop).to_string();
    BackupError::Damaged { file: file.to_path_buf(), what }
}

//! What does an instance keep in its own folder when the data is elsewhere?
//!
//! Only which documents it is applying right now (`crash`), because that has to be written where the death of the process cannot lose it and nothing waits
//! for the network. The folder is locked as one with data is: two instances in one folder would wipe each other's marks.

use super::LogName;
use super::crash::CrashMarkers;
use super::sqlite::directory::Lock;
use super::sqlite::{Directory, OpenError};
use std::path::Path;
use std::sync::Arc;

/// An instance's folder, held while this lives.
#[derive(Debug)]
pub struct Marks {
    markers: Arc<CrashMarkers>,
    crashed: Vec<LogName>,
    has_database: bool,
    _lock: Lock,
}

impl Marks {
    /// Takes the folder, and makes it if need be.
    pub fn open(folder: &Path) -> Result<Self, OpenError> {
        std::fs::create_dir_all(folder)
            .map_err(|source| OpenError::io("creating", folder, source))?;
        let directory = Directory::new(folder);
        let lock = directory.lock()?;
        let path = directory.applying_file();
        let (markers, crashed) =
            CrashMarkers::open(&path).map_err(|source| OpenError::io("opening", &path, source))?;
        Ok(Self { markers, crashed, has_database: directory.database().exists(), _lock: lock })
    }

    /// Where to note which log is being applied.
    #[must_use]
    pub fn markers(&self) -> Arc<CrashMarkers> {
        Arc::clone(&self.markers)
    }

    /// What was being applied when the last process in this folder ended by itself. The caller counts it where the data is, and then wipes it
    /// with [`CrashMarkers::clear_all`].
    #[must_use]
    pub fn crashed(&self) -> &[LogName] {
        &self.crashed
    }

    /// Whether there is a database in the folder all the same. Nobody reads it.
    #[must_use]
    pub fn has_database(&self) -> bool {
        self.has_database
    }
}

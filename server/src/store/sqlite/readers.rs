//! Who reads, and with which connection?

use super::schema;
use super::trouble::Stop;
use crate::store::StoreError;
use rusqlite::{Connection, OpenFlags};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use tokio::sync::Semaphore;

/// Connections that read. Each has a page cache of 2 MiB; more would only wait for the disk together.
const READERS: usize = 4;

/// Opens a connection that can only read.
pub(crate) fn open_reader(database: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    schema::settle(&connection)?;
    Ok(connection)
}

/// A few connections that take turns.
#[derive(Debug)]
pub(super) struct Readers {
    /// Those that nobody is reading with right now. Held only to take one out or put one back.
    free: Arc<Mutex<Vec<Connection>>>,
    /// One for each connection: whoever holds it finds one free.
    turns: Arc<Semaphore>,
}

impl Readers {
    pub(super) fn open(database: &Path) -> rusqlite::Result<Self> {
        let free = (0..READERS).map(|_| open_reader(database)).collect::<Result<_, _>>()?;
        Ok(Self { free: Arc::new(Mutex::new(free)), turns: Arc::new(Semaphore::new(READERS)) })
    }

    /// Runs a read on a free connection, in one read transaction: it sees one moment.
    pub(super) async fn read<T, F>(&self, work: F) -> Result<T, StoreError>
    where
        T: Send + 'static,
        F: FnOnce(&Connection) -> Result<T, Stop> + Send + 'static,
    {
        let away = || StoreError::Away("the store is closed".into());
        let turn = Arc::clone(&self.turns).acquire_owned().await.map_err(|_| away())?;
        let free = Arc::clone(&self.free);
        // Cancel safety: if the caller goes away the read still ends, and gives back its connection and its turn.
        let work = move || -> Result<T, StoreError> {
            let taken = free.lock().unwrap_or_else(PoisonError::into_inner).pop();
            let connection = taken.ok_or_else(away)?;
            let result = at_one_moment(&connection, work);
            free.lock().unwrap_or_else(PoisonError::into_inner).push(connection);
            drop(turn);
            result.map_err(StoreError::from)
        };
        match tokio::task::spawn_blocking(work).await {
            Ok(result) => result,
            Err(_) => Err(StoreError::Away("a read was cut short".into())),
        }
    }

    /// Closes the connections that are free; one in use closes with its read.
    pub(super) fn close(&self) {
        self.turns.close();
        self.free.lock().unwrap_or_else(PoisonError::into_inner).clear();
    }
}

fn at_one_moment<T>(
    connection: &Connection,
    work: impl FnOnce(&Connection) -> Result<T, Stop>,
) -> Result<T, Stop> {
    // Ends, whatever happens, when it goes out of scope.
    let moment = connection.unchecked_transaction()?;
    work(&moment)
}

//! What do the database's errors mean for us?

use crate::store::StoreError;
use rusqlite::ErrorCode;

/// An error of the database, by what we do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// No room: say so, try again later.
    Full,
    /// Another program holds a lock: try again later.
    Busy(String),
    /// A page or a value cannot be believed: set aside what it belongs to.
    Damaged(String),
    /// The disk or the machine failed: stop.
    Broken(String),
}

impl From<rusqlite::Error> for Trouble {
    fn from(error: rusqlite::Error) -> Self {
        let words = error.to_string();
        match &error {
            rusqlite::Error::SqliteFailure(failure, _) => match failure.code {
                ErrorCode::DiskFull => Self::Full,
                ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => Self::Busy(words),
                // A constraint that our own statements cannot break was broken by what they found.
                ErrorCode::DatabaseCorrupt
                | ErrorCode::NotADatabase
                | ErrorCode::ConstraintViolation
                | ErrorCode::TypeMismatch
                | ErrorCode::TooBig => Self::Damaged(words),
                _ => Self::Broken(format!("{words} (SQLite code {})", failure.extended_code)),
            },
            // The rest is about values that are not what the schema says.
            _ => Self::Damaged(words),
        }
    }
}

/// Why a transaction did not happen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stop {
    /// The contract says no.
    Refused(StoreError),
    /// The database says no.
    Trouble(Trouble),
}

impl From<rusqlite::Error> for Stop {
    fn from(error: rusqlite::Error) -> Self {
        Self::Trouble(Trouble::from(error))
    }
}

impl From<StoreError> for Stop {
    fn from(error: StoreError) -> Self {
        Self::Refused(error)
    }
}

impl From<Stop> for StoreError {
    /// For readers, which have nothing to roll back and no state to change.
    fn from(stop: Stop) -> Self {
        match stop {
            Stop::Refused(error) => error,
            Stop::Trouble(Trouble::Full) => Self::Full,
            Stop::Trouble(Trouble::Damaged(reason)) => Self::Corrupt(reason),
            Stop::Trouble(Trouble::Busy(reason) | Trouble::Broken(reason)) => Self::Away(reason),
        }
    }
}

//! How does a test speak to a store of its own?

use bytes::Bytes;
use commonplace::store::{Bookmark, EntryId, LogName, Position, Store};

/// The log of this name.
///
/// # Panics
/// When no log can be called that.
#[must_use]
pub fn name(text: &str) -> LogName {
    LogName::new(text).expect("a test knows what a log can be called")
}

/// An id that no other append has.
#[must_use]
pub fn fresh() -> EntryId {
    EntryId(rand::random())
}

/// Appends one entry that must be taken.
///
/// # Panics
/// When it is not.
pub async fn put(store: &dyn Store, log: &LogName, bytes: impl Into<Bytes>) -> Position {
    store.append(log, None, fresh(), bytes.into()).await.expect("the entry is taken")
}

/// All entries after a position, over all pages.
///
/// # Panics
/// When they cannot be read.
pub async fn all(store: &dyn Store, log: &LogName, after: u64) -> Vec<(u64, Vec<u8>)> {
    let mut found = Vec::new();
    let mut after = Position(after);
    loop {
        let page = store.read(log, Bookmark::at(after)).await.expect("the log can be read");
        found.extend(page.entries.iter().map(|entry| (entry.position.0, entry.bytes.to_vec())));
        match page.entries.last() {
            Some(last) if page.more => after = last.position,
            _ => return found,
        }
    }
}

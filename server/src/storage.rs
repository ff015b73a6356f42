//! Where does this process keep everything, and may it?
//!
//! Opens the store that the settings ask for, and hands `main` what it needs to know about it, whichever it is.

use commonplace::backup;
use commonplace::config::{RedisPlace, Settings};
use commonplace::store::crash::CrashMarkers;
use commonplace::store::marks::Marks;
use commonplace::store::redis::check::{self, Promise, Target};
use commonplace::store::sqlite::{SqliteOptions, SqliteStore};
use commonplace::store::{Durability, Store};
use std::fmt;
use std::pin::Pin;
use std::sync::Arc;

/// Why there is no store, with what to do about it.
#[derive(Debug)]
pub(crate) struct Refused(String);

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Refused {}

/// An open store.
pub(crate) struct Storage {
    /// The store itself.
    pub(crate) store: Arc<dyn Store>,
    /// Where to note what is being applied.
    pub(crate) markers: Arc<CrashMarkers>,
    /// Where the data is, in words that hold no password.
    pub(crate) place: String,
    /// What whoever starts the server should know about it.
    pub(crate) notes: Vec<String>,
    /// Resolves with the reason when it has failed for good, and the process has to end.
    pub(crate) fatal: Pin<Box<dyn Future<Output = String> + Send>>,
}

/// Opens what the settings ask for.
pub(crate) async fn open(settings: &Settings) -> Result<Storage, Refused> {
    let storage = match &settings.redis {
        Some(redis) => open_redis(settings, redis).await?,
        None => open_folder(settings).await?,
    };
    let half = backup::unfinished(&*storage.store).await;
    match half.map_err(|error| Refused(format!("{}: {error}", storage.place)))? {
        Some(origin) => Err(Refused(format!(
            "{} holds only a part of what is in {origin}: a copy was interrupted. Give the same `commonplace copy` again, then start",
            storage.place
        ))),
        None => Ok(storage),
    }
}

async fn open_folder(settings: &Settings) -> Result<Storage, Refused> {
    let data = settings.data.clone();
    let opened =
        tokio::task::spawn_blocking(move || SqliteStore::open(&data, SqliteOptions::default()));
    let store = match opened.await {
        Ok(opened) => opened.map_err(|error| Refused(error.to_string()))?,
        Err(error) => return Err(Refused(format!("the storage cannot be opened: {error}"))),
    };
    Ok(Storage {
        markers: store.crash_markers(),
        place: settings.data.display().to_string(),
        notes: Vec::new(),
        fatal: Box::pin(store.fatal()),
        store,
    })
}

async fn open_redis(settings: &Settings, redis: &RedisPlace) -> Result<Storage, Refused> {
    let data = settings.data.clone();
    let marks = tokio::task::spawn_blocking(move || Marks::open(&data)).await;
    let marks = match marks {
        Ok(marks) => marks.map_err(|error| Refused(error.to_string()))?,
        Err(error) => return Err(Refused(format!("the folder cannot be opened: {error}"))),
    };
    let Promise { durability, notes } = examine(redis, settings.durability).await?;
    drop((marks, durability, notes));
    Err(Refused("not yet".into()))
}

/// Opens a Redis to look after what is in it, beside the servers that use it. What is written counts as it would for them.
pub(crate) async fn visit(redis: &RedisPlace) -> Result<Arc<dyn Store>, Refused> {
    let promise = match examine(redis, None).await {
        // Whoever only looks needs no promise; whoever copies there is told by the servers' start.
        Err(_) => examine(redis, Some(Durability::Memory)).await?,
        Ok(promise) => promise,
    };
    drop(promise);
    Err(Refused("not yet".into()))
}

async fn examine(redis: &RedisPlace, wanted: Option<Durability>) -> Result<Promise, Refused> {
    let target = Target {
        has_password: redis.url.has_password(),
        is_this_computer: redis.url.is_this_computer(),
        prefix: redis.prefix.clone(),
    };
    let examined = check::examine(redis.url.connection_info(), &target, wanted).await;
    examined.map_err(|refusal| Refused(format!("{redis}: {refusal}")))
}

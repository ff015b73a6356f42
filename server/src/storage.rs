//! Where does this process keep everything, and may it?
//!
//! Opens the store that the settings ask for, and hands `main` what it needs to know about it, whichever it is.

use commonplace::backup;
use commonplace::bus::{Alone, Bus, RedisBus};
use commonplace::config::{RedisPlace, Settings};
use commonplace::store::crash::CrashMarkers;
use commonplace::store::marks::Marks;
use commonplace::store::redis::check::{self, Guard, Promise, Target};
use commonplace::store::redis::{RedisOptions, RedisStore};
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
    /// The way to other instances on it.
    pub(crate) bus: Arc<dyn Bus>,
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
        bus: Arc::new(Alone),
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
    let store = connect(redis, durability).await?;
    let in_redis = |error| Refused(format!("{redis}: {error}"));
    let data = settings.data.display();
    if marks.has_database() {
        // A server that starts empty beside its data would let everybody believe that their notes are gone.
        if store.list("", None, 1).await.map_err(in_redis)?.is_empty() {
            return Err(Refused(format!(
                "{data} holds a database, and {redis} holds nothing. `commonplace copy --from {data} --to {}` takes everything over; to begin with nothing, give this server \
                 another folder with --data",
                redis.url
            )));
        }
        tracing::info!(folder = %data, "the database in the folder is not used: the data is in Redis");
    }
    store.note_crashes(marks.crashed()).await.map_err(in_redis)?;
    // Only now that the crashes are counted.
    let wiped = marks.markers().clear_all();
    wiped.map_err(|error| Refused(format!("the marks in {data} cannot be written: {error}")))?;
    Ok(Storage {
        bus: Arc::new(RedisBus::beside(&store)),
        markers: marks.markers(),
        place: redis.to_string(),
        notes,
        // Redis comes back; until then readiness is red. The folder stays locked as long as this is kept.
        fatal: Box::pin(async move {
            let _folder = marks;
            std::future::pending().await
        }),
        store,
    })
}

/// Opens a Redis to look after what is in it, beside the servers that use it.
pub(crate) async fn visit(redis: &RedisPlace) -> Result<Arc<RedisStore>, Refused> {
    let durability = match examine(redis, None).await {
        Ok(promise) => promise.durability,
        // Looking needs no promise, and whoever copies there is told when servers start. What no class can do with is told now.
        Err(_) => examine(redis, Some(Durability::Memory)).await?.durability,
    };
    connect(redis, durability).await
}

async fn connect(redis: &RedisPlace, durability: Durability) -> Result<Arc<RedisStore>, Refused> {
    let options = RedisOptions {
        url: redis.url.with_password().to_owned(),
        prefix: redis.prefix.clone(),
        durability,
    };
    let guard = Guard { target: target(redis), durability };
    let opened = RedisStore::open_guarded(options, Some(guard)).await;
    opened.map_err(|error| Refused(format!("{redis}: {error}")))
}

async fn examine(redis: &RedisPlace, wanted: Option<Durability>) -> Result<Promise, Refused> {
    let examined = check::examine(redis.url.with_password(), &target(redis), wanted).await;
    examined.map_err(|refusal| Refused(format!("{redis}: {refusal}")))
}

fn target(redis: &RedisPlace) -> Target {
    Target {
        has_password: redis.url.has_password(),
        is_this_computer: redis.url.is_this_computer(),
        prefix: redis.prefix.clone(),
    }
}

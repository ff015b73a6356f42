//! The store in Redis, to try the contract on: one server for all tests, a prefix for each.

use crate::bench::Bench;
use crate::redis_server::{RedisServer, shared};
use commonplace::store::redis::{Keys, RedisOptions, RedisStore};
use commonplace::store::{Durability, LogName, Store};
use redis::{Commands, Connection, Value};
use std::sync::{Arc, Mutex};

pub(crate) struct RedisBench {
    store: Mutex<Arc<RedisStore>>,
    options: RedisOptions,
    connection: Mutex<Connection>,
    keys: Keys,
}

/// Options for a part of a server that is a test's own.
pub(crate) fn options(server: &RedisServer) -> RedisOptions {
    let prefix = format!("test-{:016x}", rand::random::<u64>());
    RedisOptions { url: server.url(), prefix, durability: Durability::Fsync }
}

/// Opens a store.
pub(crate) async fn open(options: &RedisOptions) -> Arc<RedisStore> {
    RedisStore::open(options.clone()).await.unwrap()
}

impl RedisBench {
    pub(crate) async fn new() -> Self {
        let options = options(shared());
        let store = Mutex::new(open(&options).await);
        let keys = Keys::new(&options.prefix).unwrap();
        Self { store, connection: Mutex::new(shared().connect()), keys, options }
    }
}

/// The entries of a log as they lie in the stream.
pub(crate) fn stream(connection: &mut Connection, key: &str) -> Vec<(String, Vec<Vec<u8>>)> {
    redis::cmd("XRANGE").arg(key).arg("-").arg("+").query(connection).unwrap()
}

/// Writes a stream anew with other entries: one that is there cannot be changed.
pub(crate) fn set_stream(connection: &mut Connection, key: &str, all: &[(String, Vec<Vec<u8>>)]) {
    let mut commands = redis::pipe();
    commands.atomic().cmd("DEL").arg(key).ignore();
    for (id, fields) in all {
        commands.cmd("XADD").arg(key).arg(id).arg(fields).ignore();
    }
    commands.exec(connection).unwrap();
}

fn flip(bytes: &mut [u8]) {
    bytes[0] ^= 0xff;
}

/// Which object a log's snapshot is.
fn object(connection: &mut Connection, meta: &str, covers: u64) -> String {
    let list: String = connection.hget(meta, "snaps").unwrap();
    let line = list.lines().find(|line| line.starts_with(&format!("{covers} ")));
    line.expect("a snapshot to damage").split(' ').nth(1).unwrap().to_owned()
}

impl Bench for RedisBench {
    fn store(&self) -> Arc<dyn Store> {
        self.store.lock().unwrap().clone()
    }

    fn damage_entry(&self, log: &LogName, position: u64) {
        let mut connection = self.connection.lock().unwrap();
        let key = self.keys.of(log).log();
        let mut all = stream(&mut connection, &key);
        let id = format!("{position}-0");
        let (_, fields) = all.iter_mut().find(|(found, _)| *found == id).expect("an entry");
        flip(fields.last_mut().unwrap());
        set_stream(&mut connection, &key, &all);
    }

    fn damage_snapshot(&self, log: &LogName, covers: u64) {
        let mut connection = self.connection.lock().unwrap();
        let keys = self.keys.of(log);
        let key = keys.snapshot(&object(&mut connection, &keys.meta(), covers));
        let mut part: Vec<u8> = connection.hget(&key, 0).unwrap();
        flip(&mut part);
        let _: Value = connection.hset(&key, 0, part).unwrap();
    }

    fn damage_blob(&self, name: &LogName) {
        let mut connection = self.connection.lock().unwrap();
        let key = self.keys.of(name).blob();
        let mut part: Vec<u8> = connection.hget(&key, 0).unwrap();
        flip(&mut part);
        let _: Value = connection.hset(&key, 0, part).unwrap();
    }

    fn restarted(&self) -> Arc<dyn Store> {
        // Without `close`: nothing but what was acknowledged can be relied on.
        let handle = tokio::runtime::Handle::current();
        let store =
            tokio::task::block_in_place(|| handle.block_on(RedisStore::open(self.options.clone())));
        *self.store.lock().unwrap() = store.unwrap();
        self.store()
    }
}

/// What Redis calls the entries of a log.
pub(crate) fn entry_names(
    server: &RedisServer,
    options: &RedisOptions,
    log: &LogName,
) -> Vec<String> {
    let key = Keys::new(&options.prefix).unwrap().of(log).log();
    stream(&mut server.connect(), &key).into_iter().map(|(id, _)| id).collect()
}

/// The log goes back in time: what follows `to` is gone, as when a replica that lacked it was promoted.
pub(crate) fn rewind(server: &RedisServer, options: &RedisOptions, log: &LogName, to: u64) {
    let mut connection = server.connect();
    let keys = Keys::new(&options.prefix).unwrap().of(log);
    let mut all = stream(&mut connection, &keys.log());
    all.retain(|(id, _)| id.split_once('-').unwrap().0.parse::<u64>().unwrap() <= to);
    set_stream(&mut connection, &keys.log(), &all);
    // Fields come in pairs: i, t, c, s, b.
    let (_, fields) = all.last().expect("it goes back to an entry");
    let total =
        std::str::from_utf8(&fields[7]).unwrap().parse::<usize>().unwrap() + fields[9].len();
    let mut set = redis::pipe();
    set.atomic().cmd("HSET").arg(keys.meta()).arg("head").arg(to).arg("last").arg(&fields[1]);
    set.arg("total").arg(total).ignore();
    set.cmd("ZREMRANGEBYSCORE").arg(keys.ids()).arg(format!("({to}")).arg("+inf").ignore();
    set.exec(&mut connection).unwrap();
}

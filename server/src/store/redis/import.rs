//! How does a whole log come into Redis at once, and how are blobs found that nobody asked for by name?
//!
//! Snapshots and entries are laid under names of their own, which expire. Then one script gives the stream the log's name and the log its place: whoever looks
//! sees no log or all of it, and who dies on the way leaves nothing.

use super::RedisStore;
use super::object::{UNSEALED_SECONDS, new_object};
use super::record::{entry_sum, id_bytes, id_text, snapshot_sum};
use super::scripts::{number, text};
use super::trouble::{Trouble, checked};
use crate::store::{
    Contents, EntryId, LogName, Position, REMEMBERED_FOR, REMEMBERED_IDS, RawRecord, Shape,
    StoreError,
};
use bytes::Bytes;
use redis::Pipeline;

/// How many entries are sent together, if they are small.
const ENTRIES_TOGETHER: usize = 256;

/// And how many bytes. One entry may be larger. Bytes.
const BYTES_TOGETHER: usize = 1024 * 1024;

/// How many names of blobs are looked at together.
const NAMES_TOGETHER: usize = 500;

/// A log that lies under names of its own.
struct Staged {
    stream: String,
    objects: Vec<String>,
    /// Lines of the list of snapshots, newest first.
    list: String,
    /// Ids of the entries, in order.
    ids: Vec<(EntryId, Position)>,
    bytes: usize,
}

impl RedisStore {
    /// S19.
    pub(super) async fn import_whole(
        &self,
        log: &LogName,
        contents: Contents,
    ) -> Result<(), StoreError> {
        let shape = contents.shape()?;
        let mut staged = Staged {
            stream: self.keys.of(log).staged(&new_object()),
            objects: Vec::new(),
            list: String::new(),
            ids: Vec::new(),
            bytes: 0,
        };
        let done = match self.stage(log, &contents, &mut staged).await {
            Ok(()) => self.place(log, &contents, shape, &staged).await,
            Err(error) => Err(error),
        };
        // After a lost answer nobody knows what was taken: what was not expires by itself.
        if done.is_err() && done != Err(StoreError::Unknown) {
            for key in staged.objects.iter().map(|object| self.keys.of(log).snapshot(object)) {
                self.forget_object(&key).await;
            }
            self.forget_object(&staged.stream).await;
        }
        done
    }

    async fn stage(
        &self,
        log: &LogName,
        contents: &Contents,
        staged: &mut Staged,
    ) -> Result<(), StoreError> {
        let keys = self.keys.of(log);
        for snapshot in contents.snapshots() {
            let object = new_object();
            // Where the entry is still there, it says what a snapshot ends with (S18).
            let there = contents.entries().find(|entry| entry.position == snapshot.position);
            let last = snapshot.id.or_else(|| there?.id);
            let covers = snapshot.position;
            let sum = snapshot_sum(log, covers, last, &snapshot.bytes) ^ hurt(snapshot);
            self.put_object(&keys.snapshot(&object), &snapshot.bytes).await?;
            let (length, last) = (snapshot.bytes.len(), id_text(last));
            staged.list = format!("{} {object} {length} {sum} {last}\n", covers.0) + &staged.list;
            staged.objects.push(object);
        }
        let mut commands = Pipeline::new();
        let mut size = 0;
        for entry in contents.entries() {
            if commands.len() >= ENTRIES_TOGETHER || size >= BYTES_TOGETHER {
                self.lay(&staged.stream, std::mem::take(&mut commands)).await?;
                size = 0;
            }
            let id = entry.id.unwrap_or_else(|| EntryId(rand::random()));
            let (at, place) = (contents.changed_at, entry.position.0);
            #[expect(clippy::cast_possible_truncation, reason = "as the script that appends does")]
            let bound = entry_sum(log, id, at, &entry.bytes) ^ place as u32 ^ hurt(entry);
            let add = commands.cmd("XADD").arg(&staged.stream).arg(format!("{place}-0"));
            add.arg("i").arg(id_bytes(Some(id))).arg("t").arg(at).arg("c").arg(bound);
            add.arg("s").arg(staged.bytes).arg("b").arg(&entry.bytes[..]);
            staged.ids.push((id, entry.position));
            staged.bytes += entry.bytes.len();
            size += entry.bytes.len();
        }
        self.lay(&staged.stream, commands).await
    }

    async fn lay(&self, stream: &str, mut commands: Pipeline) -> Result<(), StoreError> {
        if commands.is_empty() {
            return Ok(());
        }
        commands.cmd("EXPIRE").arg(stream).arg(UNSEALED_SECONDS);
        for answer in self.link.bulk.ask(&commands).await.map_err(Trouble::writing)? {
            checked(answer).map_err(Trouble::writing)?;
        }
        Ok(())
    }

    async fn place(
        &self,
        log: &LogName,
        contents: &Contents,
        shape: Shape,
        staged: &Staged,
    ) -> Result<(), StoreError> {
        let keys = self.keys.of(log);
        // First: a name without a log is passed over, a log without a name would never be found.
        let mut index = Pipeline::new();
        index.cmd("ZADD").arg(self.keys.names()).arg(0).arg(log.as_str());
        index.cmd("ZADD").arg(self.keys.recent()).arg(contents.changed_at).arg(log.as_str());
        for answer in self.link.reads.ask(&index).await.map_err(Trouble::writing)? {
            checked(answer).map_err(Trouble::writing)?;
        }
        let snapshot = contents.snapshots().last().filter(|last| last.position == shape.head);
        let last = staged.ids.last().map(|(id, _)| *id).or_else(|| snapshot?.id);
        let life = id_bytes(Some(EntryId(rand::random())));
        let mut call =
            self.scripts.import.call(&[keys.log(), keys.meta(), keys.ids(), staged.stream.clone()]);
        call.arg(shape.head.0).arg(shape.trimmed.0).arg(id_bytes(last)).arg(life);
        call.arg(staged.bytes).arg(contents.changed_at).arg(&staged.list);
        call.arg(contents.quarantined.as_deref().unwrap_or_default());
        call.arg(usize::from(!staged.ids.is_empty())).arg(REMEMBERED_FOR.as_secs());
        call.arg(keys.snapshots()).arg(staged.objects.len()).arg(&staged.objects);
        let forgotten = staged.ids.len().saturating_sub(REMEMBERED_IDS);
        for (id, position) in staged.ids.iter().skip(forgotten) {
            call.arg(position.0).arg(id_bytes(Some(*id)));
        }
        let (word, parts) = self.write(call).await?;
        match word.as_str() {
            "ok" => Ok(()),
            "conflict" => {
                let head = parts.first().and_then(number).unwrap_or(0);
                Err(StoreError::Conflict { head: Position(head) })
            }
            // It lay there for too long.
            _ => Err(StoreError::Unknown),
        }
    }

    /// S20: names of blobs in byte order. A name whose blob is not there, because it was never finished, is passed over.
    pub(super) async fn blob_names(
        &self,
        after: Option<&LogName>,
        limit: usize,
    ) -> Result<Vec<LogName>, StoreError> {
        let mut from = after.map_or_else(|| "-".to_owned(), |after| format!("({after}"));
        let mut found = Vec::new();
        while found.len() < limit {
            let mut ask = redis::cmd("ZRANGEBYLEX");
            ask.arg(self.keys.blobs()).arg(&from).arg("+");
            ask.arg("LIMIT").arg(0).arg(NAMES_TOGETHER);
            let names = self.link.reads.ask_one(ask).await.map_err(Trouble::reading)?;
            let redis::Value::Array(names) = names else { break };
            let names: Vec<LogName> =
                names.iter().filter_map(text).filter_map(|name| LogName::new(&name).ok()).collect();
            let Some(last) = names.last() else { break };
            from = format!("({last}");
            let mut asks = Pipeline::with_capacity(names.len());
            for name in &names {
                asks.cmd("EXISTS").arg(self.keys.of(name).blob());
            }
            let answers = self.link.reads.ask(&asks).await.map_err(Trouble::reading)?;
            for (name, answer) in names.into_iter().zip(answers) {
                if number(&checked(answer).map_err(Trouble::reading)?) == Some(1) {
                    found.push(name);
                }
            }
        }
        found.truncate(limit);
        Ok(found)
    }

    /// Notes the name of a blob. Before it is stored, and again after it, because a deletion may have come in between.
    pub(super) async fn name_blob(&self, name: &LogName) -> Result<(), StoreError> {
        let mut add = redis::cmd("ZADD");
        add.arg(self.keys.blobs()).arg(0).arg(name.as_str());
        self.link.bulk.ask_one(add).await.map(drop).map_err(Trouble::writing)
    }

    /// S15: stores a blob under its name.
    pub(super) async fn put_named_blob(
        &self,
        name: &LogName,
        bytes: &Bytes,
    ) -> Result<(), StoreError> {
        self.name_blob(name).await?;
        self.keep_blob(name, bytes).await?;
        self.name_blob(name).await
    }

    /// S15: removes a blob and its name.
    pub(super) async fn drop_blob(&self, name: &LogName) -> Result<(), StoreError> {
        let mut commands = Pipeline::new();
        commands.cmd("UNLINK").arg(self.keys.of(name).blob());
        commands.cmd("ZREM").arg(self.keys.blobs()).arg(name.as_str());
        for answer in self.link.reads.ask(&commands).await.map_err(Trouble::writing)? {
            checked(answer).map_err(Trouble::writing)?;
        }
        Ok(())
    }
}

/// What was damaged gets a checksum that does not match here either.
fn hurt(record: &RawRecord) -> u32 {
    u32::from(!record.intact)
}

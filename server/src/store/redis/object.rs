//! How are snapshots and blobs kept, which can be very large?
//!
//! In pieces, each a field of a hash, so that Redis, which does one thing at a time, is never kept from appends for long. A new object
//! expires until it is sealed: whoever dies over it leaves nothing behind.

use super::RedisStore;
use super::scripts::number;
use super::trouble::{Trouble, checked};
use crate::store::{LogName, StoreError, checksum};
use bytes::{Bytes, BytesMut};
use redis::{Pipeline, Value};

/// One piece: about a millisecond of Redis' time. Bytes.
const PART_BYTES: usize = 512 * 1024;

/// How many pieces are asked for together.
const PARTS_TOGETHER: usize = 4;

/// How long an object that is not sealed stays after its last piece. Longer than a piece takes over the slowest line. Seconds.
pub(super) const UNSEALED_SECONDS: u64 = 600;

/// How often a blob is read again because it was replaced meanwhile.
const AGAIN: usize = 3;

/// A name for a new object that no other one has.
pub(super) fn new_object() -> String {
    format!("{:016x}", rand::random::<u64>())
}

impl RedisStore {
    /// Writes an object in pieces, reads it back and compares. Not yet anybody's: it expires.
    pub(super) async fn put_object(&self, key: &str, bytes: &Bytes) -> Result<(), StoreError> {
        let mut parts = bytes.chunks(PART_BYTES).enumerate();
        loop {
            let mut commands = Pipeline::new();
            // Also in an object without any piece, so that it exists.
            commands.cmd("HSET").arg(key).arg("n").arg(bytes.len());
            let part = parts.next();
            if let Some((number, part)) = part {
                commands.cmd("HSET").arg(key).arg(number).arg(part);
            }
            commands.cmd("EXPIRE").arg(key).arg(UNSEALED_SECONDS);
            for answer in self.link.bulk.ask(&commands).await.map_err(Trouble::writing)? {
                checked(answer).map_err(Trouble::writing)?;
            }
            if part.is_none_or(|(number, _)| (number + 1) * PART_BYTES >= bytes.len()) {
                break;
            }
        }
        match self.get_object(key, bytes.len()).await? {
            Some(back) if back == *bytes => Ok(()),
            _ => Err(StoreError::Away("what was written does not read back the same".into())),
        }
    }

    /// The pieces of an object, joined. `None` when one is missing or they are not as long as they should be.
    pub(super) async fn get_object(
        &self,
        key: &str,
        length: usize,
    ) -> Result<Option<Bytes>, StoreError> {
        let parts = length.div_ceil(PART_BYTES);
        let mut joined = BytesMut::new();
        for first in (0..parts).step_by(PARTS_TOGETHER) {
            let numbers: Vec<usize> = (first..parts.min(first + PARTS_TOGETHER)).collect();
            let mut ask = redis::cmd("HMGET");
            ask.arg(key).arg(numbers);
            let found = self.link.bulk.ask_one(ask).await.map_err(Trouble::reading)?;
            let Value::Array(found) = found else { return Ok(None) };
            for part in found {
                let Value::BulkString(part) = part else { return Ok(None) };
                joined.extend_from_slice(&part);
            }
        }
        Ok((joined.len() == length).then(|| joined.freeze()))
    }

    /// Removes an object that was not sealed. It would expire; this is sooner.
    pub(super) async fn forget_object(&self, key: &str) {
        let mut unlink = redis::cmd("UNLINK");
        unlink.arg(key);
        if let Err(trouble) = self.link.bulk.ask_one(unlink).await {
            tracing::debug!(?trouble, "an unused object stays until it expires");
        }
    }

    /// S15: stores a blob.
    pub(super) async fn keep_blob(&self, name: &LogName, bytes: &Bytes) -> Result<(), StoreError> {
        let keys = self.keys.of(name);
        let object = new_object();
        let new = keys.new_blob(&object);
        let sum = checksum::blob(name, bytes);
        self.put_object(&new, bytes).await?;
        let mut mark = redis::cmd("HSET");
        mark.arg(&new).arg("c").arg(sum).arg("o").arg(&object);
        self.link.bulk.ask_one(mark).await.map_err(Trouble::writing)?;
        let call = self.scripts.keep.call(&[new, keys.blob()]);
        let word = self.write(call).await?.0;
        // A blob that lay unsealed for too long has to be written again.
        if word == "ok" { Ok(()) } else { Err(StoreError::Unknown) }
    }

    /// S15: a blob, checked.
    pub(super) async fn find_blob(&self, name: &LogName) -> Result<Option<Bytes>, StoreError> {
        let key = self.keys.of(name).blob();
        for _ in 0..AGAIN {
            let head = self.blob_head(&key).await?;
            let Some((length, sum, object)) = head.clone() else { return Ok(None) };
            let bytes = self.get_object(&key, length).await?;
            if let Some(bytes) = bytes
                && checksum::blob(name, &bytes) == sum
            {
                return Ok(Some(bytes));
            }
            if self.blob_head(&key).await?.is_some_and(|(_, _, now)| now == object) {
                return Err(StoreError::Corrupt("a blob does not match its checksum".into()));
            }
        }
        Err(StoreError::Away("the blob changes faster than it can be read".into()))
    }

    /// Length, checksum and object of a blob.
    async fn blob_head(&self, key: &str) -> Result<Option<(usize, u32, Value)>, StoreError> {
        let mut ask = redis::cmd("HMGET");
        ask.arg(key).arg(&["n", "c", "o"]);
        let found = self.link.bulk.ask_one(ask).await.map_err(Trouble::reading)?;
        let Value::Array(found) = found else { return Ok(None) };
        let at = |place: usize| found.get(place).and_then(number);
        let object = found.get(2).cloned().unwrap_or(Value::Nil);
        match (at(0), at(1)) {
            (Some(length), Some(sum)) => {
                let length = usize::try_from(length).unwrap_or(usize::MAX);
                Ok(Some((length, u32::try_from(sum).unwrap_or(0), object)))
            }
            (None, None) => Ok(None),
            _ => Err(StoreError::Corrupt("a blob has lost its length or checksum".into())),
        }
    }
}

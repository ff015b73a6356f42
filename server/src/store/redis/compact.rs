//! How does a snapshot take the place of entries?
//!
//! Ask whether it may; write it, read it back, compare; and then one script makes it the newest and trims (`scripts/seal.lua`). The script
//! asks everything again, so of two that compact at once the later one is refused or replaces the earlier: no order of steps loses an entry.

use super::RedisStore;
use super::object::new_object;
use super::record::{id_bytes, id_text, snapshot_sum};
use super::scripts::{answer, number, text};
use super::trouble::Trouble;
use crate::store::{KEPT_SNAPSHOTS, LogName, Position, Snapshot, StoreError};
use redis::{Cmd, Value};

impl RedisStore {
    /// S8, S9, S18.
    pub(super) async fn replace(
        &self,
        log: &LogName,
        snapshot: &Snapshot,
    ) -> Result<(), StoreError> {
        let mut ask = self.admission(log, snapshot);
        ask.arg("");
        let admitted = self.scripts.ask(&self.link.reads, ask);
        let value = admitted.await.map_err(Trouble::reading)?;
        let (word, parts) = answer(value).map_err(Trouble::reading)?;
        refused(&word, &parts)?;
        let Some(Value::BulkString(life)) = parts.into_iter().next() else {
            return Err(Trouble::Damaged("a log without a beginning".into()).reading());
        };

        let keys = self.keys.of(log);
        let object = new_object();
        let key = keys.snapshot(&object);
        let sum = snapshot_sum(log, snapshot.covers, snapshot.last, &snapshot.bytes);
        let sealed = async {
            self.put_object(&key, &snapshot.bytes).await?;
            let mut seal = self.admission(log, snapshot);
            seal.arg(life).arg(keys.snapshots()).arg(&object).arg(snapshot.bytes.len()).arg(sum);
            seal.arg(id_text(snapshot.last)).arg(KEPT_SNAPSHOTS);
            let (word, parts) = self.write(seal).await?;
            refused(&word, &parts)
        };
        let sealed = sealed.await;
        // When it is unknown whether it was sealed, it stays: if it was not, it expires.
        if sealed.as_ref().is_err_and(|error| *error != StoreError::Unknown) {
            self.forget_object(&key).await;
        }
        sealed
    }

    fn admission(&self, log: &LogName, snapshot: &Snapshot) -> Cmd {
        let keys = self.keys.of(log);
        let mut call = self.scripts.seal.call(&[keys.log(), keys.meta()]);
        call.arg(snapshot.covers.0).arg(id_bytes(snapshot.last));
        call
    }
}

fn refused(word: &str, parts: &[Value]) -> Result<(), StoreError> {
    let at = || Position(parts.first().and_then(number).unwrap_or(0));
    match word {
        "ok" => Ok(()),
        "aside" => Err(StoreError::Quarantined(parts.first().and_then(text).unwrap_or_default())),
        "rewound" => Err(StoreError::Rewound { head: at() }),
        "ahead" => Err(StoreError::Ahead { head: at() }),
        "stale" => Err(StoreError::Stale { newest: at() }),
        // It lay unsealed for too long and has expired.
        _ => Err(StoreError::Away("the snapshot took too long to be stored".into())),
    }
}

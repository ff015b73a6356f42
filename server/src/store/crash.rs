//! Which document was being applied when the process died?
//!
//! The CRDT library can end the process on hostile bytes, and no handler runs then. So before a log's bytes are applied its name is written
//! into a slot of a small file, and afterwards it is wiped. No fsync: what the kernel has taken survives the death of the process, and a
//! power cut proves nothing against a document. At the next start a name that is still there was being applied.

use super::{LogName, MAX_LOG_NAME};
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

/// How many logs can be marked at once: one bit each in a word, and far more than there are threads that apply. Beyond it a log is
/// applied unmarked: it could crash the process once without being counted.
const SLOTS: usize = 64;

/// A slot: the length of a name in two bytes, and the name. Bytes.
const SLOT_BYTES: usize = 640;

const _: () = assert!(2 + MAX_LOG_NAME <= SLOT_BYTES);

/// The file with the slots.
#[derive(Debug)]
pub struct CrashMarkers {
    file: File,
    /// A bit for each slot in use.
    taken: AtomicU64,
    /// When each slot was taken, in nanoseconds since `zero`.
    since: [AtomicU64; SLOTS],
    zero: Instant,
}

fn now() -> Instant {
    #[expect(
        clippy::disallowed_methods,
        reason = "measures real work on real threads; the simulation does not apply through markers"
    )]
    Instant::now()
}

impl CrashMarkers {
    /// Opens the file, and says which logs were being applied when it was last used. They stay there until `clear_all`.
    pub fn open(path: &Path) -> io::Result<(Arc<Self>, Vec<LogName>)> {
        let file =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)?;
        file.set_len((SLOTS * SLOT_BYTES) as u64)?;
        let markers = Self {
            file,
            taken: AtomicU64::new(0),
            since: [const { AtomicU64::new(0) }; SLOTS],
            zero: now(),
        };
        let mut left = Vec::new();
        for slot in 0..SLOTS {
            left.extend(markers.name_in(slot)?);
        }
        left.sort();
        left.dedup();
        Ok((Arc::new(markers), left))
    }

    /// Wipes every slot: what was left there is noted elsewhere now.
    pub fn clear_all(&self) -> io::Result<()> {
        for slot in 0..SLOTS {
            self.file.write_all_at(&[0, 0], offset(slot))?;
        }
        Ok(())
    }

    /// Marks a log until the answer is dropped.
    pub fn begin(self: &Arc<Self>, log: &LogName) -> Applying {
        let slot = self.take();
        if let Some(slot) = slot {
            let name = log.as_str().as_bytes();
            let mut bytes = [0_u8; SLOT_BYTES];
            let length = u16::try_from(name.len()).unwrap_or(0);
            bytes[..2].copy_from_slice(&length.to_le_bytes());
            bytes[2..2 + name.len()].copy_from_slice(name);
            let passed = u64::try_from((now() - self.zero).as_nanos()).unwrap_or(u64::MAX);
            self.since[slot].store(passed, Ordering::Relaxed);
            if let Err(error) = self.file.write_all_at(&bytes[..2 + name.len()], offset(slot)) {
                tracing::warn!(%log, %error, "a log is applied unmarked");
            }
        }
        Applying { markers: Arc::clone(self), slot }
    }

    /// The log that has been applied longest, and for how long. A watchdog ends the process when this is too long.
    #[must_use]
    pub fn longest_running(&self) -> Option<(LogName, Duration)> {
        let taken = self.taken.load(Ordering::Acquire);
        let oldest = (0..SLOTS)
            .filter(|slot| taken & (1 << slot) != 0)
            .min_by_key(|slot| self.since[*slot].load(Ordering::Relaxed))?;
        let since = self.since[oldest].load(Ordering::Relaxed);
        let passed = (now() - self.zero).saturating_sub(Duration::from_nanos(since));
        // A slot that is just being wiped or filled has not run long.
        let name = self.name_in(oldest).ok().flatten()?;
        (self.since[oldest].load(Ordering::Relaxed) == since).then_some((name, passed))
    }

    fn take(&self) -> Option<usize> {
        let mut taken = self.taken.load(Ordering::Relaxed);
        loop {
            let slot = taken.trailing_ones();
            if slot as usize >= SLOTS {
                return None;
            }
            match self.taken.compare_exchange_weak(
                taken,
                taken | (1 << slot),
                Ordering::AcqRel,
                Ordering::Relaxed,
            ) {
                Ok(_) => return Some(slot as usize),
                Err(now_taken) => taken = now_taken,
            }
        }
    }

    fn name_in(&self, slot: usize) -> io::Result<Option<LogName>> {
        let mut bytes = [0_u8; SLOT_BYTES];
        self.file.read_exact_at(&mut bytes, offset(slot))?;
        let length = usize::from(u16::from_le_bytes([bytes[0], bytes[1]]));
        let name = bytes.get(2..2 + length).and_then(|name| std::str::from_utf8(name).ok());
        Ok(name.and_then(|name| LogName::new(name).ok()))
    }
}

fn offset(slot: usize) -> u64 {
    (slot * SLOT_BYTES) as u64
}

/// A log is being applied. Dropping this says that it is over, whether it went well or not: the process lives.
#[derive(Debug)]
pub struct Applying {
    markers: Arc<CrashMarkers>,
    slot: Option<usize>,
}

impl Drop for Applying {
    fn drop(&mut self) {
        let Some(slot) = self.slot else { return };
        if let Err(error) = self.markers.file.write_all_at(&[0, 0], offset(slot)) {
            tracing::warn!(%error, "a crash marker could not be wiped");
        }
        self.markers.taken.fetch_and(!(1 << slot), Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests;

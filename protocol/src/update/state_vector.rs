//! Up to which clock is each client known?

use crate::error::Malformed;
use crate::ids::{ClientId, Clock};
use crate::limits::MAX_CLOCK;
use crate::varint::{Reader, write_var_u64};
use std::collections::BTreeMap;

/// For each client the number of its insertions that are known: all clocks below it. Absent means none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StateVector {
    // Invariant: no zero is stored, so that equal knowledge compares equal.
    clocks: BTreeMap<ClientId, Clock>,
}

impl StateVector {
    /// Knows nothing.
    #[must_use]
    pub const fn new() -> Self {
        Self { clocks: BTreeMap::new() }
    }

    /// Reads an encoded state vector (U20): clocks below 2^31, each client once, nothing after the last entry. Memory
    /// follows the bytes that are there and never the number that is claimed: an entry is at least two bytes.
    pub fn decode(bytes: &[u8]) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        let count = reader.var_u64("state vector length")?;
        if count > (reader.remaining() / 2) as u64 {
            return Err(Malformed::Truncated("state vector"));
        }
        let mut clocks = BTreeMap::new();
        for _ in 0..count {
            let client = ClientId::new(reader.var_u64("client id")?)?;
            let clock = reader.var_u32("clock")?;
            if clock > MAX_CLOCK {
                return Err(Malformed::OutOfRange("clock"));
            }
            if clocks.insert(client, clock).is_some() {
                return Err(Malformed::Rule("a state vector names a client twice"));
            }
        }
        reader.finish()?;
        clocks.retain(|_, clock| *clock > 0);
        Ok(Self { clocks })
    }

    /// Writes it as Yjs does: greatest client first.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(2 + self.clocks.len() * 8);
        write_var_u64(&mut out, self.clocks.len() as u64);
        for (client, clock) in self.clocks.iter().rev() {
            write_var_u64(&mut out, client.get());
            write_var_u64(&mut out, u64::from(*clock));
        }
        out
    }

    /// How many insertions of this client are known.
    #[must_use]
    pub fn get(&self, client: ClientId) -> Clock {
        self.clocks.get(&client).copied().unwrap_or(0)
    }

    /// Learns that this client is known up to `clock`. Never goes back.
    pub fn advance(&mut self, client: ClientId, clock: Clock) {
        if clock > 0 {
            let known = self.clocks.entry(client).or_insert(0);
            *known = (*known).max(clock);
        }
    }

    /// Whether everything `other` knows is known here.
    #[must_use]
    pub fn covers(&self, other: &Self) -> bool {
        other.iter().all(|(client, clock)| self.get(client) >= clock)
    }

    /// All clients with a clock above zero, smallest id first.
    pub fn iter(&self) -> impl Iterator<Item = (ClientId, Clock)> + '_ {
        self.clocks.iter().map(|(client, clock)| (*client, *clock))
    }

    /// How many clients are known.
    #[must_use]
    pub fn len(&self) -> usize {
        self.clocks.len()
    }

    /// Whether nothing is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.clocks.is_empty()
    }
}

impl FromIterator<(ClientId, Clock)> for StateVector {
    fn from_iter<I: IntoIterator<Item = (ClientId, Clock)>>(entries: I) -> Self {
        let mut vector = Self::new();
        for (client, clock) in entries {
            vector.advance(client, clock);
        }
        vector
    }
}

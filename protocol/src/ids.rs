//! How are Yjs clients and their operations named on the wire?

use crate::error::Malformed;
use crate::limits::MAX_CLIENT_ID;
use std::fmt;

/// The Yjs client id: one per open document in one program, up to 53 bits, chosen by the client.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClientId(u64);

impl ClientId {
    /// Checks the 53-bit range (`Number.MAX_SAFE_INTEGER`): yrs silently cuts larger ones into somebody else's id.
    pub const fn new(value: u64) -> Result<Self, Malformed> {
        if value > MAX_CLIENT_ID {
            Err(Malformed::OutOfRange("client id"))
        } else {
            Ok(Self(value))
        }
    }

    /// The number itself.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }
}

impl fmt::Debug for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "c{}", self.0)
    }
}

impl fmt::Display for ClientId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Logical time of one client: how many UTF-16 units, values or types it has inserted so far.
pub type Clock = u32;

/// The name of one inserted unit: who, and its clock.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Id {
    /// Who inserted it.
    pub client: ClientId,
    /// Its number among that client's insertions, from 0.
    pub clock: Clock,
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}@{}", self.client, self.clock)
    }
}

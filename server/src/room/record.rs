//! What does a document's log entry hold?
//!
//! The clients' original bytes, with who sent them, over which connection, and when: attribution and audit come from the log,
//! not from what clients claim. Updates that arrived together share one entry.
//!
//! Layout (lib0 numbers): `version = 1`, `kind`, then for edits (`kind 0`): milliseconds since the Unix epoch, count,
//! count × (principal, connection, update); for a void (`kind 1`): the position of the entry and the index of the edit in it that must not
//! be applied.

use bytes::Bytes;
use commonplace_protocol::Malformed;
use commonplace_protocol::varint::{
    Reader, var_u64_len, write_var_bytes, write_var_str, write_var_u64,
};

use crate::store::Position;

/// The version this code writes. A reader refuses versions it does not know: the entry stays where it is.
const VERSION: u64 = 1;
const EDITS: u64 = 0;
const VOID: u64 = 1;

/// Who puts back what a log lost (R6). The connection of such an edit is 0: nobody's.
pub const HEALING: &str = "commonplace:healing";

/// One received update.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Edit {
    /// Who sent it.
    pub principal: std::sync::Arc<str>,
    /// Over which connection.
    pub connection: u64,
    /// The bytes as they came.
    pub update: Bytes,
}

/// Where an edit stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct EditPlace {
    /// The entry.
    pub position: Position,
    /// Its index among the edits of the entry.
    pub index: usize,
}

/// One log entry.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Record {
    /// Updates that were gated and stored together, in order.
    Edits {
        /// Milliseconds since the Unix epoch.
        at: u64,
        /// The updates.
        edits: Vec<Edit>,
    },
    /// An edit that passed the gate but could not be applied: every reader passes over it, its sender was refused.
    Void(EditPlace),
}

impl Record {
    /// The stored form.
    #[must_use]
    pub fn encode(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.size_hint());
        write_var_u64(&mut out, VERSION);
        match self {
            Self::Edits { at, edits } => {
                write_var_u64(&mut out, EDITS);
                write_var_u64(&mut out, *at);
                write_var_u64(&mut out, edits.len() as u64);
                for edit in edits {
                    write_var_str(&mut out, &edit.principal);
                    write_var_u64(&mut out, edit.connection);
                    write_var_bytes(&mut out, &edit.update);
                }
            }
            Self::Void(place) => {
                write_var_u64(&mut out, VOID);
                write_var_u64(&mut out, place.position.0);
                write_var_u64(&mut out, place.index as u64);
            }
        }
        out.into()
    }

    /// Reads the stored form; updates share `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Self, Malformed> {
        let mut reader = Reader::new(bytes);
        match reader.var_u64("record version")? {
            VERSION => {}
            tag => return Err(Malformed::UnknownTag { what: "record version", tag }),
        }
        let record = match reader.var_u64("record kind")? {
            EDITS => {
                let at = reader.var_u64("record time")?;
                let count = reader.var_u64("edit count")?;
                let mut edits = Vec::new();
                for _ in 0..count {
                    let principal = reader.var_str("principal")?.into();
                    let connection = reader.var_u64("connection")?;
                    let update = bytes.slice_ref(reader.var_bytes("update")?);
                    edits.push(Edit { principal, connection, update });
                }
                Self::Edits { at, edits }
            }
            VOID => {
                let position = Position(reader.var_u64("void position")?);
                let index = reader.var_u32("void index")? as usize;
                Self::Void(EditPlace { position, index })
            }
            tag => return Err(Malformed::UnknownTag { what: "record kind", tag }),
        };
        reader.finish()?;
        Ok(record)
    }

    fn size_hint(&self) -> usize {
        match self {
            Self::Edits { edits, .. } => edits.iter().map(Edit::stored_len).sum::<usize>() + 24,
            Self::Void(_) => 16,
        }
    }
}

impl Edit {
    /// About how many bytes it takes in an entry.
    #[must_use]
    pub fn stored_len(&self) -> usize {
        self.principal.len() + self.update.len() + var_u64_len(self.connection) + 8
    }
}

#[cfg(test)]
mod tests;

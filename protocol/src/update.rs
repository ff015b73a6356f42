//! What is inside a Yjs update, and may it be believed?
//!
//! Source: Yjs 13.6 `src/utils/encoding.js`, `src/structs/Item.js`, `src/utils/DeleteSet.js`; yrs 0.28.1 `src/update.rs`.
//! `UPDATE.md` beside this crate numbers the rules (U1 …); tests carry the numbers. A strict parser comes first: what it
//! returns is well-formed, bounded and borrowed. Whether the update fits a document is the business of the server's gate.
//!
//! Reading order: [`parse`] and [`Update`], [`Block`], [`Update::causal_order`], [`merge`], [`split`], [`fingerprint`].

mod block;
mod fingerprint;
mod merge;
mod order;
mod parse;
mod split;
mod state_vector;
mod value;

pub use block::{Block, Body, Content, Item, Parent, TypeRef};
pub use fingerprint::{Fingerprint, fingerprint};
pub use merge::{Measured, MeasuredSection, merge};
pub use order::{Step, Stuck};
pub use parse::{Blocks, DeleteSection, Section, Update, parse, parse_own};
pub use split::split;
pub use state_vector::StateVector;

/// The tag of a block nobody may send: a hole, written by Yjs where it is itself missing something (U5).
pub const BLOCK_SKIP: u8 = 10;

/// What [`crate::Malformed::UnknownTag`] calls the kind of a block. With tag [`BLOCK_SKIP`] the sender has a gap of its own.
pub const BLOCK_KIND: &str = "block kind";

/// Blocks in one update. The smallest block is two bytes, and each costs eight bytes of index while it is looked at: 16 MB.
pub const MAX_BLOCKS: usize = 2_000_000;

/// The update that changes nothing.
pub const EMPTY: &[u8] = &[0, 0];

#[cfg(test)]
mod tests;

//! The wire of Commonplace, as pure functions over bytes.
//!
//! Nothing here knows a socket, a clock or a CRDT. Every decoder is bounded: it reserves memory only for bytes it has
//! really seen, limits depth and numbers, and tells "nothing left" from "not enough". `PROTOCOL.md` beside this crate
//! numbers the rules; tests carry the numbers.
//!
//! Reading order: [`varint`] (lib0 numbers and strings), [`yws`] and [`hocuspocus`] (the two dialects), [`presence`]
//! (awareness), [`update`] (what is inside a Yjs update), then [`close`], [`ids`], [`limits`], [`error`].

#![warn(clippy::indexing_slicing, clippy::cast_possible_truncation)]

pub mod close;
pub mod error;
pub mod ids;
pub mod limits;
pub mod update;
pub mod varint;

pub use error::Malformed;

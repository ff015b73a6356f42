//! The wire of Commonplace, as pure functions over bytes.
//!
//! Nothing here knows a socket, a clock or a CRDT. Every decoder is bounded: it reserves memory only for bytes it has
//! really seen, limits depth and numbers, and tells "nothing left" from "not enough". `PROTOCOL.md` beside this crate
//! numbers the rules; tests carry the numbers.
//!
//! Reading order: [`varint`] (lib0 numbers and strings), [`sync`] (what both dialects share), [`yws`] and [`hocuspocus`] (the two dialects), [`presence`]
//! (awareness), [`update`] (what is inside a Yjs update), then [`close`], [`ids`], [`limits`], [`error`].

// Hostile bytes are read here, so nothing may index or cut without asking. Tests may: there a panic is a finding.
#![cfg_attr(not(test), warn(clippy::indexing_slicing, clippy::cast_possible_truncation))]

pub mod close;
pub mod error;
pub mod hocuspocus;
pub mod ids;
pub mod limits;
pub mod presence;
pub mod sync;
pub mod update;
pub mod varint;
pub mod yws;

pub use error::Malformed;

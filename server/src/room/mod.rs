//! The unit of sync in memory: one document, its presence, its peers.

pub mod event;

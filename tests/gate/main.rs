//! Does the gate keep yrs whole, and let everything honest through?
//!
//! Three proofs: hostile histories (whatever passes is harmless to real yrs), honest histories of yrs, and honest histories
//! of Yjs itself. Seeds are printed; a seed that ever failed is pinned by name in `pinned`.

#![allow(clippy::unwrap_used, reason = "a test that unwraps says where it failed")]

mod classes;
mod document;
mod figures;
mod honest;
mod hostile;
mod pinned;
mod wire;
mod workers;
mod yjs;

//! Commonplace, the server. The map; `main` is only the process edge.
//!
//! Imports go downward: `http, connection → rooms → room → state → {document, presence} → protocol`.
//!
//! [`serve`] is where a server starts and stops.

pub mod access;
pub mod backup;
pub mod bus;
pub mod clock;
pub mod config;
mod connection;
pub mod gate;
mod http;
pub mod metrics;
pub mod outbox;
pub mod room;
pub mod rooms;
mod serve;
pub mod shutdown;
pub mod store;

use serve::Edge;
pub use serve::{Listeners, Options, Stopped, run};

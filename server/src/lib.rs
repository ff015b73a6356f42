//! Commonplace, the server. The map; `main` is only the process edge.
//!
//! Imports go downward: `http, connection → rooms → room → state → {document, presence} → protocol`.

pub mod access;
pub mod backup;
pub mod clock;
pub mod gate;
pub mod metrics;
pub mod outbox;
pub mod room;
pub mod rooms;
pub mod shutdown;
pub mod store;

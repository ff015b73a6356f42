//! What does an edit cost, here and elsewhere?
//!
//! A run starts a server on one core and a crowd of clients on another, counts what arrives and asks the kernel what the server used.
//!
//! Reading order: [`edits`] (what a writer types), [`dialect`] (how it is said), [`websocket`] (how it travels), [`ledger`] (did every edit
//! arrive exactly once?), [`crowd`] (thousands of clients in one thread), [`server`] (ours and the others, as processes),
//! [`rows`] (what is measured), [`report`] (how it is told).

pub mod clock;
pub mod crowd;
pub mod dialect;
pub mod edits;
pub mod history;
pub mod ledger;
pub mod machine;
pub mod profile;
pub mod relay;
pub mod report;
pub mod rows;
pub mod server;
pub mod websocket;

/// A benchmark that cannot go on says why and ends; nobody above acts on the kind of error.
pub type Outcome<T> = Result<T, Box<dyn std::error::Error>>;

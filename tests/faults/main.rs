//! What is left when the server is killed, stopped, or run on a bad disk, in the middle of everything?
//!
//! These tests run the real program as its own process.

mod crash;
mod disk;
mod hostile;
mod kill;
mod order;
mod stop;

//! What happens to several servers on one Redis, and to what people were told is saved, when a part of it fails?
//!
//! Everything here is real: the servers, Redis, the sockets between them. Each test is named after what goes wrong. `make redis-faults
//! ROUNDS=20` does all of it more often.

mod harness;

//! What does a client on a real socket see? One behaviour a file.

mod crowd;
mod documents;
mod hocuspocus;
mod instances;
mod instances_people;
mod limits;
mod pages;
mod slow;
mod stopping;
mod tokens;
mod upgrade;
mod ywebsocket;

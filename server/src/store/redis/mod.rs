//! How are logs kept in a Redis that several instances share?

pub mod check;

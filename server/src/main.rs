//! The process edge: everything else starts from `commonplace::run`.

fn main() {}

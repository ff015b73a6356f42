//! Seeds that failed once.

use super::{hostile, workers};

/// `GATE_SEED=n cargo test -p commonplace-tests --test gate replay -- --ignored` plays one hostile history here.
#[test]
#[ignore = "plays the seed in GATE_SEED"]
fn replay() {
    let seed = std::env::var("GATE_SEED").unwrap().parse().unwrap();
    println!("{:?}", workers::replay(hostile::history, seed));
}

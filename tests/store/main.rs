//! Does every store keep the contract, and what does the embedded one survive?
//!
//! `contract` holds the numbered clauses of `store/mod.rs`, once for all stores; `bench` makes a store to try them on. What has to happen in
//! a process of its own is in `src/bin/store_worker.rs`. How fast it is, `cargo run --release --example measure_appends -p commonplace-tests`
//! tells.

#[cfg(test)]
mod backup;
#[cfg(test)]
mod bench;
#[cfg(test)]
mod contract;
#[cfg(test)]
mod moving;
#[cfg(test)]
mod redis_bench;
#[cfg(test)]
mod redis_check;
#[cfg(test)]
mod redis_faults;
#[cfg(test)]
mod redis_instances;
#[cfg(test)]
mod redis_proxy;
#[cfg(test)]
mod redis_server;
#[cfg(test)]
mod simulated;
#[cfg(test)]
mod sqlite_disk;
#[cfg(test)]
mod sqlite_faults;
#[cfg(test)]
mod sqlite_group;
#[cfg(test)]
mod transfer;

#[cfg(test)]
use bench::{SimBench, SqliteBench};
#[cfg(test)]
use redis_bench::RedisBench;

macro_rules! clauses {
    ($bench:expr; $($clause:ident)*) => {
        $(#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $clause() {
            let bench = $bench;
            super::contract::$clause(&bench).await;
        })*
    };
}

macro_rules! every_clause {
    ($module:ident, $bench:expr) => {
        mod $module {
            use super::*;
            clauses! { $bench;
                s1_an_acknowledged_entry_is_durable
                s2_positions_are_dense
                s3_expected_must_be_the_head
                s4_a_repeated_append_is_written_once
                s4_ids_are_remembered_across_compaction
                s5_a_refusal_writes_nothing
                s6_reads_have_no_holes
                s6_a_trimmed_reader_gets_the_snapshot
                s7_pages_are_bounded
                s8_compaction_is_fenced
                s8_a_snapshot_for_the_same_place_replaces
                s9_a_damaged_snapshot_falls_back
                s9_without_any_snapshot_the_log_is_set_aside
                s10_a_damaged_entry_sets_only_its_log_aside
                s11_quarantine_and_release
                s12_delete_is_complete
                s13_names_come_in_byte_order
                s14_readers_and_appends_of_many_logs_do_not_wait_for_each_other
                s15_blobs
                s19_a_log_moves_whole
                s19_only_a_whole_log_and_only_where_none_is
                s19_damage_and_marks_move_too
                s19_large_and_lean_logs_move
                s20_blobs_are_listed
                recent_logs_come_first
                closing_refuses_what_comes_after
            }
        }
    };
}

every_clause!(on_sqlite, SqliteBench::new());
every_clause!(on_simulated, SimBench::new());
every_clause!(on_redis, RedisBench::new().await);

//! Is every error of Redis taken for what it is?

use super::*;

fn of(line: &str) -> Trouble {
    let value = redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).expect("an error");
    checked(value).expect_err("an error is an error")
}

#[test]
fn what_was_refused_was_not_written() {
    assert_eq!(of("OOM command not allowed when used memory > 'maxmemory'."), Trouble::Full);
    assert_eq!(of("OOM allow-oom flag is not set on the script"), Trouble::Full);
    for refusal in [
        "MISCONF Redis is configured to save RDB snapshots, but it's currently unable to persist",
        "MISCONF Errors writing to the AOF file: No space left on device",
        "READONLY You can't write against a read only replica.",
        "LOADING Redis is loading the dataset in memory",
        "CLUSTERDOWN Hash slot not served",
        "MASTERDOWN Link with MASTER is down",
        "NOREPLICAS Not enough good replicas to write.",
        "TRYAGAIN Multiple keys request during rehashing of slot",
        "BUSY Redis is busy running a script.",
        "MOVED 3999 127.0.0.1:6381",
        "NOAUTH Authentication required.",
        "NOPERM this user has no permissions to run the 'xadd' command",
    ] {
        let error = of(refusal).writing();
        assert!(matches!(error, StoreError::Away(_)), "{refusal}: {error:?}");
        assert!(error.is_retryable());
    }
}

#[test]
fn what_nobody_knows_is_no_refusal() {
    for unknown in ["ERR something of ours failed", "UNBLOCKED force unblock", "NEWCODE what"] {
        assert_eq!(of(unknown).writing(), StoreError::Unknown, "{unknown}");
        assert!(matches!(of(unknown).reading(), StoreError::Away(_)));
    }
    assert!(matches!(of("WRONGTYPE Operation against a key").writing(), StoreError::Corrupt(_)));
    assert_eq!(of("NOSCRIPT No matching script."), Trouble::NoScript);
}

#[test]
fn only_a_redis_that_can_be_read_keeps_us_in_touch() {
    assert!(of("OOM command not allowed").is_in_touch());
    for away in ["LOADING Redis is loading", "READONLY a replica", "CLUSTERDOWN", "NOAUTH who"] {
        assert!(!of(away).is_in_touch(), "{away}");
    }
}

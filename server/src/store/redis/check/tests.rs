use super::*;

/// What `INFO` of Redis 7.0.15 says, with `appendonly yes` and one replica; and what the replica says. Shortened.
const PRIMARY: &str = include_str!("info-primary.txt");
const REPLICA: &str = include_str!("info-replica.txt");

fn here() -> Target {
    Target { has_password: false, is_this_computer: true, prefix: "commonplace".to_owned() }
}

/// A Redis as one finds it: `change` is "info-key:value" and "setting=value", and "user=name", "nopass", "hidden".
fn redis(text: &str, changes: &str) -> Facts {
    let mut facts = Facts::from_info(text);
    let always =
        [("appendonly", "yes"), ("appendfsync", "always"), ("no-appendfsync-on-rewrite", "no")];
    let own = |(key, value): (&str, &str)| (key.to_owned(), value.to_owned());
    let mut settings: HashMap<_, _> = always.into_iter().map(own).collect();
    facts.user = Some("commonplace".to_owned());
    facts.needs_no_password = Some(false);
    for change in changes.split_whitespace() {
        match change.split_once(':').ok_or_else(|| change.split_once('=')) {
            Ok((key, "")) => drop(facts.info.remove(key)),
            Ok(pair) => facts.info.extend([own(pair)]),
            Err(Some(("user", name))) => facts.user = Some(name.to_owned()),
            Err(Some(pair)) => settings.extend([own(pair)]),
            Err(None) if change == "nopass" => facts.needs_no_password = Some(true),
            Err(None) if change == "hidden" => settings.clear(),
            Err(None) => panic!("{change}"),
        }
    }
    facts.settings = (!settings.is_empty()).then_some(settings);
    facts
}

fn promised(changes: &str, wanted: Option<Durability>) -> Result<Durability, Vec<Obstacle>> {
    let judged = judge(&redis(PRIMARY, changes), &here(), wanted);
    judged.map(|promise| promise.durability).map_err(|unfit| unfit.0)
}

fn not_on_disk(found: &'static str, lines: &[&'static str]) -> Obstacle {
    Obstacle::NotOnDisk { found, lines: lines.to_vec() }
}

#[test]
fn the_best_that_can_be_had_is_taken_and_it_is_never_memory() {
    use Durability::{Fsync, Replicated};
    let everysec = not_on_disk("it writes to disk after it has answered", &["appendfsync always"]);
    let no_file =
        not_on_disk("it does not write edits to disk", &["appendonly yes", "appendfsync always"]);
    for (changes, expected) in [
        ("", Ok(Fsync)),
        ("slave0:", Ok(Fsync)),
        ("appendfsync=everysec", Ok(Replicated(1))),
        ("aof_enabled:0 appendonly=no appendfsync=everysec", Ok(Replicated(1))),
        ("hidden", Ok(Replicated(1))),
        ("slave0: appendfsync=everysec", Err(vec![everysec.clone(), Obstacle::OnlyMemory])),
        (
            "slave0:ip=127.0.0.1,port=1,state=wait_bgsave,offset=0,lag=0 appendfsync=everysec",
            Err(vec![everysec, Obstacle::OnlyMemory]),
        ),
        (
            "slave0: aof_enabled:0 appendonly=no appendfsync=everysec",
            Err(vec![no_file, Obstacle::OnlyMemory]),
        ),
        (
            "slave0: no-appendfsync-on-rewrite=yes",
            Err(vec![
                not_on_disk(
                    "it skips the disk while it rewrites its file",
                    &["no-appendfsync-on-rewrite no"],
                ),
                Obstacle::OnlyMemory,
            ]),
        ),
        (
            "slave0: hidden",
            Err(vec![Obstacle::SettingsHidden("commonplace".into()), Obstacle::OnlyMemory]),
        ),
    ] {
        assert_eq!(promised(changes, None), expected, "{changes:?}");
    }
}

#[test]
fn what_is_asked_for_is_had_or_refused() {
    use Durability::{Fsync, Memory, Replicated};
    for (changes, wanted, expected) in [
        ("", Fsync, Ok(Fsync)),
        ("", Replicated(1), Ok(Replicated(1))),
        ("", Memory, Ok(Memory)),
        ("hidden", Replicated(1), Ok(Replicated(1))),
        ("hidden", Fsync, Err(vec![Obstacle::SettingsHidden("commonplace".into())])),
        ("slave0: aof_enabled:0", Memory, Ok(Memory)),
        ("", Replicated(2), Err(vec![Obstacle::TooFewReplicas { connected: 1, wanted: 2 }])),
        ("slave1:ip=::1,state=online", Replicated(2), Ok(Replicated(2))),
        ("slave0:", Replicated(1), Err(vec![Obstacle::TooFewReplicas { connected: 0, wanted: 1 }])),
        (
            "appendfsync=no",
            Fsync,
            Err(vec![not_on_disk(
                "it writes to disk after it has answered",
                &["appendfsync always"],
            )]),
        ),
        (
            "aof_enabled:0 appendonly=no",
            Fsync,
            Err(vec![not_on_disk("it does not write edits to disk", &["appendonly yes"])]),
        ),
        // The file was switched on while it ran, and is not written yet; or off.
        (
            "appendonly=no",
            Fsync,
            Err(vec![not_on_disk("it does not write edits to disk", &["appendonly yes"])]),
        ),
    ] {
        assert_eq!(promised(changes, Some(wanted)), expected, "{changes:?} {wanted}");
    }
}

#[test]
fn what_no_class_can_do_with_is_refused_with_all_of_it_at_once() {
    let policy = |name: &str| vec![Obstacle::Evicts(name.to_owned())];
    for (changes, expected) in [
        ("redis_version:6.2.14", vec![Obstacle::TooOld("6.2.14".into())]),
        ("redis_version:", vec![Obstacle::TooOld("of no known release".into())]),
        ("redis_version:10.1.0", Vec::new()),
        ("loading:1", vec![Obstacle::Loading]),
        ("cluster_enabled:1", vec![Obstacle::Cluster]),
        ("maxmemory:100000000 maxmemory_policy:allkeys-lru", policy("allkeys-lru")),
        ("maxmemory:100000000 maxmemory_policy:volatile-ttl", policy("volatile-ttl")),
        ("maxmemory:100000000", Vec::new()),
        ("maxmemory_policy:allkeys-lru", Vec::new()),
        (
            "loading:1 cluster_enabled:1 maxmemory:1 maxmemory_policy:x",
            [vec![Obstacle::Loading, Obstacle::Cluster], policy("x")].concat(),
        ),
    ] {
        for wanted in [None, Some(Durability::Fsync), Some(Durability::Memory)] {
            let found = promised(changes, wanted).err().unwrap_or_default();
            assert_eq!(found, expected, "{changes:?}");
        }
    }
    let replica = judge(&redis(REPLICA, "aof_enabled:1"), &here(), None).expect_err("a replica");
    assert_eq!(replica.0, [Obstacle::Replica("127.0.0.1:17381".into())]);
    assert!(Unfit(vec![Obstacle::Loading]).will_pass() && !replica.will_pass());
}

#[test]
fn an_open_door_to_the_network_is_refused() {
    let far = Target { has_password: true, is_this_computer: false, ..here() };
    for (changes, target, is_open) in [
        ("user=default nopass", &far, true),
        ("user=default", &far, false),
        ("user=default nopass", &here(), false),
        ("user=anna nopass", &far, false),
        ("", &far, false),
    ] {
        let judged = judge(&redis(PRIMARY, changes), target, None);
        let refused = judged.err().map(|unfit| unfit.0).unwrap_or_default();
        let expected: &[Obstacle] = &[Obstacle::OpenToAll(user_line("commonplace"))];
        assert_eq!(refused, if is_open { expected } else { &[] }, "{changes:?}");
    }
}

#[test]
fn the_words_hold_the_line_to_change() {
    let words = |changes: &str, wanted| {
        judge(&redis(PRIMARY, changes), &here(), wanted).expect_err(changes).to_string()
    };
    assert_eq!(
        words("aof_enabled:0 appendonly=no appendfsync=everysec", Some(Durability::Fsync)),
        "this Redis cannot be used as it is: it does not write edits to disk: run `CONFIG SET appendonly yes` and `CONFIG SET appendfsync always`, and put \
         `appendonly yes` and `appendfsync always` into redis.conf"
    );
    let two = words("slave0: appendfsync=everysec", None);
    assert!(
        two.contains("\n  - it writes to disk after") && two.contains("--durability memory"),
        "{two}"
    );
    for (changes, part) in [
        ("maxmemory:1 maxmemory_policy:allkeys-lfu", "CONFIG SET maxmemory-policy noeviction"),
        ("slave0: hidden", "ACL SETUSER commonplace +config|get"),
        ("redis_version:6.0.1", "7.0 or later"),
    ] {
        let words = words(changes, None);
        assert!(words.contains(part), "{part} is missing in {words}");
    }
}

#[test]
fn a_promise_says_what_it_is_worth() {
    let notes = |changes: &str, wanted| {
        judge(&redis(PRIMARY, changes), &here(), wanted).expect(changes).notes.join("\n")
    };
    assert_eq!(notes("slave0:", None), "");
    assert!(notes("", None).contains("failover"));
    let replicated = notes("appendfsync=everysec", None);
    assert!(replicated.starts_with("not fsync, because it writes to disk after it has answered"));
    assert!(replicated.contains("the primary and 1 of its 1 replicas"), "{replicated}");
    assert!(notes("", Some(Durability::Memory)).starts_with("NOTHING IS SAVED"));
    assert!(notes("slave0: aof_last_write_status:err", None).contains("last write to disk failed"));
}

#[test]
fn the_manual_has_the_same_user() {
    let manual = include_str!("../../../../../README.md");
    let line = user_line("commonplace").replace("ACL SETUSER", "user");
    assert!(manual.contains(&line), "{line} is not in the README");
}

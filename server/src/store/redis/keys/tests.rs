//! Can two logs ever share a key?

use super::*;

fn keys() -> Keys {
    Keys::new(DEFAULT_PREFIX).expect("the default prefix can be used")
}

fn of(log: &str) -> LogKeys {
    keys().of(&LogName::new(log).expect("a name"))
}

/// What Redis Cluster hashes: the text between the first `{` and the first `}` after it.
fn tag(key: &str) -> &str {
    let from = key.find('{').expect("every key has a tag") + 1;
    &key[from..from + key[from..].find('}').expect("a tag ends")]
}

#[test]
fn the_whole_name_is_the_tag() {
    for log in ["note/1", "a}b", "{a}", "}", "{", "a{b}:log", "%7D", "é😀 x", "index"] {
        let keys = of(log);
        let all = [
            keys.log(),
            keys.meta(),
            keys.ids(),
            keys.snapshot("1f"),
            keys.blob(),
            keys.new_blob("1f"),
            keys.hint(),
            keys.bus(),
        ];
        for key in &all {
            assert_eq!(tag(key), tag(&all[0]), "one slot for {log}");
            assert!(!tag(key).is_empty());
            assert!(key.starts_with("commonplace:{"));
        }
    }
}

#[test]
fn different_names_have_different_keys() {
    let names = ["a}b", "a%7Db", "a%257Db", "{a}", "%7Ba%7D", "a", "a}:log", "index"];
    let mut all: Vec<String> = names
        .iter()
        .flat_map(|name| {
            let keys = of(name);
            [keys.log(), keys.meta(), keys.ids(), keys.blob(), keys.snapshot("1"), keys.bus()]
        })
        .chain([keys().names(), keys().recent(), keys().probe()])
        .collect();
    let count = all.len();
    all.sort();
    all.dedup();
    assert_eq!(all.len(), count);
    assert_eq!(of("note/1").log(), "commonplace:{note/1}:log");
    assert_eq!(of("a}%").log(), "commonplace:{a%7D%25}:log");
}

#[test]
fn a_prefix_cannot_break_the_tag() {
    for good in ["commonplace", "lab-2:test", "a/b_c.d"] {
        assert!(Keys::new(good).is_ok(), "{good}");
    }
    for bad in ["", "a{b", "}", "a b", "é", "*", "a\n", &"x".repeat(65)] {
        assert_eq!(Keys::new(bad).err(), Some(BadPrefix), "{bad}");
    }
}

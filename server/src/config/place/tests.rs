use super::*;
use crate::config::{Cli, Command};
use crate::store::redis::BadPrefix;
use clap::Parser;

fn shown(url: &str) -> Option<String> {
    RedisUrl::parse(url).map(|url| url.to_string())
}

#[test]
fn an_address_is_shown_without_its_password() {
    for (whole, without) in [
        ("redis://127.0.0.1", "redis://127.0.0.1:6379"),
        ("redis://anna:s3cret@db.example:7000/2", "redis://anna@db.example:7000/2"),
        ("redis://:s3cret@[::1]:7000", "redis://[::1]:7000"),
        ("rediss://anna:s3cret@db.example", "rediss://anna@db.example:6379"),
        ("redis+unix:///run/redis.sock?pass=s3cret&user=anna", "redis+unix://anna@/run/redis.sock"),
    ] {
        let url = RedisUrl::parse(whole).expect(whole);
        assert_eq!(url.to_string(), without);
        assert_eq!(url.has_password(), whole.contains("s3cret"), "{whole}");
        let place = RedisPlace { url, prefix: "p".to_owned() };
        assert!(!format!("{place} {place:?}").contains("s3cret"));
    }
    for bad in
        ["", "redis://", "127.0.0.1:6379", "http://127.0.0.1", "redis://a/b", "redis://0.0.0.0"]
    {
        assert_eq!(shown(bad), None, "{bad:?}");
    }
}

#[test]
fn this_computer_is_known_by_its_own_names() {
    for (url, is_here) in [
        ("redis://localhost", true),
        ("redis://127.0.0.9:1", true),
        ("redis://[::1]", true),
        ("redis+unix:///run/redis.sock", true),
        ("redis://10.0.0.1", false),
        ("redis://redis", false),
        ("rediss://localhost.example", false),
    ] {
        assert_eq!(RedisUrl::parse(url).expect(url).is_this_computer(), is_here, "{url}");
    }
}

fn command(line: &str) -> Command {
    Cli::try_parse_from(["commonplace"].into_iter().chain(line.split_whitespace()))
        .expect("a line clap understands")
        .command
}

/// Where `verify` looks, with these options and this environment.
fn place(options: &str, environment: &[(&str, &str)]) -> Result<String, Mistakes> {
    let Command::Verify { place } = command(&format!("verify {options}")) else { panic!("verify") };
    let look = |name: &str| {
        environment.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
    };
    place.place(&look).map(|place| place.to_string())
}

#[test]
fn the_command_line_wins_and_then_redis() {
    let both = [("COMMONPLACE_REDIS", "redis://:pw@h"), ("COMMONPLACE_DATA", "/data")];
    assert_eq!(place("", &[]), Ok("./data".to_owned()));
    assert_eq!(place("", &both[1..]), Ok("/data".to_owned()));
    assert_eq!(place("", &both), Ok("redis://h:6379".to_owned()));
    assert_eq!(place("--data here", &both), Ok("here".to_owned()));
    assert_eq!(place("--redis redis://other", &both), Ok("redis://other:6379".to_owned()));
    assert_eq!(place("--redis-prefix mine", &both), Ok("redis://h:6379 (mine:*)".to_owned()));
    assert_eq!(
        place("--redis redis://other --data here", &[]),
        Err(Mistakes(vec![Mistake::TwoPlaces]))
    );
}

#[test]
fn a_bad_address_is_not_repeated() {
    let refused = place("--redis s3cret@nowhere --redis-prefix a{b", &[]).expect_err("it is none");
    assert_eq!(
        refused.0,
        [Mistake::RedisUrl("--redis"), Mistake::RedisPrefix("a{b".to_owned(), BadPrefix)]
    );
    assert!(!format!("{refused} {refused:?}").contains("s3cret"));
    let environment = [("COMMONPLACE_REDIS", "s3cret")];
    let refused = place("", &environment).expect_err("it is none").to_string();
    assert!(refused.contains("COMMONPLACE_REDIS is not the address"), "{refused}");
    assert!(!format!("{:?}", command("verify --redis redis://:s3cret@h")).contains("s3cret"));
}

fn places(line: &str, environment: &str) -> Result<(String, String), Mistakes> {
    let Command::Copy(args) = command(&format!("copy {line}")) else { panic!("copy") };
    let look = |name: &str| {
        (name == REDIS_VARIABLE && !environment.is_empty()).then(|| environment.to_owned())
    };
    args.places(&look).map(|(from, to)| (from.to_string(), to.to_string()))
}

#[test]
fn a_copy_goes_from_a_place_to_another() {
    let pair = |from: &str, to: &str| Ok((from.to_owned(), to.to_owned()));
    assert_eq!(places("--from ./data --to redis://h", ""), pair("./data", "redis://h:6379"));
    assert_eq!(
        places("--from ./data --to redis://", "redis://:pw@e"),
        pair("./data", "redis://e:6379")
    );
    assert_eq!(places("--from redis://a --to new", ""), pair("redis://a:6379", "new"));
    assert_eq!(
        places("--from a --to redis://", ""),
        Err(Mistakes(vec![Mistake::RedisUrl("--to")]))
    );
    assert_eq!(places("--from a --to a", ""), Err(Mistakes(vec![Mistake::SamePlace])));
}

use super::*;

fn parse(line: &str) -> Result<Settings, Mistakes> {
    let cli =
        Cli::try_parse_from(["commonplace", "serve"].into_iter().chain(line.split_whitespace()))
            .expect("a line clap understands");
    match cli.command {
        Command::Serve(args) => Settings::from_args(&args),
        other => panic!("{other:?} is not serve"),
    }
}

fn mistakes(line: &str) -> Vec<Mistake> {
    parse(line).expect_err("there is a mistake").0
}

#[test]
fn the_defaults_are_safe() {
    let settings = parse("").expect("nothing is wrong with nothing");
    assert_eq!(settings.listen.to_string(), "127.0.0.1:8080");
    assert_eq!(
        (settings.door, settings.max_connections, settings.metrics_listen),
        (Door::Shut, DEFAULT_MAX_CONNECTIONS, None)
    );
}

#[test]
fn every_mistake_is_reported_at_once() {
    let line = "--listen nowhere --open-to-network --allow-origin notes.example.org --log xml --max-connections 0 --metrics-listen 9 --data /dev/null";
    assert_eq!(
        mistakes(line),
        [
            Mistake::Address { option: "--listen", given: "nowhere".to_owned() },
            Mistake::OpenToNetworkAlone,
            Mistake::Origin("notes.example.org".to_owned()),
            Mistake::Log("xml".to_owned()),
            Mistake::MaxConnections("0".to_owned()),
            Mistake::Address { option: "--metrics-listen", given: "9".to_owned() },
            Mistake::NotAFolder("/dev/null".into()),
        ]
    );
    assert!(
        parse(line)
            .expect_err("there is a mistake")
            .to_string()
            .starts_with("7 things have to change:\n  - --listen")
    );
}

#[test]
fn an_open_server_on_the_network_has_to_be_asked_for_twice() {
    assert_eq!(
        mistakes("--open --listen 0.0.0.0:8080"),
        [Mistake::OpenToNetwork(([0, 0, 0, 0], 8080).into())]
    );
    assert_eq!(mistakes("--open --listen [::]:8080").len(), 1);
    for fine in [
        "--open",
        "--open --listen [::1]:1",
        "--open --listen localhost:1",
        "--open --open-to-network --listen 0.0.0.0:8080",
    ] {
        assert_eq!(parse(fine).expect(fine).door, Door::Sandbox);
    }
}

#[test]
fn two_listeners_need_two_places() {
    assert_eq!(
        mistakes("--listen 127.0.0.1:9 --metrics-listen 127.0.0.1:9"),
        [Mistake::SameAddress(([127, 0, 0, 1], 9).into())]
    );
    assert!(
        parse("--listen 127.0.0.1:0 --metrics-listen 127.0.0.1:0").is_ok(),
        "port 0 is a different port each time"
    );
}

#[test]
fn a_data_folder_may_be_new_but_not_inside_a_file() {
    assert_eq!(mistakes("--data /dev/null/data"), [Mistake::NotAFolder("/dev/null/data".into())]);
    assert!(parse("--data ./not/there/yet").is_ok());
}

#[test]
fn origins_are_compared_as_browsers_write_them() {
    for (given, is) in [
        ("https://Notes.Example.org/", Some("https://notes.example.org")),
        ("https://notes.example.org:443", Some("https://notes.example.org")),
        ("http://notes.example.org:443", Some("http://notes.example.org:443")),
        ("http://[::1]:80", Some("http://[::1]")),
        ("https://notes.example.org/path", None),
        ("ftp://notes.example.org", None),
        ("https://user@notes.example.org", None),
        ("https://notes.example.org:99999", None),
        ("https://", None),
        ("null", None),
        ("*", None),
    ] {
        assert_eq!(Origin::parse(given).map(|origin| origin.to_string()).as_deref(), is, "{given}");
    }
    assert_eq!(Origin::parse("http://a.b:81").expect("an origin").authority(), "a.b:81");
}

#[test]
fn redis_is_asked_for_in_one_place_and_its_password_is_never_shown() {
    let settings =
        parse("--redis redis://anna:s3cret@db:7000 --durability replicated=2 --redis-prefix mine")
            .expect("a fine line");
    let redis = settings.redis.clone().expect("a Redis");
    assert_eq!(
        (redis.url.to_string().as_str(), redis.prefix.as_str()),
        ("redis://anna@db:7000", "mine")
    );
    assert_eq!(settings.durability, Some(Durability::Replicated(2)));
    assert!(!format!("{settings:?}").contains("s3cret"));
    assert_eq!(parse("").expect("fine").redis, None);
    for (given, read) in [
        ("fsync", Some(Durability::Fsync)),
        ("memory", Some(Durability::Memory)),
        ("replicated=9", Some(Durability::Replicated(9))),
        ("replicated=0", None),
        ("replicated=10", None),
        ("replicated", None),
        ("everysec", None),
    ] {
        let parsed = parse(&format!("--redis redis://h --durability {given}"));
        match read {
            Some(read) => assert_eq!(parsed.expect(given).durability, Some(read)),
            None => assert_eq!(parsed.expect_err(given).0, [Mistake::Durability(given.to_owned())]),
        }
    }
    assert_eq!(
        mistakes("--durability fsync --redis-prefix x"),
        [Mistake::WithoutRedis("--durability"), Mistake::WithoutRedis("--redis-prefix")]
    );
    assert_eq!(
        mistakes("--redis s3cret --redis-prefix a*"),
        [Mistake::RedisUrl("--redis"), Mistake::RedisPrefix("a*".to_owned(), BadPrefix)]
    );
}

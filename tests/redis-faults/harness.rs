//! A Redis that is harmed, and a proxy that harms, do what the other tests believe they do.

use commonplace_tests::proxy::FaultProxy;
use commonplace_tests::redis::{RedisServer, eventually};
use commonplace_tests::resp::{Value, command, parse};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

/// Nothing comes for so long where nothing is to come.
const NOTHING: Duration = Duration::from_millis(200);

struct Talk {
    stream: TcpStream,
    heard: Vec<u8>,
}

impl Talk {
    async fn to(address: SocketAddr) -> Self {
        Self { stream: TcpStream::connect(address).await.expect("it listens"), heard: Vec::new() }
    }

    async fn say(&mut self, words: &[&str]) {
        self.stream.write_all(&command(words)).await.expect("it reads");
    }

    /// `None` when the connection has ended.
    async fn hear(&mut self) -> Option<Value> {
        loop {
            if let Some((value, length)) = parse(&self.heard) {
                self.heard.drain(..length);
                return Some(value);
            }
            if !matches!(self.stream.read_buf(&mut self.heard).await, Ok(1..)) {
                return None;
            }
        }
    }

    async fn ask(&mut self, words: &[&str]) -> Option<Value> {
        self.say(words).await;
        self.hear().await
    }
}

#[tokio::test]
async fn what_redis_has_confirmed_is_there_after_a_kill_and_what_was_put_back_is_older() {
    let mut redis = RedisServer::start().await;
    redis.tell(&["SET", "word", "old"]).await;
    let disk = redis.disk();
    redis.tell(&["SET", "word", "new"]).await;
    redis.kill();
    assert!(redis.ask(&["PING"]).await.is_err(), "it is gone");
    redis.restart().await;
    assert_eq!(redis.tell(&["GET", "word"]).await, Value::Text("new".into()));
    redis.kill();
    redis.put_back(disk.path());
    redis.restart().await;
    assert_eq!(redis.tell(&["GET", "word"]).await, Value::Text("old".into()));
    redis.hang();
    assert!(timeout(NOTHING, redis.ask(&["PING"])).await.is_err(), "it hangs");
    redis.go_on();
    redis.tell(&["PING"]).await;
}

#[tokio::test]
async fn a_replica_takes_no_writes_until_it_is_promoted() {
    let (primary, replica) = (RedisServer::start().await, RedisServer::start().await);
    primary.tell(&["SET", "word", "one"]).await;
    replica.follow(primary.address).await;
    assert_eq!(replica.tell(&["GET", "word"]).await, Value::Text("one".into()));
    let refused = replica.ask(&["SET", "word", "two"]).await.expect_err("it is read-only");
    assert!(refused.starts_with("READONLY"), "{refused}");
    replica.promote().await;
    replica.tell(&["SET", "word", "two"]).await;
}

#[tokio::test]
async fn a_proxy_delays_each_way_and_slows_down_nothing_else() {
    let redis = RedisServer::start().await;
    let proxy = FaultProxy::to(redis.address).await;
    let mut talk = Talk::to(proxy.address).await;
    proxy.set(|weather| {
        weather.there.delay = Duration::from_millis(100);
        weather.back.delay = Duration::from_millis(100);
    });
    let since = Instant::now();
    for _ in 0..20 {
        talk.say(&["INCR", "n"]).await;
    }
    for n in 1..=20 {
        assert_eq!(talk.hear().await, Some(Value::Number(n)));
    }
    assert!(since.elapsed() >= Duration::from_millis(200), "{:?}", since.elapsed());
    assert!(since.elapsed() < Duration::from_millis(2000), "{:?}", since.elapsed());
}

#[tokio::test]
async fn a_proxy_holds_one_way_and_lets_everything_through_afterwards() {
    let redis = RedisServer::start().await;
    let proxy = FaultProxy::to(redis.address).await;
    let mut talk = Talk::to(proxy.address).await;
    assert!(talk.ask(&["PING"]).await.is_some());

    proxy.set(|weather| weather.there.holds = true);
    talk.say(&["SET", "word", "there"]).await;
    assert!(timeout(NOTHING, talk.hear()).await.is_err());
    assert_eq!(redis.tell(&["GET", "word"]).await, Value::Nothing);
    proxy.clear();
    assert!(talk.hear().await.is_some());

    proxy.set(|weather| weather.back.holds = true);
    talk.say(&["SET", "word", "back"]).await;
    assert!(timeout(NOTHING, talk.hear()).await.is_err());
    assert_eq!(redis.tell(&["GET", "word"]).await, Value::Text("back".into()));
    proxy.clear();
    assert!(talk.hear().await.is_some());
}

#[tokio::test]
async fn a_proxy_cuts_off_an_answer_after_the_command_was_done() {
    let redis = RedisServer::start().await;
    let proxy = FaultProxy::to(redis.address).await;
    proxy.set(|weather| weather.cuts_answers_to = Some(("INCR", 1)));
    let (mut talk, mut other) = (Talk::to(proxy.address).await, Talk::to(proxy.address).await);
    assert!(talk.ask(&["PING"]).await.is_some());
    assert!(other.ask(&["PING"]).await.is_some());
    assert_eq!(talk.ask(&["INCR", "n"]).await, None);
    assert_eq!(proxy.answers_cut(), 1);
    assert_eq!(other.ask(&["INCR", "n"]).await, Some(Value::Number(2)), "the others go on");
    proxy.cut();
    assert_eq!(other.ask(&["INCR", "n"]).await, None);
}

#[tokio::test]
async fn a_proxy_loses_messages_on_some_channels_and_leads_to_another_redis() {
    let (redis, next) = (RedisServer::start().await, RedisServer::start().await);
    let proxy = FaultProxy::to(redis.address).await;
    let mut talk = Talk::to(proxy.address).await;
    talk.ask(&["HELLO", "3"]).await.expect("RESP3");
    talk.ask(&["SSUBSCRIBE", "log:hint"]).await.expect("a confirmation");
    talk.ask(&["SSUBSCRIBE", "log:bus"]).await.expect("a confirmation");
    proxy.set(|weather| weather.deaf_to = Some(":hint"));
    redis.tell(&["SPUBLISH", "log:hint", "lost"]).await;
    redis.tell(&["SPUBLISH", "log:bus", "heard"]).await;
    let Some(Value::Push(parts)) = talk.hear().await else { panic!("nothing was pushed") };
    assert_eq!(parts.last(), Some(&Value::Text("heard".into())));
    assert_eq!(proxy.pushes_lost(), 1);

    next.tell(&["SET", "who", "next"]).await;
    proxy.lead_to(next.address);
    assert_eq!(talk.hear().await, None);
    let mut talk = Talk::to(proxy.address).await;
    assert_eq!(talk.ask(&["GET", "who"]).await, Some(Value::Text("next".into())));
    proxy.set(|weather| weather.refuses = true);
    eventually("connections to be refused", async || {
        Talk::to(proxy.address).await.ask(&["PING"]).await.is_none()
    })
    .await;
}

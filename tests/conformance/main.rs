//! Does the server speak RFC 6455, down to the last reserved bit?
//!
//! The case list is Autobahn's (groups 1 to 7, 9 and 10, without compression, which is never negotiated), written anew as tables of raw frames. That
//! suite talks to an echo server. This one echoes nothing, so each case says what happens instead: a ping is answered; a message of an
//! application's own type (100 and up) is passed over, and the connection is alive after it; what breaks the rules is closed with a code;
//! a text message is closed with 1003, whatever it says.

mod cases;
mod closes;
mod texts;
mod wire;

use commonplace_tests::Server;
use wire::{Case, Step, run};

/// Runs a table against one server; every case that goes wrong is named.
async fn all(cases: Vec<Case>) {
    let server = Server::start().await;
    let mut wrong = Vec::new();
    for case in &cases {
        if let Err(why) = run(server.address, case).await {
            wrong.push(format!("{}: {why}", case.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {} cases:\n{}", wrong.len(), cases.len(), wrong.join("\n"));
    println!("{} cases", cases.len());
    // Whatever was tried, the server still serves.
    let last = Case::new("a connection after all of them").then(Step::Alive);
    run(server.address, &last).await.expect("the server still serves");
}

#[tokio::test]
async fn group_1_messages_of_every_length() {
    all(cases::lengths()).await;
}

#[tokio::test]
async fn group_2_pings_and_pongs() {
    all(cases::pings()).await;
}

#[tokio::test]
async fn group_3_reserved_bits() {
    all(cases::reserved_bits()).await;
}

#[tokio::test]
async fn group_4_unknown_opcodes() {
    all(cases::opcodes()).await;
}

#[tokio::test]
async fn group_5_fragments() {
    all(cases::fragments()).await;
}

#[tokio::test]
async fn group_6_text() {
    all(texts::messages()).await;
}

#[tokio::test]
async fn group_7_closes() {
    all(closes::cases()).await;
}

#[tokio::test]
async fn groups_9_and_10_sizes_up_to_the_limits() {
    all(cases::sizes()).await;
}

#[tokio::test]
async fn masks_and_length_encodings() {
    all(cases::headers()).await;
}

#[test]
fn the_list_is_as_long_as_it_says() {
    let count = cases::lengths().len()
        + cases::pings().len()
        + cases::reserved_bits().len()
        + cases::opcodes().len()
        + cases::fragments().len()
        + texts::messages().len()
        + closes::cases().len()
        + cases::sizes().len()
        + cases::headers().len();
    assert!(count >= 245, "{count} cases");
}

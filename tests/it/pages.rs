//! Plain HTTP: pages, health, counters, and nothing that helps an attacker.

use commonplace_tests::{Server, Setup};
use std::sync::Arc;

#[tokio::test]
async fn every_answer_is_safe_to_show() {
    let server = Server::start().await;
    for path in [
        "/",
        "/n/some/note",
        "/nothing-here",
        "/healthz",
        "/readyz",
        "/metrics",
        "/api/notes/recent",
        "/sync",
    ] {
        let answer = server.get(path).await;
        let policy = answer.header("content-security-policy").unwrap_or_default();
        for part in
            ["default-src 'self'", "frame-ancestors 'none'", "object-src 'none'", "base-uri 'none'"]
        {
            assert!(policy.contains(part), "{path}: {policy}");
        }
        assert!(!policy.contains("unsafe"), "{path}");
        for (name, value) in [
            ("x-content-type-options", "nosniff"),
            ("referrer-policy", "no-referrer"),
            ("cross-origin-opener-policy", "same-origin"),
        ] {
            assert_eq!(answer.header(name), Some(value), "{path}");
        }
        assert!(answer.header("permissions-policy").is_some());
    }
}

#[tokio::test]
async fn pages_of_the_client_are_the_same_page_and_others_are_missing() {
    let server = Server::start().await;
    let start = server.get("/").await;
    assert_eq!(
        (start.status, start.header("content-type")),
        (200, Some("text/html; charset=utf-8"))
    );
    assert_eq!(server.get("/n/a%20note").await.body, start.body);
    // People get the client's own page for it, where the client is built in; programs never do.
    let missing = server.get("/nothing-here").await;
    assert_eq!(missing.status, 404);
    assert!(missing.body == start.body || start.body.contains("make build"), "{}", missing.body);
    let no_asset = server.get("/assets/nothing.js").await;
    assert_eq!((no_asset.status, no_asset.body.contains("<script")), (404, false));
    assert_eq!(server.get("/../Cargo.toml").await.status, 404);
    assert_eq!(server.get("/assets/..%2f..%2fpackage.json").await.status, 404);
    let post = server
        .ask("POST / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\ncontent-length: 0\r\n\r\n")
        .await;
    assert_eq!((post.status, post.header("allow")), (405, Some("GET, HEAD")));
    let head = server.ask("HEAD / HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
}

#[tokio::test]
async fn health_is_told_in_words_for_machines() {
    let server = Server::start().await;
    assert_eq!(server.get("/healthz").await.body, "alive\n");
    let ready = server.get("/readyz").await;
    let body: serde_json::Value = serde_json::from_str(&ready.body).expect("JSON");
    assert_eq!((ready.status, &body["ready"]), (200, &serde_json::Value::Bool(true)));
}

#[tokio::test]
async fn counters_are_for_this_computer_and_not_for_whom_a_proxy_brings() {
    let server = Server::start().await;
    let _socket = server.connect("/sync").await;
    let counters = server.get("/metrics").await;
    assert_eq!(counters.status, 200);
    assert!(counters.body.contains("commonplace_connections "), "{}", counters.body);
    let passed_on = "GET /metrics HTTP/1.1\r\nhost: localhost\r\nx-forwarded-for: 1.2.3.4\r\nconnection: close\r\n\r\n";
    assert_eq!(server.ask(passed_on).await.status, 403);
}

#[tokio::test]
async fn recent_notes_are_listed_in_the_sandbox_only() {
    let server = Server::start().await;
    let recent = server.get("/api/notes/recent").await;
    assert_eq!((recent.status, recent.body.as_str()), (200, "{\"notes\":[]}"));
    let mut setup = Setup { access: Arc::new(commonplace::access::Shut), ..Setup::default() };
    setup.options.door = commonplace::config::Door::Shut;
    assert_eq!(setup.start().await.get("/api/notes/recent").await.status, 404);
}

#[tokio::test]
async fn a_request_head_without_end_is_cut_off() {
    let server = Server::start().await;
    let endless = format!("GET / HTTP/1.1\r\nhost: a\r\nx: {}\r\n", "y".repeat(40_000));
    let answer = server.ask(&endless).await;
    assert_eq!(answer.status, 431);
}

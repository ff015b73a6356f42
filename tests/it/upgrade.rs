//! What can be refused is refused before a socket costs anything.

use crate::tokens::{Tokens, with_tokens};
use commonplace::config::Origin;
use commonplace_tests::{Server, Setup};
use std::sync::Arc;
use std::time::Duration;

async fn status(server: &Server, path: &str, headers: &[(&'static str, &str)]) -> u16 {
    server.try_connect(path, headers).await.err().map_or(101, |answer| answer.status)
}

#[tokio::test]
async fn pages_of_other_sites_may_not_connect() {
    let mut setup = Setup::default();
    setup.options.allow_origins =
        vec![Origin::parse("https://notes.example.org").expect("an origin")];
    let server = setup.start().await;
    let own = format!("http://{}", server.address);
    for path in ["/sync", "/sync/note"] {
        assert_eq!(status(&server, path, &[]).await, 101);
        assert_eq!(status(&server, path, &[("origin", &own)]).await, 101);
        assert_eq!(status(&server, path, &[("origin", "https://notes.example.org")]).await, 101);
        assert_eq!(status(&server, path, &[("origin", "https://evil.example.org")]).await, 403);
        assert_eq!(status(&server, path, &[("origin", "null")]).await, 403);
    }
    let refused = server
        .try_connect("/sync", &[("origin", "https://evil.example.org")])
        .await
        .expect_err("refused");
    assert!(refused.body.contains("--allow-origin"), "{refused:?}");
}

#[tokio::test]
async fn a_sandbox_on_loopback_is_not_reached_under_a_foreign_name() {
    let server = Server::start().await;
    let rebound = [("host", "evil.example.org:8080"), ("origin", "http://evil.example.org:8080")];
    assert_eq!(status(&server, "/sync/note", &rebound).await, 403);
    for path in ["/", "/metrics", "/api/notes/recent"] {
        let request =
            format!("GET {path} HTTP/1.1\r\nhost: evil.example.org\r\nconnection: close\r\n\r\n");
        assert_eq!(server.ask(&request).await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn names_that_cannot_be_kept_are_refused() {
    let server = Server::start().await;
    let long = format!("/sync/{}", "x".repeat(513));
    for path in ["/sync/%00", "/sync/%ff", &long] {
        assert_eq!(status(&server, path, &[]).await, 400, "{path}");
    }
}

#[tokio::test]
async fn a_browser_that_opens_the_address_is_told_what_it_is_for() {
    let server = Server::start().await;
    for path in ["/sync", "/sync/note"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.header("upgrade")), (426, Some("websocket")));
        assert!(answer.body.contains("Yjs"));
    }
}

#[tokio::test]
async fn a_full_server_says_when_to_come_back() {
    let mut setup = Setup::default();
    setup.options.max_connections = 1;
    let server = setup.start().await;
    let first = server.connect("/sync").await;
    let answer = server.try_connect("/sync", &[]).await.expect_err("the only place is taken");
    assert_eq!((answer.status, answer.header("retry-after")), (503, Some("5")));
    drop(first);
    // The place is given back once the server has noticed.
    let back = async {
        while status(&server, "/sync", &[]).await != 101 {
            tokio::task::yield_now().await;
        }
    };
    commonplace_tests::patiently("the place", back).await;
}

#[tokio::test]
async fn who_is_refused_for_good_is_told_once_on_a_socket_and_then_before_it_has_one() {
    let server = with_tokens(Tokens::default()).await;
    let mut socket = server.connect("/sync/note?token=ada:nothing").await;
    let (code, reason) = socket.close_code().await;
    assert_eq!((code, reason.as_str()), (4403, "\"nothing\" is not enough for note"));
    assert_eq!(status(&server, "/sync/note?token=ada:nothing", &[]).await, 403);
    assert_eq!(status(&server, "/sync/note?token=ada:write", &[]).await, 101);
    assert_eq!(status(&server, "/sync/other?token=ada:nothing", &[]).await, 101);
}

#[tokio::test]
async fn access_that_runs_out_is_judged_again_and_then_closed() {
    let access = Arc::new(Tokens::valid_for(Duration::from_millis(50)));
    let server = Setup { access: access.clone(), ..Setup::default() }.start().await;
    let mut socket = server.connect("/sync/note?token=ada:write").await;
    access.revoke();
    assert_eq!(socket.close_code().await.0, 4401);
}

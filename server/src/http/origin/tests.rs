use super::*;
use axum::http::HeaderValue;

fn headers(host: &str, origins: &[&str]) -> HeaderMap {
    let value = |value: &str| HeaderValue::from_str(value).expect("a header value");
    let mut headers = HeaderMap::new();
    headers.insert(header::HOST, value(host));
    for origin in origins {
        headers.append(header::ORIGIN, value(origin));
    }
    headers
}

fn allowed() -> [Origin; 1] {
    [Origin::parse("https://notes.example.org").expect("an origin")]
}

#[test]
fn a_page_may_connect_to_its_own_server_and_to_no_other() {
    for (host, origins, expected) in [
        ("a.org", &["https://a.org"][..], true),
        ("a.org:8080", &["http://a.org:8080"], true),
        ("a.org:80", &["http://a.org"], true),
        ("A.org", &["https://a.ORG"], true),
        ("a.org", &[], true),
        ("a.org", &["https://notes.example.org"], true),
        ("a.org", &["http://notes.example.org"], false),
        ("a.org", &["https://b.org"], false),
        ("a.org:8080", &["http://a.org:8081"], false),
        ("a.org", &["https://a.org.evil.org"], false),
        ("a.org", &["null"], false),
        ("", &["https://"], false),
        ("a.org", &["https://a.org", "https://b.org"], false),
    ] {
        assert_eq!(
            is_allowed(&headers(host, origins), &allowed()),
            expected,
            "{origins:?} at {host}"
        );
    }
}

#[test]
fn a_sandbox_on_this_computer_answers_only_under_its_own_names() {
    for (host, expected) in [
        ("localhost:8080", true),
        ("notes.localhost", true),
        ("127.0.0.1:8080", true),
        ("[::1]:8080", true),
        ("notes.example.org", true),
        ("rebound.evil.org:8080", false),
        ("localhost.evil.org", false),
        ("192.168.1.1", false),
        ("", false),
    ] {
        assert_eq!(is_this_computer(&headers(host, &[]), &allowed()), expected, "{host}");
    }
}

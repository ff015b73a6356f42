use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let value = |value: &str| HeaderValue::from_str(value).expect("a header value");
    pairs.iter().map(|(name, text)| (header::HeaderName::from_static(name), value(text))).collect()
}

#[test]
fn a_page_may_connect_to_its_own_server_and_to_no_other() {
    let allowed = [Origin::parse("https://notes.example.org").expect("an origin")];
    for (host, origin, expected) in [
        ("a.org", Some("https://a.org"), Ok(())),
        ("a.org:8080", Some("http://a.org:8080"), Ok(())),
        ("a.org:80", Some("http://a.org"), Ok(())),
        ("A.org", Some("https://a.ORG"), Ok(())),
        ("a.org", None, Ok(())),
        ("a.org", Some("https://notes.example.org"), Ok(())),
        ("a.org", Some("http://notes.example.org"), Err(Refusal::ForeignPage)),
        ("a.org", Some("https://b.org"), Err(Refusal::ForeignPage)),
        ("a.org:8080", Some("http://a.org:8081"), Err(Refusal::ForeignPage)),
        ("a.org", Some("https://a.org.evil.org"), Err(Refusal::ForeignPage)),
        ("a.org", Some("null"), Err(Refusal::ForeignPage)),
        ("", Some("https://"), Err(Refusal::ForeignPage)),
    ] {
        let mut headers = headers(&[("host", host)]);
        if let Some(origin) = origin {
            headers.insert("origin", HeaderValue::from_str(origin).expect("a header value"));
        }
        assert_eq!(check_origin(&headers, &allowed, None), expected, "{origin:?} at {host}");
    }
}

#[test]
fn two_origins_are_none() {
    let mut headers = headers(&[("host", "a.org"), ("origin", "https://a.org")]);
    headers.append("origin", HeaderValue::from_static("https://b.org"));
    assert_eq!(check_origin(&headers, &[], None), Err(Refusal::ForeignPage));
}

#[test]
fn a_sandbox_on_this_computer_answers_only_under_its_own_names() {
    let allowed = [Origin::parse("https://notes.example.org").expect("an origin")];
    for (host, expected) in [
        ("localhost:8080", Ok(())),
        ("127.0.0.1:8080", Ok(())),
        ("[::1]:8080", Ok(())),
        ("notes.example.org", Ok(())),
        ("rebound.evil.org:8080", Err(Refusal::UnknownHost)),
        ("", Err(Refusal::UnknownHost)),
    ] {
        let origin = format!("http://{host}");
        let with_origin = headers(&[("host", host), ("origin", &origin)]);
        let expected_with_origin = if host == "notes.example.org" { Ok(()) } else { expected };
        assert_eq!(
            check_origin(&with_origin, &allowed, Some(Door::Sandbox)),
            expected_with_origin,
            "{host}"
        );
        assert_eq!(
            check_origin(&headers(&[("host", host)]), &allowed, Some(Door::Sandbox)),
            expected,
            "{host}"
        );
    }
}

#[test]
fn a_document_is_named_by_all_of_the_path_decoded_once() {
    for (path, expected) in [
        ("/sync/a", Some("a")),
        ("/sync/group/2026/a%20b", Some("group/2026/a b")),
        ("/sync/a%2Fb", Some("a/b")),
        ("/sync/a%252Fb", Some("a%2Fb")),
        ("/sync/caf%C3%A9", Some("café")),
        ("/sync/a/", Some("a/")),
        ("/sync/%00", None),
        ("/sync/%FF", None),
    ] {
        let uri = Uri::try_from(path).expect("a path");
        assert_eq!(document_name(&uri).as_ref().map(DocumentName::as_str), expected, "{path}");
    }
}

#[test]
fn the_handshake_is_checked_and_answered() {
    let ask = |change: &dyn Fn(&mut HeaderMap)| {
        let mut request = Request::new(Body::empty());
        *request.headers_mut() = headers(&[
            ("connection", "keep-alive, Upgrade"),
            ("upgrade", "websocket"),
            ("sec-websocket-version", "13"),
            ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
            ("sec-websocket-protocol", "first, second"),
        ]);
        change(request.headers_mut());
        handshake(&request)
    };
    let answer = ask(&|_| ()).expect("a good handshake");
    // The example of RFC 6455, section 1.3.
    assert_eq!(answer.headers()["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
    assert_eq!(
        (answer.status(), &answer.headers()["sec-websocket-protocol"]),
        (StatusCode::SWITCHING_PROTOCOLS, &HeaderValue::from_static("first"))
    );
    for (name, refusal) in [
        ("connection", Refusal::NotAnUpgrade),
        ("upgrade", Refusal::NotAnUpgrade),
        ("sec-websocket-version", Refusal::WrongVersion),
        ("sec-websocket-key", Refusal::NotAnUpgrade),
    ] {
        assert_eq!(ask(&|headers| drop(headers.remove(name))).expect_err(name), refusal);
    }
}

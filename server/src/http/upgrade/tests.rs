use super::*;

fn headers(pairs: &[(&'static str, &str)]) -> HeaderMap {
    let value = |value: &str| HeaderValue::from_str(value).expect("a header value");
    pairs.iter().map(|(name, text)| (header::HeaderName::from_static(name), value(text))).collect()
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

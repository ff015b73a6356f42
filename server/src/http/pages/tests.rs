use super::*;

fn headers(pairs: &[(header::HeaderName, &'static str)]) -> HeaderMap {
    pairs.iter().map(|(name, value)| (name.clone(), HeaderValue::from_static(value))).collect()
}

fn file(content: &'static str) -> File {
    File {
        plain: Bytes::from_static(content.as_bytes()),
        gzip: packed(content.as_bytes()),
        content_type: HeaderValue::from_static("text/css; charset=utf-8"),
        etag: HeaderValue::from_static("W/\"abc\""),
        lifetime: HeaderValue::from_static("no-cache"),
    }
}

#[test]
fn gzip_is_for_those_who_take_it() {
    for (accepted, takes) in [
        ("gzip", true),
        ("br, gzip;q=0.5", true),
        ("GZIP", true),
        ("gzip;q=0", false),
        ("gzip; q=0.000", false),
        ("br", false),
        ("xgzip", false),
        ("", false),
    ] {
        assert_eq!(
            takes_gzip(&headers(&[(header::ACCEPT_ENCODING, accepted)])),
            takes,
            "{accepted}"
        );
    }
    assert!(!takes_gzip(&HeaderMap::new()));
}

#[test]
fn what_is_packed_unpacks_to_the_same() {
    let content = "p { margin: 0 }\n".repeat(1000);
    let gzip = packed(content.as_bytes()).expect("worth packing");
    assert!(gzip.len() < content.len() / 10);
    let mut plain = Vec::new();
    let mut decoder = flate2::write::GzDecoder::new(&mut plain);
    decoder.write_all(&gzip).expect("gzip");
    decoder.finish().expect("whole");
    assert_eq!(plain, content.as_bytes());
    assert_eq!(packed(b"p {}"), None, "too small to be worth it");
}

#[test]
fn what_the_browser_has_is_not_sent_again() {
    let file = file("p {}");
    for (known, status) in [
        ("W/\"abc\"", StatusCode::NOT_MODIFIED),
        ("W/\"other\", W/\"abc\"", StatusCode::NOT_MODIFIED),
        ("W/\"other\"", StatusCode::OK),
    ] {
        let response = file.response(&headers(&[(header::IF_NONE_MATCH, known)]));
        assert_eq!(response.status(), status, "{known}");
        assert_eq!(response.headers()[header::ETAG], "W/\"abc\"");
        assert_eq!(response.headers()[header::CACHE_CONTROL], "no-cache");
    }
}

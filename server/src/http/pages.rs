//! Where does the web client come from?
//!
//! From the program itself: the files that the client's build left in `web-client/dist` are part of it. Files under `assets/` carry a hash of
//! their content in their name and may be kept for ever; everything else is checked each time.

use super::refuse;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use rust_embed::EmbeddedFile;

/// The built client. In debug builds the files are read when asked for, so that the client can be built anew without compiling the server.
#[derive(rust_embed::Embed)]
#[folder = "$CARGO_MANIFEST_DIR/../web-client/dist"]
#[allow_missing = true]
struct WebClient;

const INDEX: &str = "index.html";

const NOT_BUILT: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Commonplace</title>\
    <h1>The server is running</h1><p>Its web client is not built in: run <code>make build</code>, or connect with a Yjs client to <code>/sync</code>.";

const NOT_FOUND: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Not found</title>\
    <h1>There is nothing here</h1><p>Perhaps the address has a typing mistake. <a href=\"/\">Start page</a>";

/// Any path that is no other route.
pub(super) async fn page(request: Request) -> Response {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response =
            refuse(StatusCode::METHOD_NOT_ALLOWED, "Only GET and HEAD have a meaning here.");
        response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    let path = request.uri().path().trim_start_matches('/');
    // Pages of the client: it reads the rest of the address itself.
    let is_client_page = path.is_empty() || path == "n" || path.starts_with("n/");
    let name = if is_client_page { INDEX } else { path };
    match file(name, request.headers()) {
        Some(response) => response,
        None if is_client_page => html(StatusCode::OK, NOT_BUILT),
        None => html(StatusCode::NOT_FOUND, NOT_FOUND),
    }
}

fn html(status: StatusCode, page: &'static str) -> Response {
    (
        status,
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")],
        page,
    )
        .into_response()
}

fn file(name: &str, headers: &HeaderMap) -> Option<Response> {
    let plain = WebClient::get(name)?;
    let etag = etag(&plain);
    let is_hashed = name.starts_with("assets/");
    let lifetime = if is_hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
    let mut response = if headers.get_all(header::IF_NONE_MATCH).iter().any(|known| known == etag) {
        StatusCode::NOT_MODIFIED.into_response()
    } else {
        let mut response = Response::new(Body::empty());
        let body = match packed(name, headers) {
            Some((encoding, packed)) => {
                response
                    .headers_mut()
                    .insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
                packed
            }
            None => plain,
        };
        let kind = mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream");
        let kind = if kind.starts_with("text/") { &format!("{kind}; charset=utf-8") } else { kind };
        if let Ok(kind) = HeaderValue::from_str(kind) {
            response.headers_mut().insert(header::CONTENT_TYPE, kind);
        }
        // hyper leaves the body out and keeps the length when the request was HEAD.
        *response.body_mut() = body.data.into_owned().into();
        response
    };
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static(lifetime));
    response.headers_mut().insert(header::VARY, HeaderValue::from_static("accept-encoding"));
    response.headers_mut().insert(header::ETAG, etag);
    Some(response)
}

/// The same content in fewer bytes, if the build made such a file and the browser takes it.
fn packed(name: &str, headers: &HeaderMap) -> Option<(&'static str, EmbeddedFile)> {
    let accepted = headers.get(header::ACCEPT_ENCODING)?.to_str().ok()?;
    let takes = |encoding| {
        accepted.split(',').any(|offer| {
            let mut parts = offer.split(';').map(str::trim);
            parts.next() == Some(encoding)
                && parts.all(|part| !matches!(part, "q=0" | "q=0.0" | "q=0.00" | "q=0.000"))
        })
    };
    [("br", "br"), ("gzip", "gz")].into_iter().find_map(|(encoding, ending)| {
        if takes(encoding) {
            WebClient::get(&format!("{name}.{ending}")).map(|file| (encoding, file))
        } else {
            None
        }
    })
}

/// Weak, because the packed forms share it.
fn etag(file: &EmbeddedFile) -> HeaderValue {
    use std::fmt::Write;
    let mut text = String::from("W/\"");
    for byte in &file.metadata.sha256_hash()[..12] {
        write!(text, "{byte:02x}").expect("writing to a String cannot fail");
    }
    text.push('"');
    HeaderValue::try_from(text).expect("hexadecimal digits fit a header")
}

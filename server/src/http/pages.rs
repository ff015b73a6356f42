//! Where does the web client come from?
//!
//! From the program itself: the files that the client's build left in `web-client/dist` are part of it. They are packed once, at the start.
//! Files under `assets/` carry a hash of their content in their name and may be kept for ever; everything else is checked each time.

use super::refuse;
use axum::body::Body;
use axum::extract::Request;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, header};
use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::Write as _;
use std::sync::LazyLock;

/// The built client. In debug builds the files are read when the server starts, so that the server need not be compiled anew for them.
#[derive(rust_embed::Embed)]
#[folder = "$CARGO_MANIFEST_DIR/../web-client/dist"]
#[allow_missing = true]
struct WebClient;

/// Every file of the client, ready to be sent.
static FILES: LazyLock<HashMap<Cow<'static, str>, File>> = LazyLock::new(|| {
    let load = |name: Cow<'static, str>| Some((name.clone(), File::load(&name)?));
    WebClient::iter().filter_map(load).collect()
});

const INDEX: &str = "index.html";

/// Below this a packed form saves no packet.
const WORTH_PACKING: usize = 1024;

const NOT_BUILT: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Commonplace</title>\
    <h1>The server is running</h1><p>Its web client is not built in: run <code>make build</code>, or connect with a Yjs client to <code>/sync</code>.";

const NOT_FOUND: &str = "<!doctype html><html lang=en><meta charset=utf-8><title>Not found</title>\
    <h1>There is nothing here</h1><p>Perhaps the address has a typing mistake. <a href=\"/\">Start page</a>";

/// One file of the client.
struct File {
    plain: Bytes,
    /// The same in fewer bytes, where that is worth it.
    gzip: Option<Bytes>,
    content_type: HeaderValue,
    /// Weak, because both forms share it.
    etag: HeaderValue,
    lifetime: HeaderValue,
}

impl File {
    fn load(name: &str) -> Option<Self> {
        let file = WebClient::get(name)?;
        let plain = match file.data {
            Cow::Borrowed(bytes) => Bytes::from_static(bytes),
            Cow::Owned(bytes) => Bytes::from(bytes),
        };
        let kind = mime_guess::from_path(name).first_raw().unwrap_or("application/octet-stream");
        let is_text = kind.starts_with("text/");
        let content_type = if is_text { &format!("{kind}; charset=utf-8") } else { kind };
        let mut etag = String::from("W/\"");
        for byte in &file.metadata.sha256_hash()[..12] {
            write!(etag, "{byte:02x}").expect("writing to a String cannot fail");
        }
        etag.push('"');
        let is_hashed = name.starts_with("assets/");
        let lifetime = if is_hashed { "public, max-age=31536000, immutable" } else { "no-cache" };
        Some(Self {
            gzip: if is_text || kind == "image/svg+xml" { packed(&plain) } else { None },
            plain,
            content_type: HeaderValue::from_str(content_type).ok()?,
            etag: HeaderValue::try_from(etag).ok()?,
            lifetime: HeaderValue::from_static(lifetime),
        })
    }

    fn response(&self, asked: &HeaderMap) -> Response {
        let mut response = Response::new(Body::empty());
        let is_known = |value: &HeaderValue| {
            value
                .to_str()
                .is_ok_and(|known| known.split(',').any(|known| self.etag == known.trim()))
        };
        if asked.get_all(header::IF_NONE_MATCH).iter().any(is_known) {
            *response.status_mut() = StatusCode::NOT_MODIFIED;
        } else {
            response.headers_mut().insert(header::CONTENT_TYPE, self.content_type.clone());
            let body = match &self.gzip {
                Some(gzip) if takes_gzip(asked) => {
                    let encoding = HeaderValue::from_static("gzip");
                    response.headers_mut().insert(header::CONTENT_ENCODING, encoding);
                    gzip
                }
                _ => &self.plain,
            };
            // hyper leaves the body out and keeps its length when the request was HEAD.
            *response.body_mut() = body.clone().into();
        }
        let headers = response.headers_mut();
        headers.insert(header::CACHE_CONTROL, self.lifetime.clone());
        headers.insert(header::VARY, HeaderValue::from_static("accept-encoding"));
        headers.insert(header::ETAG, self.etag.clone());
        response
    }
}

fn packed(plain: &[u8]) -> Option<Bytes> {
    if plain.len() < WORTH_PACKING {
        return None;
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(plain).ok()?;
    encoder.finish().ok().filter(|packed| packed.len() < plain.len()).map(Bytes::from)
}

fn takes_gzip(asked: &HeaderMap) -> bool {
    let offers =
        asked.get_all(header::ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    offers.flat_map(|value| value.split(',')).any(|offer| {
        let (encoding, weight) = offer.split_once(';').unwrap_or((offer, ""));
        let weight = weight.trim().strip_prefix("q=").and_then(|weight| weight.parse::<f32>().ok());
        encoding.trim().eq_ignore_ascii_case("gzip") && weight != Some(0.0)
    })
}

/// Packs the files now, so that the first visitor need not wait for it. Blocks for a moment.
pub(crate) fn prepare() {
    LazyLock::force(&FILES);
}

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
    match FILES.get(if is_client_page { INDEX } else { path }) {
        Some(file) => file.response(request.headers()),
        None if is_client_page => html(StatusCode::OK, NOT_BUILT),
        None => missing(path, request.headers()),
    }
}

/// What is not there. People who mistype an address get the client's own page for that, in their language; programs get a sentence.
fn missing(path: &str, asked: &HeaderMap) -> Response {
    let is_for_programs = path.starts_with("assets/") || path.starts_with("api/");
    let Some(index) = FILES.get(INDEX).filter(|_| !is_for_programs) else {
        return html(StatusCode::NOT_FOUND, NOT_FOUND);
    };
    // Whatever the browser has kept, it is not the page of this address.
    let mut asked = asked.clone();
    asked.remove(header::IF_NONE_MATCH);
    let mut response = index.response(&asked);
    *response.status_mut() = StatusCode::NOT_FOUND;
    response
}

fn html(status: StatusCode, page: &'static str) -> Response {
    let headers =
        [(header::CONTENT_TYPE, "text/html; charset=utf-8"), (header::CACHE_CONTROL, "no-store")];
    (status, headers, page).into_response()
}

#[cfg(test)]
mod tests;

//! The handshake of RFC 6455: from the request to 101, or to 426.

use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, Response, StatusCode, Version, header,
    request::Parts,
};
use tungstenite::handshake::derive_accept_key;

use super::WebSocket;
use crate::{
    body::Body,
    error::{ApiError, Code},
    msgpack::Subprotocol,
};

/// A handshake that can be accepted.
#[derive(Debug)]
pub(crate) struct Handshake {
    accept: HeaderValue,
    /// The first one asked for that is spoken here.
    asked: Option<Subprotocol>,
}

impl Handshake {
    /// Checks a request; what is no WebSocket handshake of version 13 over HTTP/1.1 is answered.
    pub(crate) fn of(request: &Parts) -> Result<Self, Box<Response<Bytes>>> {
        let headers = &request.headers;
        let key = headers.get(header::SEC_WEBSOCKET_KEY);
        let version = headers.get(header::SEC_WEBSOCKET_VERSION);
        let missing = if request.method != Method::GET || request.version < Version::HTTP_11 {
            Some("not a GET of HTTP/1.1")
        } else if request.version > Version::HTTP_11 {
            Some("not over HTTP/1.1")
        } else if !lists(headers, &header::CONNECTION, "upgrade") {
            Some("no Connection: upgrade")
        } else if !is_upgrade(headers) {
            Some("no Upgrade: websocket")
        } else if version.is_none_or(|version| version != VERSION) {
            Some("another Sec-WebSocket-Version than 13")
        } else {
            None
        };
        match (missing, key) {
            (None, Some(key)) => Ok(Self {
                accept: HeaderValue::try_from(derive_accept_key(key.as_bytes()))
                    .expect("base64 is fit for a header"),
                asked: Subprotocol::asked(headers),
            }),
            (missing, _) => {
                let missing = missing.unwrap_or("no Sec-WebSocket-Key");
                tracing::debug!(missing, "not a WebSocket handshake");
                Err(Box::new(upgrade_required(request.version)))
            }
        }
    }

    /// Answers it.
    pub(crate) fn accept(&self, socket: WebSocket) -> Response<Body> {
        let mut response = Response::new(Body::web_socket(socket));
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
        headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(header::SEC_WEBSOCKET_ACCEPT, self.accept.clone());
        // None but ours, so that no token asked for as a subprotocol comes back.
        if let Some(asked) = self.asked {
            let name = HeaderValue::from_static(asked.as_str());
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, name);
        }
        response
    }
}

/// What is answered where a WebSocket is spoken to as if it were none, or cannot be upgraded.
pub(crate) fn upgrade_required(version: Version) -> Response<Bytes> {
    let error = ApiError::new(
        Code::UpgradeRequired,
        "this route speaks WebSocket: an upgrade is needed",
    );
    let mut response = error.to_response();
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::SEC_WEBSOCKET_VERSION, VERSION);
    // Upgrade is a header of one hop; later versions have neither.
    if version == Version::HTTP_11 {
        headers.insert(header::CONNECTION, HeaderValue::from_static("upgrade"));
    }
    response
}

/// Whether a request asks for a WebSocket, rightly or not.
pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    lists(headers, &header::UPGRADE, "websocket")
}

/// Whether a header that is a list names something, in any case.
fn lists(headers: &HeaderMap, name: &HeaderName, wanted: &str) -> bool {
    items(headers, name).any(|item| item.eq_ignore_ascii_case(wanted))
}

fn items<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a str> {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(str::trim)
}

const VERSION: HeaderValue = HeaderValue::from_static("13");

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn request(change: impl FnOnce(&mut Parts)) -> Parts {
        let request = Request::get("/ws/progress/a")
            .header("connection", "keep-alive, Upgrade")
            .header("upgrade", "WebSocket")
            .header("sec-websocket-version", "13")
            .header("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ==");
        let (mut parts, ()) = request.body(()).unwrap().into_parts();
        change(&mut parts);
        parts
    }

    #[test]
    fn key_is_answered_as_the_rfc_says() {
        let handshake = Handshake::of(&request(|_| ())).unwrap();
        assert_eq!(handshake.accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert_eq!(handshake.asked, None);
    }

    #[test]
    fn each_part_of_a_handshake_is_needed() {
        let refused = |change: fn(&mut Parts)| {
            let response = Handshake::of(&request(change)).unwrap_err();
            assert_eq!(response.status(), 426);
            assert_eq!(response.headers()["upgrade"], "websocket");
            assert_eq!(response.headers()["sec-websocket-version"], "13");
        };
        refused(|parts| parts.method = Method::POST);
        refused(|parts| parts.method = Method::HEAD);
        refused(|parts| parts.version = Version::HTTP_10);
        refused(|parts| parts.version = Version::HTTP_2);
        for name in [
            "connection",
            "upgrade",
            "sec-websocket-version",
            "sec-websocket-key",
        ] {
            let response = Handshake::of(&request(|parts| {
                parts.headers.remove(name);
            }));
            assert!(response.is_err(), "{name}");
        }
        refused(|parts| {
            let old = HeaderValue::from_static("8");
            parts.headers.insert("sec-websocket-version", old);
        });
    }

    #[test]
    fn the_clients_order_decides_and_nothing_else_of_its_list_comes_back() {
        let asked = |lists: &[&'static str]| {
            let parts = request(|parts| {
                for list in lists {
                    let list = HeaderValue::from_static(list);
                    parts.headers.append("sec-websocket-protocol", list);
                }
            });
            Handshake::of(&parts)
                .unwrap()
                .asked
                .map(Subprotocol::as_str)
        };
        assert_eq!(
            asked(&["progress.v1.msgpack, progress.v1.json"]),
            Some("progress.v1.msgpack")
        );
        assert_eq!(asked(&["bearer.s3cr3t"]), None);
        assert_eq!(
            asked(&["bearer.s3cr3t,progress.v1.json"]),
            Some("progress.v1.json")
        );
        assert_eq!(
            asked(&["x", "y, progress.v1.json"]),
            Some("progress.v1.json")
        );
    }
}

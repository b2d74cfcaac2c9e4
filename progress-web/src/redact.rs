//! Request targets without their secrets.

use std::fmt;

use http::Uri;
use percent_encoding::{CONTROLS, percent_decode_str, utf8_percent_encode};

/// A request's path and query as it can be shown: the values of what may be credentials are
/// replaced by `***`, and what would break a line is written as in a URL.
///
/// For a service's own spans and logs, in place of the URI itself: a grant or a ticket in a query
/// would stand there for everybody who reads them. Taken for credentials are parameters whose name
/// has to do with tokens, tickets, grants, keys, signatures, codes, sessions or passwords, however it
/// is written, and values that look like a JWT. Scheme and authority, which may hold a password, are
/// left out.
///
/// ```
/// use progress_web::RedactedUri;
///
/// let uri: http::Uri = "/sse/progress/a?grant=eyJhbGciOi&after=18f2:7&%74oken=x".parse()?;
/// assert_eq!(
///     RedactedUri::new(&uri).to_string(),
///     "/sse/progress/a?grant=***&after=18f2:7&%74oken=***",
/// );
/// # Ok::<(), http::uri::InvalidUri>(())
/// ```
#[derive(Clone, Copy)]
pub struct RedactedUri<'a>(&'a Uri);

impl<'a> RedactedUri<'a> {
    /// Shows this URI.
    #[must_use]
    pub fn new(uri: &'a Uri) -> Self {
        Self(uri)
    }
}

impl fmt::Display for RedactedUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shown = |text| utf8_percent_encode(text, CONTROLS);
        write!(f, "{}", shown(self.0.path()))?;
        let Some(query) = self.0.query() else {
            return Ok(());
        };
        f.write_str("?")?;
        // A semicolon parts parameters for some, so what comes after it is looked at too.
        for piece in query.split_inclusive(['&', ';']) {
            let (pair, end) = match piece.strip_suffix(['&', ';']) {
                Some(pair) => (pair, &piece[pair.len()..]),
                None => (piece, ""),
            };
            match pair.split_once('=') {
                Some((name, value)) if is_secret(name, value) => {
                    write!(f, "{}=***{end}", shown(name))?;
                }
                None if is_secret("", pair) => write!(f, "***{end}")?,
                _ => write!(f, "{}{end}", shown(pair))?,
            }
        }
        Ok(())
    }
}

impl fmt::Debug for RedactedUri<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "RedactedUri({self})")
    }
}

fn is_secret(name: &str, value: &str) -> bool {
    let plain = |text: &str| percent_decode_str(text).decode_utf8_lossy().to_lowercase();
    let (name, value) = (plain(name), plain(value));
    // Of a JWT the first letters are those of `{"`.
    SECRETS.iter().any(|word| name.contains(word)) || value.trim_start().starts_with("eyj")
}

/// Words that names of credentials have in them.
const SECRETS: [&str; 17] = [
    "token",
    "ticket",
    "grant",
    "jwt",
    "auth",
    "bearer",
    "key",
    "secret",
    "passw",
    "pwd",
    "credential",
    "sig",
    "hmac",
    "session",
    "code",
    "cookie",
    "nonce",
];

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(uri: &str) -> String {
        RedactedUri::new(&uri.parse().unwrap()).to_string()
    }

    #[test]
    fn values_of_credentials_are_not_shown_however_they_are_named() {
        for name in [
            "token",
            "access_token",
            "id_token",
            "TICKET",
            "grant",
            "Authorization",
            "api_key",
            "X-Amz-Signature",
            "sig",
            "%67rant",
            "t%6Fken",
            "client_secret",
            "password",
        ] {
            for uri in [
                format!("/sse?{name}=hunter2"),
                format!("/sse?a=b&{name}=hunter2&c=d"),
                format!("/sse?a=b;{name}=hunter2;c=d"),
                format!("/sse?{name}=hunter2=hunter2"),
                format!("http://u:hunter2@host/sse?{name}=hunter2"),
            ] {
                let shown = shown(&uri);
                assert!(!shown.contains("hunter2"), "{uri}: {shown}");
                assert!(
                    shown.starts_with("/sse?") && shown.contains("=***"),
                    "{shown}"
                );
            }
        }
        assert_eq!(
            shown("/a?x=eyJhbGciOiJIUzI1NiJ9.e30.c2ln&b=1"),
            "/a?x=***&b=1"
        );
        assert_eq!(shown("/a?eyJhbGciOiJIUzI1NiJ9.e30.c2ln"), "/a?***");
        assert_eq!(shown("/a?x=%65yJhbGci"), "/a?x=***");
    }

    #[test]
    fn everything_else_is_shown_as_it_is() {
        for uri in [
            "/tasks",
            "/tasks?",
            "/sse?ids=a,b&channels=x&named=1",
            "/ws/progress/a?after=18f2c1a7b3d:57&replay=none&format=progress.v1",
            "/tasks?state=active&&kind=video&label=user:7&limit=10&flag",
            "/tasks/a%0Ab?x=%0a",
        ] {
            assert_eq!(shown(uri), uri);
        }
        assert_eq!(shown("/caf\u{e9}?x=\u{85}"), "/caf%C3%A9?x=%C2%85");
    }
}

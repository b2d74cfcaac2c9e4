//! What a request says of who asks: the ways to say it, from the best down.
//!
//! | | | |
//! | --- | --- | --- |
//! | 1 | the header `Authorization` | what can set a header |
//! | 2 | a cookie | pages of the same site; counts only where `Origin` allows |
//! | 3 | the subprotocol `bearer.<token>` | WebSockets of browsers |
//! | 4 | the first message of a WebSocket | the same, see [`session`](crate::session) |
//! | 5 | `?grant=` and `?ticket=` | `EventSource`, links |
//!
//! The first three end up in `Authorization`, where any authorizer looks.

use std::{fmt, sync::Arc};

use http::{
    HeaderMap, HeaderName, HeaderValue,
    header::{self, Entry},
    request::Parts,
};

use super::{host::Hosts, origin::Origins, ticket};
use crate::{query::with_query, socket::is_upgrade};

/// Where credentials are looked for.
#[derive(Debug, Clone)]
pub(crate) struct Ladder {
    pub(crate) cookie: Option<String>,
    /// The query's name for a long-lived token, as only old clients of other systems have it.
    pub(crate) query_token: Option<String>,
    pub(crate) origins: Origins,
    pub(crate) hosts: Hosts,
}

impl Default for Ladder {
    fn default() -> Self {
        Self {
            cookie: Some("progress_token".to_owned()),
            query_token: None,
            origins: Origins::default(),
            hosts: Hosts::default(),
        }
    }
}

/// What a request presents besides `Authorization`; among its extensions once it was looked for.
#[derive(Default)]
pub(crate) struct Credentials {
    /// Nothing at all: who is on a WebSocket may still say it.
    pub(crate) is_none: bool,
    pub(crate) grant: Option<String>,
    pub(crate) ticket: Option<ticket::Presented>,
    /// It came by the way that only an option allows.
    pub(crate) is_legacy: bool,
    /// A token stood in the query, where it does not count.
    pub(crate) is_misplaced: bool,
}

impl Credentials {
    /// Those of a request that was [prepared](Ladder::prepare).
    pub(crate) fn of(request: &Parts) -> Option<&Arc<Self>> {
        request.extensions.get()
    }
}

/// What lets somebody in is not shown, only that it is there.
impl fmt::Debug for Credentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Credentials")
            .field("is_none", &self.is_none)
            .field("has_grant", &self.grant.is_some())
            .field("has_ticket", &self.ticket.is_some())
            .field("is_legacy", &self.is_legacy)
            .field("is_misplaced", &self.is_misplaced)
            .finish()
    }
}

impl Ladder {
    /// Moves what a request presents to where it is looked for, and out of where it could be shown:
    /// the query, the list of subprotocols.
    pub(crate) fn prepare(&self, request: &mut Parts) {
        if Credentials::of(request).is_some() {
            return;
        }
        let mut found = self.take_query(request);
        let subprotocol = take_subprotocol(&mut request.headers);
        hide(&mut request.headers, header::COOKIE);
        hide(&mut request.headers, header::AUTHORIZATION);
        if !request.headers.contains_key(header::AUTHORIZATION) {
            let subprotocol = || subprotocol.filter(|_| is_upgrade(&request.headers));
            let legacy = found.legacy.take();
            let bearer = self.cookie(request).or_else(subprotocol);
            found.credentials.is_legacy = bearer.is_none() && legacy.is_some();
            if let Some(header) = bearer.or(legacy).as_deref().and_then(bearer_header) {
                request.headers.insert(header::AUTHORIZATION, header);
            }
        }
        let mut credentials = found.credentials;
        credentials.is_none = !request.headers.contains_key(header::AUTHORIZATION)
            && credentials.grant.is_none()
            && credentials.ticket.is_none();
        request.extensions.insert(Arc::new(credentials));
    }

    /// The token of the cookie; of two that differ none, for one of them was planted.
    fn cookie(&self, request: &Parts) -> Option<String> {
        let name = self.cookie.as_deref()?;
        let mut values = cookies(&request.headers, name);
        let value = values.next().filter(|value| !value.is_empty())?;
        if values.any(|other| other != value) {
            tracing::debug!("two cookies of one name: neither counts");
            return None;
        }
        if !self.origins.allows(request) {
            tracing::debug!("a cookie does not count for a page of elsewhere");
            return None;
        }
        Some(value.to_owned())
    }

    fn take_query(&self, request: &mut Parts) -> FromQuery {
        let mut found = FromQuery::default();
        let Some(query) = request.uri.query() else {
            return found;
        };
        let legacy = self.query_token.as_deref();
        let mut rest = String::new();
        let mut is_clean = true;
        for pair in query.split('&') {
            let (name, value) = form_urlencoded::parse(pair.as_bytes())
                .next()
                .unwrap_or_default();
            let place = match &*name {
                "grant" => &mut found.credentials.grant,
                "ticket" => &mut found.ticket,
                name if Some(name) == legacy => &mut found.legacy,
                name if TOKENS.contains(&name) => &mut found.misplaced,
                _ => {
                    rest.push_str(if rest.is_empty() { "" } else { "&" });
                    rest.push_str(pair);
                    continue;
                }
            };
            is_clean = false;
            if !value.is_empty() && value.len() <= TOKEN {
                place.get_or_insert_with(|| value.into_owned());
            }
        }
        if !is_clean {
            request.uri = with_query(&request.uri, &rest);
        }
        found.credentials.is_misplaced = found.misplaced.is_some();
        found.credentials.ticket = found.ticket.take().map(ticket::Presented::new);
        found
    }
}

#[derive(Default)]
struct FromQuery {
    credentials: Credentials,
    ticket: Option<String>,
    legacy: Option<String>,
    misplaced: Option<String>,
}

/// Keeps all lines of a header out of what `Debug` shows.
fn hide(headers: &mut HeaderMap, name: HeaderName) {
    if let Entry::Occupied(mut lines) = headers.entry(name) {
        for line in lines.iter_mut() {
            line.set_sensitive(true);
        }
    }
}

/// All values of a cookie.
fn cookies<'a>(headers: &'a HeaderMap, name: &'a str) -> impl Iterator<Item = &'a str> {
    let lines = headers.get_all(header::COOKIE).iter();
    lines
        .filter_map(|line| line.to_str().ok())
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='))
        .filter(move |(found, _)| *found == name)
        .map(|(_, value)| value.trim_matches('"'))
}

/// Takes `bearer.<token>` out of the subprotocols that are asked for.
fn take_subprotocol(headers: &mut HeaderMap) -> Option<String> {
    let lists = headers.get_all(header::SEC_WEBSOCKET_PROTOCOL);
    let mut token = None;
    let mut others = Vec::new();
    for name in lists
        .iter()
        .filter_map(|list| list.to_str().ok())
        .flat_map(|list| list.split(','))
        .map(str::trim)
    {
        match name.strip_prefix("bearer.") {
            Some(found) => token = token.or_else(|| Some(found.to_owned())),
            None => others.push(name),
        }
    }
    token.as_ref()?;
    match HeaderValue::try_from(others.join(", ")) {
        Ok(rest) if !others.is_empty() => {
            headers.insert(header::SEC_WEBSOCKET_PROTOCOL, rest);
        }
        _ => {
            headers.remove(header::SEC_WEBSOCKET_PROTOCOL);
        }
    }
    token
}

/// A token as the header `Authorization` has it; nothing if it cannot be one.
pub(crate) fn bearer_header(token: &str) -> Option<HeaderValue> {
    let is_token = !token.is_empty() && token.len() <= TOKEN && token.bytes().all(is_visible);
    let mut header = HeaderValue::try_from(format!("Bearer {token}")).ok()?;
    header.set_sensitive(true);
    is_token.then_some(header)
}

fn is_visible(byte: u8) -> bool {
    byte.is_ascii_graphic()
}

/// What tokens are called in queries, where they end up in logs and histories.
const TOKENS: [&str; 5] = [
    "token",
    "access_token",
    "auth_token",
    "jwt",
    "authorization",
];
/// The longest token that is read, in bytes: what servers take as one header. All that it says is
/// thereby bounded.
pub(crate) const TOKEN: usize = 8 * 1_024;

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    #[test]
    fn what_was_presented_is_not_shown_with_the_request() {
        let request = Request::get("/sse?ids=a&grant=SECRET-1&ticket=SECRET-2&token=SECRET-3")
            .header("cookie", "a=SECRET-4")
            .header("cookie", "progress_token=SECRET-5")
            .header("authorization", "Bearer SECRET-6")
            .header("authorization", "Bearer SECRET-7");
        let mut request = request.body(()).unwrap().into_parts().0;
        Ladder::default().prepare(&mut request);
        let credentials = Credentials::of(&request).unwrap();
        assert_eq!(credentials.grant.as_deref(), Some("SECRET-1"));
        let shown = format!("{request:?} {credentials:?}");
        assert!(!shown.contains("SECRET"), "{shown}");
        for told in ["/sse?ids=a", "has_grant: true", "has_ticket: true"] {
            assert!(shown.contains(told), "{shown}");
        }
    }
}

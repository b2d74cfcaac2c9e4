//! Paths that other systems have for what the protocol's routes answer.

use http::{Uri, header, request::Parts, uri::PathAndQuery};

use super::Endpoint;
use crate::encoders::presets::EventData;

/// A path of another system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Alias {
    Latest,
    History,
    ActiveTasks,
    Project,
}

impl Alias {
    /// What it stands for where no WebSocket is asked for.
    pub(super) const fn plain(self) -> Endpoint {
        match self {
            Self::Latest | Self::Project => Endpoint::Task,
            Self::History => Endpoint::History,
            Self::ActiveTasks => Endpoint::Tasks,
        }
    }

    /// What a request asks for by it; the query is then as if it had asked for that.
    pub(super) fn resolve(self, request: &mut Parts) -> Endpoint {
        let upgrades = request.headers.contains_key(header::UPGRADE);
        let (endpoint, query) = match (self, upgrades) {
            (Self::ActiveTasks, _) => (self.plain(), "state=active"),
            (_, false) => (self.plain(), ""),
            (Self::Latest, true) => (Endpoint::WebSocket, "replay=latest"),
            (Self::History, true) => (Endpoint::WebSocket, "replay=all"),
            (Self::Project, true) => (Endpoint::WebSocket, EventData::QUERY),
        };
        add(&mut request.uri, query);
        endpoint
    }
}

/// Adds to a query: behind what the client says itself, which counts first.
fn add(uri: &mut Uri, query: &str) {
    if query.is_empty() {
        return;
    }
    let text = match uri.query() {
        Some(asked) => format!("{}?{asked}&{query}", uri.path()),
        None => format!("{}?{query}", uri.path()),
    };
    let mut parts = std::mem::take(uri).into_parts();
    // It was a path with a query before, and a query can be as long as one likes.
    parts.path_and_query = text.parse::<PathAndQuery>().ok();
    *uri = Uri::from_parts(parts).unwrap_or_default();
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn asked(alias: Alias, uri: &str, upgrades: bool) -> (Endpoint, String) {
        let mut request = Request::get(uri).body(()).unwrap().into_parts().0;
        if upgrades {
            let websocket = header::HeaderValue::from_static("websocket");
            request.headers.insert(header::UPGRADE, websocket);
        }
        let endpoint = alias.resolve(&mut request);
        (endpoint, request.uri.to_string())
    }

    #[test]
    fn what_the_client_says_itself_counts_first() {
        assert_eq!(
            asked(Alias::Project, "/x?format=flat", true),
            (
                Endpoint::WebSocket,
                "/x?format=flat&format=event_data".to_owned()
            )
        );
        assert_eq!(
            asked(Alias::ActiveTasks, "http://host/x", false),
            (Endpoint::Tasks, "http://host/x?state=active".to_owned())
        );
        assert_eq!(
            asked(Alias::History, "/x?limit=3", false),
            (Endpoint::History, "/x?limit=3".to_owned())
        );
    }
}

//! Paths that other systems have for what the protocol's routes answer.

use http::{Uri, request::Parts};

use super::Endpoint;
use crate::{
    encoders::presets::EventData,
    msgpack::Subprotocol,
    query::{Query, with_query},
    socket::is_upgrade,
};

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

    /// What it stands for where a WebSocket is asked for, if that is something else.
    pub(super) const fn upgraded(self) -> Option<Endpoint> {
        match self {
            Self::Latest | Self::History | Self::Project => Some(Endpoint::WebSocket),
            Self::ActiveTasks => None,
        }
    }

    /// What generated clients call it.
    pub(super) const fn id(self) -> &'static str {
        match self {
            Self::Latest => "aliasLatest",
            Self::History => "aliasHistory",
            Self::ActiveTasks => "aliasActiveTasks",
            Self::Project => "aliasProject",
        }
    }

    /// What a request asks for by it; the query is then as if it had asked for that.
    pub(super) fn resolve(self, request: &mut Parts) -> Endpoint {
        let upgrades = is_upgrade(&request.headers);
        match self {
            Self::ActiveTasks => add(&mut request.uri, "state", "active"),
            Self::Latest if upgrades => add(&mut request.uri, "replay", "latest"),
            Self::History if upgrades => add(&mut request.uri, "replay", "all"),
            // Who asks for a subprotocol of the protocol gets that.
            Self::Project if upgrades && Subprotocol::asked(&request.headers).is_none() => {
                add(&mut request.uri, "format", EventData::NAME);
            }
            Self::Latest | Self::History | Self::Project => {}
        }
        match self.upgraded() {
            Some(upgraded) if upgrades => upgraded,
            _ => self.plain(),
        }
    }
}

/// Adds to a query what the client does not say itself.
fn add(uri: &mut Uri, name: &str, value: &str) {
    if Query::of(uri).text(name).is_some() {
        return;
    }
    // In front: the name may be there without a value.
    let query = match uri.query() {
        Some(asked) => format!("{name}={value}&{asked}"),
        None => format!("{name}={value}"),
    };
    *uri = with_query(uri, &query);
}

#[cfg(test)]
mod tests {
    use http::Request;

    use super::*;

    fn asked(alias: Alias, uri: &str, headers: &[(&'static str, &str)]) -> (Endpoint, String) {
        let mut request = Request::get(uri);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let mut request = request.body(()).unwrap().into_parts().0;
        let endpoint = alias.resolve(&mut request);
        (endpoint, request.uri.to_string())
    }

    #[test]
    fn what_the_client_says_itself_counts() {
        let upgrade = ("upgrade", "websocket");
        let msgpack = ("sec-websocket-protocol", "progress.v1.msgpack");
        for (alias, uri, headers, endpoint, found) in [
            (
                Alias::Project,
                "/x",
                &[upgrade][..],
                Endpoint::WebSocket,
                "/x?format=event_data",
            ),
            (
                Alias::Project,
                "/x?format=flat",
                &[upgrade],
                Endpoint::WebSocket,
                "/x?format=flat",
            ),
            (
                Alias::Project,
                "/x?format=",
                &[upgrade],
                Endpoint::WebSocket,
                "/x?format=event_data&format=",
            ),
            (
                Alias::Project,
                "/x",
                &[upgrade, msgpack],
                Endpoint::WebSocket,
                "/x",
            ),
            (
                Alias::Project,
                "/x",
                &[("upgrade", "h2c")],
                Endpoint::Task,
                "/x",
            ),
            (
                Alias::ActiveTasks,
                "http://host/x",
                &[],
                Endpoint::Tasks,
                "http://host/x?state=active",
            ),
            (
                Alias::ActiveTasks,
                "/x?state=failed",
                &[upgrade],
                Endpoint::Tasks,
                "/x?state=failed",
            ),
            (
                Alias::History,
                "/x?limit=3",
                &[],
                Endpoint::History,
                "/x?limit=3",
            ),
            (
                Alias::History,
                "/x",
                &[upgrade],
                Endpoint::WebSocket,
                "/x?replay=all",
            ),
            (
                Alias::Latest,
                "/x",
                &[upgrade],
                Endpoint::WebSocket,
                "/x?replay=latest",
            ),
        ] {
            assert_eq!(asked(alias, uri, headers), (endpoint, found.to_owned()));
        }
    }
}

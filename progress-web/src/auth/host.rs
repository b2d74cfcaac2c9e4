//! Under which names the server may be asked.
//!
//! A page can have its own name resolve to the address of a server in the user's network, or on the
//! user's machine: to the browser both are one site then, and `Origin` says nothing of it. `Host`
//! still has the page's name.

use http::{header, request::Parts, uri::Authority};

use crate::error::{ApiError, Code};

/// The names; none for any.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    pub(crate) fn add(&mut self, name: &str) {
        self.0.push(name.to_ascii_lowercase());
    }

    /// Whether a request names one of them.
    pub(crate) fn check(&self, request: &Parts) -> Result<(), ApiError> {
        if self.0.is_empty()
            || self
                .names(request)
                .is_some_and(|name| self.0.contains(&name))
        {
            return Ok(());
        }
        tracing::debug!(host = ?request.headers.get(header::HOST), "asked under another name");
        let error = ApiError::new(Code::HostNotAllowed, "this server has no such name");
        let solution = "Allow the name with GatewayBuilder::host";
        Err(error.field("host").solution(solution))
    }

    /// The name that was asked, if it is one; with two there is no telling which a proxy believes.
    fn names(&self, request: &Parts) -> Option<String> {
        let mut hosts = request.headers.get_all(header::HOST).iter();
        let authority = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().ok()?.parse::<Authority>().ok()?,
            (None, _) => request.uri.authority()?.clone(),
            (Some(_), Some(_)) => return None,
        };
        Some(authority.host().to_ascii_lowercase())
    }
}

//! Under which names the server may be asked.
//!
//! A page can have its own name resolve to the address of a server in the user's network, or on the
//! user's machine: to the browser both are one site then, and `Origin` says nothing of it. `Host`
//! still has the page's name.

use std::net::Ipv4Addr;

use http::{header, request::Parts, uri::Authority};

use crate::error::{ApiError, Code};

/// The names; none for any.
#[derive(Debug, Clone, Default)]
pub(crate) struct Hosts(Vec<String>);

impl Hosts {
    pub(crate) fn add(&mut self, name: &str) {
        self.0.push(name.to_ascii_lowercase());
    }

    /// Whether a request names one of them, or nothing that a page of elsewhere can be called.
    pub(crate) fn check(&self, request: &Parts) -> Result<(), ApiError> {
        if self.0.is_empty() || self.allows(request) {
            return Ok(());
        }
        tracing::debug!(host = ?request.headers.get(header::HOST), "asked under another name");
        let error = ApiError::new(Code::HostNotAllowed, "this server has no such name");
        let solution = "Allow the name with GatewayBuilder::host";
        Err(error.field("host").solution(solution))
    }

    fn allows(&self, request: &Parts) -> bool {
        let mut hosts = request.headers.get_all(header::HOST).iter();
        let authority: Option<Authority> = match (hosts.next(), hosts.next()) {
            (Some(host), None) => host.to_str().ok().and_then(|host| host.parse().ok()),
            (None, _) => match request.uri.authority() {
                Some(authority) => Some(authority.clone()),
                // No browser.
                None => return true,
            },
            // There is no telling which one a proxy believes.
            (Some(_), Some(_)) => None,
        };
        let Some(authority) = authority else {
            return false;
        };
        let name = authority.host().to_ascii_lowercase();
        // An address is nobody's name, and no page of elsewhere has one without a dot.
        let is_local = !name.contains('.') || name.parse::<Ipv4Addr>().is_ok();
        (!name.is_empty() && is_local) || self.0.contains(&name)
    }
}

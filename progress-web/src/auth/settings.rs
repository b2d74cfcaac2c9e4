//! What security can be set to.

use std::time::Duration;

use super::{Origin, Secret};
use crate::builder::{GatewayBuilder, LONGEST};

impl GatewayBuilder {
    /// Sets what [grants](crate::Grant) and tickets are signed with (default: random, so that only
    /// this gateway takes those that it has issued). Nodes behind one address share one.
    pub fn secret(mut self, secret: Secret) -> Self {
        self.settings.secrets.current = secret;
        self
    }

    /// Adds a secret that others may still sign with, or that was used until lately (default none):
    /// to change secrets, let all nodes know the new one this way first, then sign with it, then
    /// forget the old one.
    pub fn other_secret(mut self, secret: Secret) -> Self {
        self.settings.secrets.others.push(secret);
        self
    }

    /// Sets how many tickets can be out, of those issued here (default 10 000); each is for a minute.
    pub fn tickets(mut self, tickets: usize) -> Self {
        self.settings.tickets = tickets;
        self
    }

    /// Sets the cookie that may hold a token (default `progress_token`; `None` for no cookie). It
    /// stands for `Authorization: Bearer <token>`, unless that is there too, and only where a
    /// page of this server or of an allowed [origin](Self::origin) asks: set it `Secure`,
    /// `HttpOnly` and `SameSite=Lax`, best with a name that begins with `__Host-`.
    pub fn cookie(mut self, name: Option<&str>) -> Self {
        self.settings.ladder.cookie = name.map(str::to_owned);
        self
    }

    /// Allows the pages of an origin to open WebSockets, and their users' cookies to count
    /// (default: those of the server that is asked, by its `Host`, and of the
    /// [base URL](Self::base_url)). Who sends no `Origin` is no browser, and may.
    ///
    /// Whether such pages may read answers over HTTP is for CORS to say: the service's own, such as
    /// `tower_http::cors`.
    pub fn origin(mut self, origin: Origin) -> Self {
        self.settings.ladder.origins.add(origin);
        self
    }

    /// Allows a name that this server may be asked under, such as `localhost` or `jobs.example.org`
    /// (default: any); once there is one, a request whose `Host` names another is refused 421, but
    /// for addresses and names without a dot, which no page of elsewhere has. It is the guard of
    /// servers without users in a private network, or on the machine of the one who browses: such a
    /// page can have its own name resolve to their address.
    pub fn host(mut self, name: &str) -> Self {
        self.settings.ladder.hosts.add(name);
        self
    }

    /// Sets how long a WebSocket that came without credentials may take to say them in its first
    /// message, `{"type":"auth","token":"…"}` (default 10 s), before it is closed with 4401.
    pub fn auth_wait(mut self, wait: Duration) -> Self {
        self.settings.pace.auth_wait = wait.min(LONGEST);
        self
    }

    /// Takes long-lived tokens from the query too, under this name, for the clients of other systems
    /// that know no other way (default no). WebSockets that were opened like that are closed with
    /// 1008 where others are with 4401, 4403 or 4013.
    ///
    /// What stands in a query ends up in the logs of proxies and the histories of browsers, from
    /// where it can be used until it expires: let clients ask for a ticket instead.
    pub fn insecure_query_token(mut self, name: impl Into<String>) -> Self {
        self.settings.ladder.query_token = Some(name.into());
        self
    }
}

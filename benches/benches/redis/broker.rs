//! What Redis says of itself.

use crate::server::RedisServer;

/// A server of a part's own.
pub(crate) struct Broker {
    pub(crate) server: RedisServer,
}

impl Broker {
    pub(crate) fn start() -> Self {
        Self {
            server: RedisServer::start(),
        }
    }

    /// Seconds of processor time that it has taken.
    pub(crate) fn cpu(&self) -> f64 {
        self.info("cpu", "used_cpu_sys:") + self.info("cpu", "used_cpu_user:")
    }

    /// Bytes that its data take.
    pub(crate) fn memory(&self) -> f64 {
        self.info("memory", "used_memory:")
    }

    /// Forgets how often each command was called.
    pub(crate) fn reset(&self) {
        self.server.ask("CONFIG RESETSTAT").expect("it runs");
    }

    /// How often a command was called since.
    pub(crate) fn calls(&self, command: &str) -> f64 {
        let text = self.text("commandstats");
        let name = format!("cmdstat_{command}:calls=");
        let calls = text.lines().find_map(|line| line.strip_prefix(&name));
        let calls = calls.and_then(|calls| calls.split(',').next()?.parse().ok());
        calls.unwrap_or(0.0)
    }

    fn info(&self, section: &str, field: &str) -> f64 {
        let text = self.text(section);
        let value = text.lines().find_map(|line| line.strip_prefix(field));
        let value = value.unwrap_or_else(|| panic!("no {field} in {text}"));
        value.trim().parse().expect("it is a number")
    }

    fn text(&self, section: &str) -> String {
        let client = redis::Client::open(self.server.url()).expect("a URL");
        let mut link = client.get_connection().expect("it runs");
        let info = redis::cmd("INFO").arg(section).query(&mut link);
        info.expect("it answers")
    }
}

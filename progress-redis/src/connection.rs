//! Connections to one server, by the crate `redis`: how they are opened, and what their answers are.

use std::{convert::Infallible, fmt, sync::Arc, time::Duration};

use async_trait::async_trait;
use progress_core::transport::TransportError;
use redis::{
    AsyncConnectionConfig, Cmd, ConnectionInfo, Pipeline, ProtocolVersion, RedisError, RedisResult,
    Value,
    aio::MultiplexedConnection,
    io::tcp::{TcpSettings, socket2::TcpKeepalive},
};

use crate::{
    claims::text,
    client::{Client, Connect, Connection, Failure, Known, Patience, Pushed},
};
#[cfg(feature = "tls")]
use {crate::tls::choose_cryptography, redis::ConnectionAddr};

/// Where Redis is and how long it may take.
#[derive(Clone)]
pub(crate) struct Server {
    client: redis::Client,
    patience: Patience,
}

impl Server {
    pub(crate) fn new(
        info: ConnectionInfo,
        patience: Patience,
        make: impl FnOnce(ConnectionInfo) -> RedisResult<redis::Client>,
    ) -> RedisResult<Self> {
        // Of a connection that is lost only the third protocol's pushes tell.
        let redis = info
            .redis_settings()
            .clone()
            .set_protocol(ProtocolVersion::RESP3)
            .set_skip_set_lib_name();
        let tcp = TcpSettings::default()
            .set_nodelay(true)
            .set_keepalive(TcpKeepalive::new().with_time(DEAD_AFTER));
        #[cfg(any(target_os = "android", target_os = "fuchsia", target_os = "linux"))]
        let tcp = tcp.set_user_timeout(DEAD_AFTER);
        let client = make(info.set_redis_settings(redis).set_tcp_settings(tcp))?;
        Ok(Self { client, patience })
    }
}

#[async_trait]
impl Connect for Server {
    fn patience(&self) -> Patience {
        self.patience
    }

    async fn connect(&self, pushed: Pushed) -> Result<Connection, Failure> {
        #[cfg(feature = "tls")]
        if matches!(
            self.client.get_connection_info().addr(),
            ConnectionAddr::TcpTls { .. }
        ) {
            choose_cryptography();
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(self.patience.connect))
            .set_response_timeout(Some(self.patience.answer))
            .set_push_sender(Arc::new(move |push| {
                pushed(push);
                Ok::<(), Infallible>(())
            }));
        let link = self
            .client
            .get_multiplexed_async_connection_with_config(&config);
        let mut link = Link {
            link: link.await?,
            known: Known::default(),
        };
        let info = link.call(redis::cmd("CLIENT").arg("INFO")).await?;
        link.known = known(&info);
        Ok(Arc::new(link))
    }
}

impl fmt::Debug for Server {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("addr", self.client.get_connection_info().addr())
            .finish_non_exhaustive()
    }
}

/// The client's own connection: a cheap clone of one.
#[derive(Clone)]
struct Link {
    link: MultiplexedConnection,
    known: Known,
}

/// Of `CLIENT INFO`.
fn known(info: &Value) -> Known {
    let text = match info {
        Value::VerbatimString { text, .. } => text.as_str(),
        value => text(value).unwrap_or_default(),
    };
    let word = |name: &str| {
        let word = text
            .split_ascii_whitespace()
            .find_map(|word| word.strip_prefix(name));
        word.unwrap_or_default().to_owned()
    };
    Known {
        id: word("id="),
        addr: word("addr="),
    }
}

#[async_trait]
impl Client for Link {
    fn known(&self) -> &Known {
        &self.known
    }

    async fn call(&self, command: &Cmd) -> Result<Value, Failure> {
        let answer = self.link.clone().send_packed_command(command).await?;
        refused(answer)
    }

    async fn transact(&self, commands: &Pipeline) -> Result<Vec<Value>, Failure> {
        let count = commands.len();
        let mut link = self.link.clone();
        let answers = link.send_packed_commands(commands, count + 1, 1).await?;
        match answers.into_iter().next().map(refused) {
            Some(Ok(Value::Array(answers))) if answers.len() == count => Ok(answers),
            Some(Err(failure)) => Err(failure),
            _ => Err(Failure::Away(TransportError::new("an answer is missing"))),
        }
    }

    async fn subscribe(&self, channels: &[String]) -> Result<(), Failure> {
        Ok(self.link.clone().subscribe(channels).await?)
    }

    async fn psubscribe(&self, pattern: &str) -> Result<(), Failure> {
        Ok(self.link.clone().psubscribe(pattern).await?)
    }

    async fn punsubscribe(&self, pattern: &str) -> Result<(), Failure> {
        Ok(self.link.clone().punsubscribe(pattern).await?)
    }

    async fn unsubscribe(&self, channels: &[String]) -> Result<(), Failure> {
        Ok(self.link.clone().unsubscribe(channels).await?)
    }
}

impl fmt::Debug for Link {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Link")
            .field("known", &self.known)
            .finish_non_exhaustive()
    }
}

fn refused(answer: Value) -> Result<Value, Failure> {
    match answer {
        Value::ServerError(error) => Err(Failure::Refused(without_arguments(error.to_string()))),
        answer => Ok(answer),
    }
}

/// What Redis says, without the arguments that it repeats when it does not know a command: a password
/// may be among them, whole or cut off.
fn without_arguments(text: String) -> String {
    match text.find("with args beginning with") {
        Some(end) => text[..end].trim_end_matches([' ', ',']).to_owned(),
        None => text,
    }
}

impl From<RedisError> for Failure {
    fn from(error: RedisError) -> Self {
        match error.kind() {
            redis::ErrorKind::Server(_) | redis::ErrorKind::Extension => {
                Self::Refused(without_arguments(error.to_string()))
            }
            _ if error.is_timeout() => Self::Away(TransportError::new(error)),
            _ => Self::Lost(TransportError::new(error)),
        }
    }
}

/// How long a peer may leave data unacknowledged, or say nothing to a probe of TCP's.
const DEAD_AFTER: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_redis_repeats_is_not_said() {
        // Cut off by Redis, so that the password would not be found in it.
        let hello =
            "ERR unknown command 'HELLO', with args beginning with: '3' 'AUTH' 'a' 'hus".to_owned();
        assert_eq!(without_arguments(hello), "ERR unknown command 'HELLO'");
        let other = "NOPERM this user has no permissions";
        assert_eq!(without_arguments(other.to_owned()), other);
    }

    #[test]
    fn a_connection_is_known_by_its_number_and_address() {
        let info =
            Value::BulkString(b"id=7 addr=127.0.0.1:4711 laddr=127.0.0.1:6379 fd=8".to_vec());
        let known = known(&info);
        assert_eq!((&*known.id, &*known.addr), ("7", "127.0.0.1:4711"));
    }
}

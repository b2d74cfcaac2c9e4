//! Redis, for what is the application's own: its jobs and its films.

use std::time::Duration;

use redis::{
    AsyncConnectionConfig, Client, Cmd, FromRedisValue, Pipeline, RedisError, RedisResult,
    aio::MultiplexedConnection,
};
use tokio::sync::Mutex;

/// A connection that is made when it is needed, and anew after it broke.
pub(crate) struct Store {
    client: Client,
    connection: Mutex<Option<MultiplexedConnection>>,
}

impl Store {
    /// # Errors
    ///
    /// If the URL is not one.
    pub(crate) fn new(url: &str) -> RedisResult<Self> {
        Ok(Self {
            client: Client::open(url)?,
            connection: Mutex::default(),
        })
    }

    /// # Errors
    ///
    /// If Redis cannot be reached, or refuses. What timed out may have been done.
    pub(crate) async fn ask<T: FromRedisValue>(&self, command: &Cmd) -> RedisResult<T> {
        let mut connection = self.connection().await?;
        let answer = command.query_async(&mut connection).await;
        self.keep_if_well(answer).await
    }

    /// Asks several things in one transaction.
    ///
    /// # Errors
    ///
    /// As [`ask`](Self::ask).
    pub(crate) async fn ask_all<T: FromRedisValue>(&self, commands: &Pipeline) -> RedisResult<T> {
        let mut connection = self.connection().await?;
        let answer = commands.query_async(&mut connection).await;
        self.keep_if_well(answer).await
    }

    async fn connection(&self) -> RedisResult<MultiplexedConnection> {
        let mut held = self.connection.lock().await;
        if let Some(connection) = &*held {
            return Ok(connection.clone());
        }
        let config = AsyncConnectionConfig::new()
            .set_connection_timeout(Some(CONNECT_IN))
            .set_response_timeout(Some(ANSWER_IN));
        let client = &self.client;
        let connection = client.get_multiplexed_async_connection_with_config(&config);
        let connection = connection.await?;
        *held = Some(connection.clone());
        Ok(connection)
    }

    async fn keep_if_well<T>(&self, answer: RedisResult<T>) -> RedisResult<T> {
        if answer.as_ref().is_err_and(has_broken) {
            *self.connection.lock().await = None;
        }
        answer
    }
}

/// Whether it was the connection's fault, and not the command's.
fn has_broken(error: &RedisError) -> bool {
    error.is_io_error() || error.is_timeout() || error.is_unrecoverable_error()
}

const CONNECT_IN: Duration = Duration::from_secs(1);
const ANSWER_IN: Duration = Duration::from_secs(2);

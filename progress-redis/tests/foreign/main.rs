//! Workers in other languages.

mod accepted;
mod function;
mod ingest;
#[path = "../server/mod.rs"]
mod server;
mod told;
mod worker;

use std::time::Duration;

use progress_core::{Event, Frame, ProgressTracker, ResetReason, Subscription};
use progress_redis::{RedisTransport, RedisTransportBuilder};
use redis::{aio::MultiplexedConnection, cmd};

use self::server::RedisServer;

/// A node whose times are short.
fn transport(server: &RedisServer) -> RedisTransportBuilder {
    RedisTransport::builder(server.url())
        .retention(Duration::from_secs(60))
        .probe_every(Duration::from_millis(200))
}

fn node(server: &RedisServer) -> ProgressTracker {
    tracker(transport(server))
}

fn tracker(transport: RedisTransportBuilder) -> ProgressTracker {
    let transport = transport.build().expect("its URL is one");
    let tracker = ProgressTracker::builder().transport(transport);
    tracker.lease(Duration::from_secs(1)).build()
}

/// Makes a user with the rights that the README says it needs.
fn rule(server: &RedisServer, user: &str) {
    let begin = format!("user {user} ");
    let mut lines = include_str!("../../README.md").lines();
    let rule = lines.find(|line| line.starts_with(&begin));
    let rule = rule
        .expect("the rule stands there")
        .trim_start_matches("user ");
    let set = server.ask(&format!("ACL SETUSER {rule}")).expect("it runs");
    assert_eq!(set, "+OK\r\n");
}

async fn within<T>(what: &str, future: impl Future<Output = T>) -> T {
    let done = tokio::time::timeout(Duration::from_secs(30), future).await;
    done.unwrap_or_else(|_| panic!("within 30 s: {what}"))
}

/// Tries until it is so.
async fn until(what: &str, mut is_so: impl AsyncFnMut() -> bool) {
    within(what, async {
        while !is_so().await {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    })
    .await;
}

/// The next event, its numbers and its data.
async fn next(frames: &mut Subscription) -> std::sync::Arc<Event> {
    within("an event comes", async {
        loop {
            match frames.next().await.expect("it has not ended") {
                Frame::Event(delivered) => return delivered.event,
                Frame::Verdict(_) => {}
                Frame::Reset(reset) if reset.reason == ResetReason::Created => {}
                other => panic!("{other:?}"),
            }
        }
    })
    .await
}

/// What a client in another language has: a connection, and words.
struct Client {
    connection: MultiplexedConnection,
}

impl Client {
    async fn of(server: &RedisServer) -> Self {
        Self::at(server.url()).await
    }

    async fn at(url: String) -> Self {
        let client = redis::Client::open(url).expect("its URL is one");
        let connection = client.get_multiplexed_async_connection().await;
        Self {
            connection: connection.expect("it is there"),
        }
    }

    /// A client of a server on which a node has loaded the functions.
    async fn served(server: &RedisServer) -> (Self, ProgressTracker) {
        let node = node(server);
        // It connects with its first question.
        let _none = node.snapshot("nobody").await;
        let mut client = Self::of(server).await;
        until("the functions are loaded", async || {
            client.is_served().await
        })
        .await;
        (client, node)
    }

    async fn is_served(&mut self) -> bool {
        let list: redis::Value = cmd("FUNCTION")
            .arg("LIST")
            .query_async(&mut self.connection)
            .await
            .expect("it answers");
        format!("{list:?}").contains("progress_publish")
    }

    /// Calls the function; answers the position and whether to stop, or the error.
    async fn publish(&mut self, task: &str, words: &[&str]) -> Result<(String, String), String> {
        let answer = cmd("FCALL")
            .arg("progress_publish")
            .arg(1)
            .arg(format!("pgs:t:{{{task}}}"))
            .arg(words)
            .query_async(&mut self.connection)
            .await;
        answer.map_err(|error| refusal(&error))
    }

    async fn ask(&mut self, words: &[&str]) -> redis::Value {
        let mut command = cmd(words[0]);
        command.arg(&words[1..]);
        let answer = command.query_async(&mut self.connection).await;
        answer.expect("it answers")
    }
}

/// An error as Redis has said it.
fn refusal(error: &redis::RedisError) -> String {
    let words = [error.code(), error.detail()];
    words.map(Option::unwrap_or_default).join(" ")
}

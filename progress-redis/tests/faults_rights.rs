//! A user who lacks a right: somebody has to notice.

mod load;
mod oracle;
mod server;

use std::{
    fmt::{Debug, Write},
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use progress_core::{
    ProgressTracker,
    transport::{NodeId, Transport},
};
use progress_redis::RedisTransport;
use tracing::{
    Event, Level, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use self::{load::until, server::RedisServer};

/// What is logged as an error.
#[derive(Debug, Clone, Default)]
struct Errors(Arc<Mutex<Vec<String>>>);

impl Errors {
    fn names(&self, command: &str) -> bool {
        let errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let is_named = |error: &String| error.to_lowercase().contains(command);
        errors.iter().any(is_named)
    }
}

impl Subscriber for Errors {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == Level::ERROR
    }

    fn event(&self, event: &Event<'_>) {
        let mut text = Text::default();
        event.record(&mut text);
        let mut errors = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        errors.push(text.0);
    }

    fn new_span(&self, _span: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _span: &span::Id, _values: &span::Record<'_>) {}
    fn record_follows_from(&self, _span: &span::Id, _follows: &span::Id) {}
    fn enter(&self, _span: &span::Id) {}
    fn exit(&self, _span: &span::Id) {}
}

#[derive(Default)]
struct Text(String);

impl Visit for Text {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let _a_string_takes_all = write!(self.0, "{field}={value:?} ");
    }
}

/// Works as a user who may do everything but one thing: the log names it.
async fn lacks(command: &str) {
    let errors = Errors::default();
    let _guard = tracing::subscriber::set_default(errors.clone());
    let server = RedisServer::start();
    let rule = format!("ACL SETUSER progress on >secret ~* &* +@all -{command}");
    assert_eq!(server.ask(&rule).expect("it runs"), "+OK\r\n");
    let url = server.url().replace("//", "//progress:secret@");
    let connect = || {
        let transport = RedisTransport::builder(url.clone()).build();
        transport.expect("its URL is one")
    };
    let worker = ProgressTracker::builder().transport(connect()).build();
    let task = worker
        .task("t")
        .start()
        .expect("no broker is needed for it");
    task.progress(10.0);
    until("it is logged", || errors.names(command)).await;
    let flushed = worker.flush(tokio::time::Instant::now() + Duration::from_millis(200));
    assert!(flushed.await.is_err());

    // Once it is granted all is well, without anybody's doing more.
    let rule = format!("ACL SETUSER progress +{command}");
    assert_eq!(server.ask(&rule).expect("it runs"), "+OK\r\n");
    let deadline = tokio::time::Instant::now() + Duration::from_secs(30);
    worker.flush(deadline).await.expect("all is told");
    assert!(worker.is_connected());
    drop(task);
}

#[tokio::test]
async fn that_subscribe_is_not_allowed_is_logged() {
    lacks("subscribe").await;
}

#[tokio::test]
async fn that_functions_are_not_allowed_is_logged() {
    lacks("fcall").await;
}

#[tokio::test]
async fn that_streams_are_not_allowed_is_logged() {
    lacks("xadd").await;
}

#[tokio::test]
async fn that_state_is_not_allowed_is_logged() {
    lacks("hset").await;
}

#[tokio::test]
async fn that_publishing_is_not_allowed_is_logged() {
    lacks("publish").await;
}

/// Each call says which right it lacks.
#[tokio::test]
async fn a_call_names_the_right_that_it_lacks() {
    let server = RedisServer::start();
    for (command, right) in [
        ("fcall", "fcall"),
        ("subscribe", "subscribe"),
        ("set", "set"),
    ] {
        let rule = format!("ACL SETUSER {command} on >secret ~* &* +@all -{right}");
        assert_eq!(server.ask(&rule).expect("it runs"), "+OK\r\n");
        let url = server.url().replace("//", &format!("//{command}:secret@"));
        let transport = RedisTransport::builder(url).build();
        let transport = transport.expect("its URL is one");
        let error = match right {
            "set" => transport
                .once("key", Duration::from_secs(1))
                .await
                .map(drop),
            _ => {
                let node = NodeId::new("n");
                transport
                    .renew(&node, Duration::from_secs(1))
                    .await
                    .map(drop)
            }
        };
        let error = error.expect_err("it is refused").to_string().to_lowercase();
        assert!(error.contains(right), "{error}");
    }
}

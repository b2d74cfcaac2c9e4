//! What every transport does, shown on a private Redis each.

mod server;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use progress_core::{conformance_tests, testing::conformance::Bench, transport::Transport};
use progress_redis::RedisTransport;

use self::server::RedisServer;

#[derive(Debug)]
struct RedisBench {
    server: RedisServer,
}

impl RedisBench {
    fn new() -> Self {
        Self {
            server: RedisServer::start(),
        }
    }
}

#[async_trait]
impl Bench for RedisBench {
    async fn connect(&self) -> Arc<dyn Transport> {
        let transport = RedisTransport::builder(self.server.url())
            .retention(RETENTION)
            .silence(Duration::from_secs(600), ABANDONED_AFTER)
            .build();
        Arc::new(transport.expect("its URL is one"))
    }

    fn moment(&self) -> Duration {
        MOMENT
    }

    fn retention(&self) -> Option<Duration> {
        Some(RETENTION)
    }

    fn abandoned_after(&self) -> Option<Duration> {
        Some(ABANDONED_AFTER)
    }

    async fn forget(&self) -> bool {
        // The functions too, as a server does that is started again.
        for command in ["FLUSHALL", "FUNCTION FLUSH"] {
            assert_eq!(self.server.ask(command).expect("it runs"), "+OK\r\n");
        }
        true
    }

    async fn cut(&self) -> bool {
        self.server.kill();
        true
    }

    async fn mend(&self) {
        self.server.restart();
    }
}

const MOMENT: Duration = Duration::from_millis(500);
const RETENTION: Duration = Duration::from_secs(4);
/// More than twice what the suite has a task be silent without its being over.
const ABANDONED_AFTER: Duration = Duration::from_secs(6);

conformance_tests! {
    #[tokio::test]
    RedisBench::new()
}

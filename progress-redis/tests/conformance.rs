//! What every transport does, shown on a private Redis each.

mod server;

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use progress_core::{
    conformance_tests,
    testing::conformance::{self, Bench},
    transport::Transport,
};
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

fn transport(url: String) -> RedisTransport {
    let transport = RedisTransport::builder(url)
        .retention(RETENTION)
        .silence(Duration::from_secs(600), ABANDONED_AFTER)
        .build();
    transport.expect("its URL is one")
}

#[async_trait]
impl Bench for RedisBench {
    async fn connect(&self) -> Arc<dyn Transport> {
        Arc::new(transport(self.server.url()))
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

/// The rights that the README says a node needs, and no others.
#[tokio::test]
async fn the_documented_rights_are_enough() {
    let bench = RedisBench::new();
    let readme = include_str!("../README.md");
    let rule = readme
        .lines()
        .find(|line| line.starts_with("user progress "));
    let rule = rule
        .expect("the rule stands there")
        .trim_start_matches("user ");
    let set = bench.server.ask(&format!("ACL SETUSER {rule}"));
    assert_eq!(set.expect("it runs"), "+OK\r\n");
    let limited = LimitedBench(bench);
    conformance::events_are_kept_in_their_order(&limited).await;
    conformance::nothing_follows_the_end(&limited).await;
    conformance::of_each_key_the_newest_state_is_kept_and_no_other(&limited).await;
    conformance::nothing_is_lost_once_watch_has_returned(&limited).await;
    conformance::only_what_is_watched_is_published(&limited).await;
    conformance::an_end_holds_what_the_run_before_held(&limited).await;
    conformance::a_silent_shared_task_is_quiet_until_it_is_stalled(&limited).await;
    conformance::in_a_channel_the_state_of_a_task_has_one_key(&limited).await;
    conformance::a_request_is_handed_to_the_owner(&limited).await;
    conformance::a_key_is_used_once_on_all_nodes(&limited).await;
    conformance::tasks_are_listed_the_newest_first_page_by_page(&limited).await;
    conformance::a_removed_run_cannot_be_claimed_again(&limited).await;
    conformance::a_broker_that_forgot_is_told_again_under_the_same_ids(&limited).await;
    let log = limited.0.server.ask("ACL LOG");
    assert_eq!(log.expect("it runs"), "*0\r\n");
}

/// Connects as a user who may do little.
struct LimitedBench(RedisBench);

#[async_trait]
impl Bench for LimitedBench {
    async fn connect(&self) -> Arc<dyn Transport> {
        let url = self.0.server.url().replace("//", "//progress:secret@");
        Arc::new(transport(url))
    }

    fn moment(&self) -> Duration {
        self.0.moment()
    }

    async fn forget(&self) -> bool {
        self.0.forget().await
    }
}

#[tokio::test]
async fn a_right_that_is_missing_is_told_by_every_call() {
    let bench = RedisBench::new();
    // It may not subscribe.
    let rule = "progress on >secret ~pgs:* &pgs:* +@all -subscribe";
    let set = bench.server.ask(&format!("ACL SETUSER {rule}"));
    assert_eq!(set.expect("it runs"), "+OK\r\n");
    let bench = LimitedBench(bench);
    let node = bench.connect().await;
    let error = node.once("key", MOMENT).await.expect_err("it is refused");
    assert!(error.to_string().contains("no permissions"), "{error}");
}

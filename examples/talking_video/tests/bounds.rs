//! What bounds the service: time, memory, addresses; and what it leaves behind.

#[expect(dead_code, reason = "the other tests use the rest")]
mod support;

use std::{fs, time::Duration};

use progress_core::TaskId;
use talking_video::users::Users;

use self::support::{Host, eventually, stand_in};

#[tokio::test]
async fn a_video_that_is_being_fetched_is_not_swept_away() {
    let rendering = stand_in().await;
    let host = Host::with(Users::open(), rendering, |settings| {
        settings.retention(Duration::from_secs(1))
    })
    .await;
    // As it is named until it is whole.
    let part = host.folder.join(".abc123.part");
    fs::write(&part, b"the first half").unwrap();
    // What is of no task any more is gone at the next look.
    for _ in 0..3 {
        let old = host.folder.join(TaskId::random().as_str());
        fs::write(&old, b"nobody's").unwrap();
        eventually(async || !old.exists()).await;
    }
    assert!(part.exists());
}

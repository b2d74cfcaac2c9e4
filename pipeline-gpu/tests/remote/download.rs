//! Videos that come, come in part, or do not come.

use std::{path::PathBuf, time::Duration};

use pipeline_gpu::{
    Cancel,
    remote::{RemoteError, Renderer, ResultLink},
};
use progress_core::TaskError;
use tempfile::TempDir;

use crate::server::{Reply, Server};

struct Download {
    server: Server,
    folder: TempDir,
}

impl Download {
    async fn of(replies: impl IntoIterator<Item = Reply>) -> Self {
        let server = Server::start().await;
        server.replies("GET /video", replies);
        Self {
            server,
            folder: TempDir::new().unwrap(),
        }
    }

    fn file(&self) -> PathBuf {
        self.folder.path().join("video.mp4")
    }

    async fn run(&self, renderer: &Renderer) -> Result<u64, RemoteError> {
        let link = ResultLink::new(self.server.url("/video?signature=hidden"));
        renderer
            .download(&link, &self.file(), &Cancel::new(), |_, _| {})
            .await
    }

    fn attempts(&self) -> usize {
        self.server.heard("GET /video").len()
    }

    /// What is left in the folder: nothing half done.
    fn left(&self) -> usize {
        std::fs::read_dir(self.folder.path()).unwrap().count()
    }
}

#[tokio::test]
async fn a_connection_that_is_lost_in_the_middle_is_made_again() {
    let cut = Reply::Cut(1000, vec![1; 400]);
    let download = Download::of([cut.clone(), cut, Reply::Bytes(vec![2; 1000])]).await;
    assert_eq!(download.run(&download.server.renderer()).await, Ok(1000));
    assert_eq!(std::fs::read(download.file()).unwrap(), [2; 1000]);
    assert_eq!((download.attempts(), download.left()), (3, 1));
}

#[tokio::test]
async fn a_result_that_never_comes_whole_leaves_nothing_behind() {
    let download = Download::of([Reply::Cut(1000, vec![1; 400])]).await;
    let renderer = download.server.builder().attempts(3).build().unwrap();
    let error = download.run(&renderer).await.unwrap_err();
    assert!(
        matches!(error, RemoteError::ResultIncomplete { bytes } if bytes <= 400),
        "{error}"
    );
    assert_eq!((download.attempts(), download.left()), (3, 0));
    let error = TaskError::from(error);
    assert_eq!(
        (error.code(), error.is_retryable()),
        ("RENDER_RESULT_INCOMPLETE", true)
    );
    assert!(!error.message().contains("signature"));
}

#[tokio::test]
async fn a_result_that_is_too_large_by_its_own_word_is_not_fetched() {
    let download = Download::of([Reply::Cut(1 << 40, vec![1; 100])]).await;
    let renderer = download.server.builder().max_result(1000).build().unwrap();
    let error = download.run(&renderer).await.unwrap_err();
    assert_eq!(error, RemoteError::ResultTooLarge { limit: 1000 });
    assert_eq!((download.attempts(), download.left()), (1, 0));
}

#[tokio::test]
async fn a_result_that_does_not_say_how_large_it_is_is_stopped_at_the_limit() {
    let download = Download::of([Reply::Endless]).await;
    let renderer = download
        .server
        .builder()
        .max_result(100_000)
        .build()
        .unwrap();
    let error = download.run(&renderer).await.unwrap_err();
    assert_eq!(error, RemoteError::ResultTooLarge { limit: 100_000 });
    assert_eq!((download.attempts(), download.left()), (1, 0));
    let exact = Download::of([Reply::Bytes(vec![1; 1000])]).await;
    let renderer = exact.server.builder().max_result(1000).build().unwrap();
    assert_eq!(exact.run(&renderer).await, Ok(1000));
}

#[tokio::test]
async fn a_download_that_stands_still_is_a_timeout() {
    let download = Download::of([Reply::Stall(vec![1; 100])]).await;
    let limit = Duration::from_millis(300);
    let renderer = download
        .server
        .builder()
        .request_timeout(limit)
        .attempts(2)
        .build()
        .unwrap();
    let error = download.run(&renderer).await.unwrap_err();
    assert_eq!(
        error,
        RemoteError::Timeout {
            what: "the result",
            limit
        }
    );
    assert_eq!((download.attempts(), download.left()), (2, 0));
}

#[tokio::test]
async fn a_link_that_has_expired_and_a_result_that_is_empty_are_told() {
    let download = Download::of([Reply::status(403)]).await;
    let error = download.run(&download.server.renderer()).await.unwrap_err();
    assert_eq!(error, RemoteError::Unauthorized);
    let download = Download::of([Reply::Bytes(vec![])]).await;
    let error = download.run(&download.server.renderer()).await.unwrap_err();
    assert!(matches!(error, RemoteError::Answer { .. }), "{error}");
    assert_eq!((download.attempts(), download.left()), (1, 0));
}

#[tokio::test]
async fn links_that_lead_elsewhere_than_to_the_web_are_not_followed() {
    let download = Download::of([]).await;
    let key = pipeline_gpu::remote::ApiKey::encoded("key").unwrap();
    let public = Renderer::builder("https://api.example.com", key)
        .build()
        .unwrap();
    let local = download.server.renderer();
    let inside = download.server.url("/video");
    for (renderer, link) in [
        (&local, "file:///etc/passwd"),
        (&local, "no url"),
        (&public, "http://example.com/video"),
        (&public, "https://127.0.0.1/video"),
        (&public, "https://localhost/video"),
        (&public, inside.as_str()),
        (&public, "https://localhost./video"),
        (&public, "https://any.localhost/video"),
        (&public, "https://0.0.0.0/video"),
        (&public, "https://2130706433/video"),
        (&public, "https://10.0.0.1/video"),
        (&public, "https://172.16.0.1/video"),
        (&public, "https://192.168.0.1/video"),
        (&public, "https://169.254.169.254/latest"),
        (&public, "https://100.64.0.1/video"),
        (&public, "https://[::]/video"),
        (&public, "https://[::1]/video"),
        (&public, "https://[::ffff:127.0.0.1]/video"),
        (&public, "https://[64:ff9b::7f00:1]/video"),
        (&public, "https://[64:ff9b:1::808:808]/video"),
        (&public, "https://[::ffff:0:7f00:1]/video"),
        (&public, "https://[2002:7f00:1::]/video"),
        (&public, "https://[fd00::1]/video"),
        (&public, "https://[fe80::1]/video"),
    ] {
        let link = ResultLink::new(link);
        let result = renderer
            .download(&link, &download.file(), &Cancel::new(), |_, _| {})
            .await;
        assert!(
            matches!(result, Err(RemoteError::Answer { .. })),
            "{link:?}: {result:?}"
        );
    }
    assert_eq!(download.attempts(), 0);
}

#[tokio::test]
async fn every_link_on_the_way_is_checked() {
    let away = Reply::Header(302, "location", "ftp://example.com/video");
    let download = Download::of([away]).await;
    let error = download.run(&download.server.renderer()).await.unwrap_err();
    assert!(matches!(error, RemoteError::Answer { .. }), "{error}");
    assert_eq!(download.attempts(), 1);

    let download = Download::of([Reply::Header(302, "location", "/moved")]).await;
    download
        .server
        .replies("GET /moved", [Reply::Bytes(vec![4; 10])]);
    assert_eq!(download.run(&download.server.renderer()).await, Ok(10));
    // Nor is the signed link told on the way.
    let moved = &download.server.heard("GET /moved")[0];
    assert_eq!(moved.headers.get("referer"), None);
}

#[tokio::test]
async fn who_trusts_a_renderer_with_this_network_fetches_from_it() {
    let download = Download::of([]).await;
    // Nobody listens there: that it is tried is what counts.
    let gone = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let at = |base: &str| {
        let key = pipeline_gpu::remote::ApiKey::encoded("key").unwrap();
        Renderer::builder(base, key).attempts(1)
    };
    for renderer in [
        at("https://api.example.com").results_nearby(true).build(),
        at("https://10.1.2.3").build(),
        at("https://any.localhost").build(),
    ] {
        let link = ResultLink::new(format!("https://{address}/video"));
        let result = renderer
            .unwrap()
            .download(&link, &download.file(), &Cancel::new(), |_, _| {})
            .await;
        assert!(
            matches!(result, Err(RemoteError::Unreachable { .. })),
            "{result:?}"
        );
    }
}

#[tokio::test]
async fn a_download_has_no_more_time_than_a_job() {
    let download = Download::of([Reply::Stall(vec![1; 100])]).await;
    let limit = Duration::from_millis(300);
    let renderer = download
        .server
        .builder()
        .job_timeout(limit)
        .build()
        .unwrap();
    let error = download.run(&renderer).await.unwrap_err();
    assert_eq!(
        error,
        RemoteError::Timeout {
            what: "the download of the result",
            limit
        }
    );
    assert_eq!((download.attempts(), download.left()), (1, 0));
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_told_and_nothing_is_tried_again() {
    let download = Download::of([Reply::Bytes(vec![1; 10])]).await;
    let link = ResultLink::new(download.server.url("/video"));
    let file = download.folder.path().join("missing").join("video.mp4");
    let renderer = download.server.renderer();
    let error = renderer
        .download(&link, &file, &Cancel::new(), |_, _| {})
        .await;
    let error = error.unwrap_err();
    assert_eq!(
        error,
        RemoteError::File {
            kind: std::io::ErrorKind::NotFound
        }
    );
    assert_eq!(download.attempts(), 1);
}

#[tokio::test]
async fn a_flag_stops_a_download_and_leaves_nothing_behind() {
    let download = Download::of([Reply::Stall(vec![1; 100])]).await;
    let link = ResultLink::new(download.server.url("/video"));
    let cancel = Cancel::new();
    let told = |bytes, expected| {
        assert_eq!((bytes, expected), (100, None));
        cancel.cancel();
    };
    let renderer = download.server.renderer();
    let result = renderer
        .download(&link, &download.file(), &cancel, told)
        .await;
    assert_eq!((result, download.left()), (Err(RemoteError::Cancelled), 0));
}

#[tokio::test]
async fn what_was_there_before_is_replaced_only_by_what_is_whole() {
    let download = Download::of([Reply::Cut(1000, vec![1; 400]), Reply::Bytes(vec![3; 50])]).await;
    std::fs::write(download.file(), b"before").unwrap();
    let renderer = download.server.builder().attempts(1).build().unwrap();
    assert!(download.run(&renderer).await.is_err());
    assert_eq!(std::fs::read(download.file()).unwrap(), b"before");
    assert_eq!(download.run(&renderer).await, Ok(50));
    assert_eq!(std::fs::read(download.file()).unwrap(), [3; 50]);
}

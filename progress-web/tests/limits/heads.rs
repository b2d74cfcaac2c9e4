//! How large a request's head may be.

use serde_json::json;

use crate::support::{PUBLIC, UPGRADE, ask, builder, from, limited, refusal, status};

#[tokio::test]
async fn headers_have_so_many_bytes_in_all() {
    let gateway = builder().headers(1_000).build();
    // Each line has four bytes more than its name and value.
    let one = "x".repeat(1_000 - "x-one".len() - "x-two".len() - 8);
    let fits = [("x-one", &*one), ("x-two", "")];
    assert_eq!(status(&gateway, from(PUBLIC, "/tasks", &fits)).await, 200);
    let one_more = [("x-one", &*one), ("x-two", "y")];
    let refused = ask(&gateway, from(PUBLIC, "/tasks", &one_more)).await;
    let error = refusal(refused, 431, "HEADERS_TOO_LARGE").await;
    assert_eq!(
        error["details"],
        json!({"field": "headers", "limit": 1_000})
    );
    assert_eq!(error["is_retryable"], false);
    assert_eq!(limited(&gateway, "headers").await, 1);
}

#[tokio::test]
async fn a_path_with_its_query_has_so_many_bytes() {
    let gateway = builder().uri(100).build();
    let fits = format!("/tasks?kind={}", "k".repeat(88));
    assert_eq!(fits.len(), 100);
    assert_eq!(status(&gateway, from(PUBLIC, &fits, &[])).await, 200);
    let refused = ask(&gateway, from(PUBLIC, &format!("{fits}k"), &[])).await;
    let error = refusal(refused, 414, "URI_TOO_LONG").await;
    assert_eq!(error["details"], json!({"field": "uri", "limit": 100}));
    let path = format!("/ws/progress/{}", "a".repeat(100));
    let refused = ask(&gateway, from(PUBLIC, &path, &UPGRADE)).await;
    refusal(refused, 414, "URI_TOO_LONG").await;
    assert_eq!(limited(&gateway, "uri").await, 2);
}

#[tokio::test]
async fn the_defaults_are_32_and_8_kib() {
    let gateway = builder().build();
    for (kib, expected) in [(31, 200), (33, 431)] {
        let large = "x".repeat(kib * 1_024);
        let headers = [("x-large", &*large)];
        assert_eq!(
            status(&gateway, from(PUBLIC, "/tasks", &headers)).await,
            expected
        );
    }
    for (kib, expected) in [(7, 200), (9, 414)] {
        let path = format!("/tasks?kind={}", "k".repeat(kib * 1_024));
        assert_eq!(status(&gateway, from(PUBLIC, &path, &[])).await, expected);
    }
}

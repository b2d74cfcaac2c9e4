//! Where axum can mount the routes.

use std::future::Future;

use axum::Router;
use blackbox::Adapter;
use progress_axum::{Gateway, ProgressTracker, router_with};
use tokio::net::TcpListener;

/// Under a path with a parameter of its own.
struct Tenants;

impl Adapter for Tenants {
    fn serve(
        listener: TcpListener,
        gateway: Gateway,
        prefix: &'static str,
    ) -> impl Future<Output = ()> + Send + 'static {
        let app = Router::new().nest(prefix, router_with(gateway));
        async { axum::serve(listener, app).await.unwrap() }
    }
}

#[tokio::test]
async fn routes_nest_under_a_prefix_with_parameters() {
    let server = blackbox::Server::<Tenants>::under(
        "/tenants/{tenant}",
        ProgressTracker::new(),
        |gateway| gateway,
    )
    .await;
    let _task = server.tracker.task("a").start().unwrap();
    let answer = server.get("/tenants/acme/tasks/a").await;
    assert_eq!(answer.json()["task_id"], "a");
    let mut ws = server.ws("/tenants/acme/ws/progress/a").await;
    assert_eq!(ws.frame().await["task_id"], "a");
}

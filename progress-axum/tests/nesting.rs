//! Where axum can mount the routes.

use std::future::Future;

use axum::Router;
use blackbox::Adapter;
use progress_axum::{Gateway, Path, ProgressTracker, route_as, router_with};
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

/// Under paths of the service's own too.
struct Own;

impl Adapter for Own {
    fn serve(
        listener: TcpListener,
        gateway: Gateway,
        _prefix: &'static str,
    ) -> impl Future<Output = ()> + Send + 'static {
        let as_path = |pattern: &str| {
            let path = Path::all().find(|path| path.as_str() == pattern);
            route_as(gateway.clone(), path.expect("a path of the protocol"))
        };
        let app = Router::new()
            .route("/media/{task_id}", as_path("/tasks/{task_id}"))
            .route("/media/{task_id}/live", as_path("/ws/progress/{task_id}"))
            .route("/all", as_path("/sse"))
            .merge(router_with(gateway.clone()));
        async { axum::serve(listener, app).await.unwrap() }
    }
}

#[tokio::test]
async fn routes_answer_under_other_paths_too() {
    let server = blackbox::Server::<Own>::start().await;
    let _task = server.tracker.task("a").start().unwrap();
    for path in ["/tasks/a", "/media/a"] {
        assert_eq!(server.get(path).await.json()["task_id"], "a");
    }
    let mut ws = server.ws("/media/a/live").await;
    assert_eq!(ws.frame().await["task_id"], "a");
    let nobody = server.get("/all?ids=a%20b").await;
    assert_eq!(nobody.json()["error"]["code"], "INVALID_TASK_ID");
}

//! The routes.

use std::net::SocketAddr;

use axum::{
    Router,
    body::Body,
    extract::{ConnectInfo, FromRequestParts, RawPathParams, Request, State},
    http::request::Parts,
    response::Response,
    routing::{MethodRouter, any},
};
use progress_core::ProgressTracker;
use progress_web::{Gateway, Path};

use crate::upgrade;

/// Makes the routes of a tracker with the defaults: random ids can be watched by whoever knows
/// them, all else is refused; see [`Gateway::builder`] for more.
///
/// ```
/// use progress_axum::{ProgressTracker, router};
///
/// let tracker = ProgressTracker::new();
/// let app: axum::Router = axum::Router::new().merge(router(tracker));
/// # drop(app);
/// ```
pub fn router(tracker: ProgressTracker) -> Router {
    router_with(Gateway::new(tracker))
}

/// Makes the routes of a gateway.
///
/// It has no fallback and no state left, so that it merges and nests into any router; where it is
/// nested, tell the gateway by [`prefix`](progress_web::GatewayBuilder::prefix).
///
/// Limits by address hold where the peer's address is known. `serve` of this crate sees to that; with
/// `axum::serve` it takes [`into_make_service_with_connect_info::<SocketAddr>()`][info].
///
/// [info]: Router::into_make_service_with_connect_info
///
/// ```
/// use progress_axum::{Gateway, Open, ProgressTracker, router_with};
///
/// let gateway = Gateway::builder(ProgressTracker::new())
///     .authorizer(Open::new().named_ids().listing())
///     .prefix("/api")
///     .build();
/// let app: axum::Router = axum::Router::new().nest("/api", router_with(gateway));
/// # drop(app);
/// ```
pub fn router_with(gateway: Gateway) -> Router {
    let router = gateway.paths().fold(Router::new(), |router, path| {
        router.route(path.as_str(), answers(path))
    });
    router.with_state(gateway)
}

/// Makes a route that answers as a path of the protocol does, for a service that has the same under
/// a path of its own too. That path's parameter has the name that the [protocol's](Path::parameter) has.
///
/// ```
/// use axum::Router;
/// use progress_axum::{Gateway, Path, ProgressTracker, route_as, router_with};
///
/// let gateway = Gateway::new(ProgressTracker::new());
/// let path = Path::all().find(|path| path.as_str() == "/sse/progress/{task_id}");
/// let path = path.expect("a path of the protocol");
/// let app: Router = Router::new()
///     .route("/api/media/{task_id}/stream", route_as(gateway.clone(), path))
///     .merge(router_with(gateway));
/// # drop(app);
/// ```
pub fn route_as<S>(gateway: Gateway, path: Path) -> MethodRouter<S>
where
    S: Clone + Send + Sync + 'static,
{
    answers(path).with_state(gateway)
}

fn answers(path: Path) -> MethodRouter<Gateway> {
    // Which methods there are is the gateway's to say.
    any(move |State(gateway), request| respond(gateway, path, request))
}

async fn respond(gateway: Gateway, path: Path, request: Request) -> Response {
    let (mut parts, body) = request.into_parts();
    let parameter = match path.parameter() {
        Some(name) => parameter(&mut parts, name).await,
        None => String::new(),
    };
    if let Ok(ConnectInfo(peer)) =
        ConnectInfo::<SocketAddr>::from_request_parts(&mut parts, &()).await
    {
        parts.extensions.insert(peer);
    }
    let upgrade = upgrade::of(&mut parts);
    let request = Request::from_parts(parts, body);
    let response = gateway.respond(path, &parameter, request).await;
    upgrade::carry_on(&gateway, upgrade, response).map(Body::new)
}

/// What stands in the path for a parameter, be it an id or not: judging it is the gateway's. By its
/// name, as the path that the routes are nested under may hold parameters too.
async fn parameter(parts: &mut Parts, name: &str) -> String {
    let all = RawPathParams::from_request_parts(parts, &()).await.ok();
    let found = all
        .as_ref()
        .and_then(|all| all.iter().find(|(found, _)| *found == name));
    found
        .map_or(Path::NO_TEXT, |(_, parameter)| parameter)
        .to_owned()
}

//! From the answer 101 to a WebSocket that is served.

use http::Response;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use progress_web::{Body, Gateway};

/// Serves the WebSocket that an answer opens, if it does, in a task of its own.
pub(crate) fn carry_on(
    gateway: &Gateway,
    upgrade: Option<OnUpgrade>,
    mut response: Response<Body>,
) -> Response<Body> {
    let Some(socket) = response.body_mut().take_web_socket() else {
        return response;
    };
    let Some(upgrade) = upgrade else {
        return gateway.upgrade_required().map(Body::from);
    };
    tokio::spawn(async move {
        match upgrade.await {
            Ok(connection) => socket.serve(TokioIo::new(connection)).await,
            // A client that goes away meanwhile is no fault of the service.
            Err(error) => tracing::debug!(%error, "the connection was not upgraded"),
        }
    });
    response
}

//! A web node: the routes of the protocol on axum or warp, and the site beside them.

use std::{net::SocketAddr, time::Duration};

use axum::{Router, body::Body, extract::Request};
use clap::{Args, ValueEnum};
use futures_util::{Stream, StreamExt as _};
use http::Method;
use http_body::Frame;
use http_body_util::StreamBody;
use progress_redis::RedisTransport;
use progress_web::{Gateway, Open, Serve};
use tokio::{net::TcpListener, time::sleep};
use warp::{Filter as _, Reply as _, filters::path::FullPath, reply};

use crate::{Shared, child, queue::Queue, site::Site, store::Store};

#[derive(Debug, Args)]
pub(crate) struct Settings {
    /// The Redis that all share
    #[arg(long, value_name = "URL")]
    redis: String,
    /// What carries the routes
    #[arg(long, value_enum)]
    adapter: Adapter,
    /// The address to listen on; port 0 takes a free one
    #[arg(long, value_name = "ADDRESS:PORT")]
    listen: SocketAddr,
    #[command(flatten)]
    shared: Shared,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Adapter {
    Axum,
    Warp,
}

/// Serves until the launcher goes; then the clients are told to come back.
///
/// # Errors
///
/// If the address cannot be had.
pub(crate) async fn run(settings: &Settings) -> anyhow::Result<()> {
    let listener = TcpListener::bind(settings.listen)
        .await
        .map_err(|error| anyhow::anyhow!("cannot listen on {}: {error}", settings.listen))?;
    // What workers say that can only PUBLISH, without a function.
    let transport = RedisTransport::builder(&settings.redis).ingest("progress:");
    let tracker = settings.shared.tracker(transport.build()?);
    let gateway = Gateway::builder(tracker)
        .authorizer(Open::new().listing().channels().cancelling())
        .heartbeat(settings.shared.heartbeat)
        .dead_after(settings.shared.heartbeat * 2)
        // A project waits for a worker before it has a task.
        .unknown_wait(WAITS_FOR_A_WORKER)
        .presets()
        .aliases()
        .build();
    let queue = Queue::new(Store::new(&settings.redis)?);
    let site = Site::new(gateway.clone(), Store::new(&settings.redis)?, queue);
    let url = format!("http://{}", listener.local_addr()?);
    child::ready(&url, std::process::id())?;
    tokio::select! {
        served = serve(listener, settings.adapter, gateway, site.clone()) => served,
        () = tidy(&site) => Ok(()),
    }
}

async fn tidy(site: &Site) {
    loop {
        match site.queue().tidy().await {
            Ok(0) => {}
            Ok(jobs) => tracing::warn!(jobs, "of workers that are gone were put back"),
            Err(error) => tracing::debug!(%error, "no tidying without Redis"),
        }
        sleep(TIDIES_EVERY).await;
    }
}

async fn serve(
    listener: TcpListener,
    adapter: Adapter,
    gateway: Gateway,
    site: Site,
) -> anyhow::Result<()> {
    let serve = Serve::new(gateway.clone())
        .stop_on(child::told_to_end())
        .drain(CLIENTS_GO_OVER)
        .deadline(CLIENTS_GO_IN);
    match adapter {
        Adapter::Axum => {
            let routes = Router::new()
                .fallback(move |request: Request| {
                    let site = site.clone();
                    async move { site.respond(request).await.map(Body::from) }
                })
                .merge(progress_axum::router_with(gateway));
            progress_axum::serve(listener, routes, serve).await?;
        }
        Adapter::Warp => {
            let routes = progress_warp::routes_with(gateway).or(beside(site)).unify();
            progress_warp::serve(listener, routes, serve).await?;
        }
    }
    Ok(())
}

/// The site as a filter that answers whatever comes.
fn beside(site: Site) -> warp::filters::BoxedFilter<(reply::Response,)> {
    warp::method()
        .and(warp::path::full())
        .and(warp::body::stream())
        .then(move |method: Method, path: FullPath, body| {
            let site = site.clone();
            async move {
                let body = StreamBody::new(framed(body));
                let mut request = http::Request::new(body);
                *request.method_mut() = method;
                *request.uri_mut() = path.as_str().parse().unwrap_or_default();
                let (head, body) = site.respond(request).await.into_parts();
                let body = http::Response::new(body).into_response().into_body();
                http::Response::from_parts(head, body)
            }
        })
        .boxed()
}

fn framed<D>(
    body: impl Stream<Item = Result<D, warp::Error>>,
) -> impl Stream<Item = Result<Frame<D>, warp::Error>> {
    body.map(|data| data.map(Frame::data))
}

const WAITS_FOR_A_WORKER: Duration = Duration::from_secs(600);
const TIDIES_EVERY: Duration = Duration::from_secs(1);
const CLIENTS_GO_IN: Duration = Duration::from_secs(3);
/// Over which the clients are spread that are sent away, to the other node if they like.
const CLIENTS_GO_OVER: Duration = Duration::from_secs(2);

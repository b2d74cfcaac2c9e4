//! The routes.

use std::{convert::Infallible, future::ready, net::SocketAddr};

use futures_util::{Stream, StreamExt as _};
use http::{HeaderMap, HeaderValue, Method, Request, Response, Uri, header, uri::Authority};
use http_body::Frame;
use http_body_util::{BodyDataStream, StreamBody};
use hyper::upgrade::OnUpgrade;
use progress_core::ProgressTracker;
use progress_web::{Body, Found, Gateway};
use sync_wrapper::SyncStream;
use warp::{
    Buf, Filter, Rejection, Reply as _,
    filters::BoxedFilter,
    path::{FullPath, Peek},
    reply,
};

use crate::upgrade;

/// Makes the routes of a tracker with the defaults: random ids can be watched by whoever knows
/// them, all else is refused; see [`Gateway::builder`] for more.
///
/// ```
/// use progress_warp::{ProgressTracker, routes};
/// use warp::Filter as _;
///
/// let hello = warp::path::end().map(|| "hello");
/// let app = hello.or(routes(ProgressTracker::new()));
/// # drop(app);
/// ```
pub fn routes(tracker: ProgressTracker) -> BoxedFilter<(reply::Response,)> {
    routes_with(Gateway::new(tracker))
}

/// Makes the routes of a gateway.
///
/// They are looked for in what is left of the path, so the filter may stand behind any prefix; tell
/// the gateway by [`prefix`](progress_web::GatewayBuilder::prefix). A path of the protocol is
/// answered, whatever is wrong with the request; any other is rejected as not found, for the
/// filters that come after.
///
/// ```
/// use progress_warp::{Gateway, Open, ProgressTracker, routes_with};
/// use warp::Filter as _;
///
/// let gateway = Gateway::builder(ProgressTracker::new())
///     .authorizer(Open::new().named_ids().listing())
///     .prefix("/api")
///     .build();
/// let app = warp::path("api").and(routes_with(gateway));
/// # drop(app);
/// ```
pub fn routes_with(gateway: Gateway) -> BoxedFilter<(reply::Response,)> {
    let finder = gateway.clone();
    warp::path::peek()
        .and_then(move |rest: Peek| ready(find(&finder, &rest)))
        .and(warp::path::full())
        .and(query())
        .and(warp::method())
        .and(headers())
        .and(peer())
        .and(warp::ext::optional::<OnUpgrade>())
        .and(warp::body::stream())
        .then(
            move |found, path, query, method, headers, remote, upgrade, body| {
                let gateway = gateway.clone();
                let head = Head {
                    method,
                    path,
                    query,
                    headers,
                    remote,
                };
                async move { respond(&gateway, found, head, upgrade, body).await }
            },
        )
        .boxed()
}

/// What warp gives of a request, one by one.
struct Head {
    method: Method,
    path: FullPath,
    query: Option<String>,
    headers: HeaderMap,
    remote: Option<SocketAddr>,
}

impl Head {
    fn into_request<B>(self, body: B) -> Request<B> {
        let mut request = Request::new(body);
        *request.method_mut() = self.method;
        *request.headers_mut() = self.headers;
        let path = self.path.as_str();
        let uri = match self.query {
            Some(query) => format!("{path}?{query}").parse(),
            None => path.parse(),
        };
        // It was one before, so it is one now.
        *request.uri_mut() = uri.unwrap_or_else(|_| Uri::from_static("/"));
        if let Some(remote) = self.remote {
            request.extensions_mut().insert(remote);
        }
        request
    }
}

fn find(gateway: &Gateway, rest: &Peek) -> Result<Found, Rejection> {
    // It begins behind the slash that ends what was matched so far.
    let found = gateway.find(&format!("/{}", rest.as_str()));
    found.ok_or_else(warp::reject::not_found)
}

/// The query as it came, if there is one.
fn query() -> impl Filter<Extract = (Option<String>,), Error = Infallible> + Copy {
    warp::query::raw()
        .map(Some)
        .or_else(|_| ready(Ok::<_, Infallible>((None,))))
}

/// The headers, and among them the name that the server was asked under also where that stood
/// in the URI, as in HTTP/2: of the URI, warp gives path and query alone.
fn headers() -> impl Filter<Extract = (HeaderMap,), Error = Infallible> + Copy {
    let name = warp::host::optional().or_else(|_| {
        // A `Host` that is none, or not that of the URI. It is among the headers, to be judged.
        ready(Ok::<_, Infallible>((None,)))
    });
    warp::header::headers_cloned().and(name).map(
        |mut headers: HeaderMap, name: Option<Authority>| {
            if !headers.contains_key(header::HOST)
                && let Some(name) = name.and_then(|name| HeaderValue::from_str(name.as_str()).ok())
            {
                headers.insert(header::HOST, name);
            }
            headers
        },
    )
}

/// The peer's address: from warp's own server, or from another that leaves it with the request.
fn peer() -> impl Filter<Extract = (Option<SocketAddr>,), Error = Infallible> + Copy {
    warp::addr::remote()
        .and(warp::ext::optional::<SocketAddr>())
        .map(|remote: Option<SocketAddr>, left: Option<SocketAddr>| remote.or(left))
}

async fn respond<S, D>(
    gateway: &Gateway,
    found: Found,
    head: Head,
    upgrade: Option<OnUpgrade>,
    body: S,
) -> reply::Response
where
    S: Stream<Item = Result<D, warp::Error>> + Send + 'static,
    D: Buf + 'static,
{
    let body = StreamBody::new(body.map(|data| data.map(Frame::data)));
    let request = head.into_request(body);
    let response = gateway.respond(found.path, &found.parameter, request).await;
    into_reply(upgrade::carry_on(gateway, upgrade, response))
}

fn into_reply(response: Response<Body>) -> reply::Response {
    let (parts, body) = response.into_parts();
    let body = match body.into_bytes() {
        Ok(bytes) => Response::new(bytes).into_response(),
        Err(events) => reply::stream(SyncStream::new(BodyDataStream::new(events))).into_response(),
    };
    Response::from_parts(parts, body.into_body())
}

//! The routes that answer and are done, without a socket.

#[path = "http_api/batches.rs"]
mod batches;
#[path = "http_api/bodies.rs"]
mod bodies;
#[path = "http_api/channels.rs"]
mod channels;
#[path = "http_api/counts.rs"]
mod counts;
#[path = "http_api/create.rs"]
mod create;
#[path = "http_api/dashboard.rs"]
mod dashboard;
#[path = "http_api/long_poll.rs"]
mod long_poll;
#[path = "http_api/one.rs"]
mod one;
#[path = "http_api/stop.rs"]
mod stop;
#[path = "http_api/support.rs"]
mod support;

//! What any adapter has to do.

mod drain;
mod formats;
mod http;
mod http_list;
mod limits;
mod many;
mod nodes;
mod reconnect;
mod routing;
mod security;
mod serve;
mod slow_readers;
mod sse;
mod sse_many;
mod ws;
mod ws_life;

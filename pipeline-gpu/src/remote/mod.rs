//! A remote renderer of talking heads: a picture and a voice go there, a video comes back.
//!
//! The API is shaped like D-ID's: `POST /images`, `POST /audios`, `POST /talks`, `GET` and
//! `DELETE /talks/{id}`, with basic authentication. Whatever speaks it can be given as base URL.
//!
//! ```no_run
//! use std::path::Path;
//! use pipeline_gpu::{Cancel, remote::{ApiKey, Media, RenderRequest, Renderer}};
//!
//! # async fn example(portrait: Vec<u8>, voice: Vec<u8>) -> Result<(), pipeline_gpu::remote::RemoteError> {
//! let key = ApiKey::basic("user", "secret")?;
//! let renderer = Renderer::builder("https://api.d-id.com", key).build()?;
//! let request = RenderRequest::new(
//!     Media::upload("portrait.png", "image/png", portrait),
//!     Media::upload("voice.mp3", "audio/mpeg", voice),
//! );
//! let video = Path::new("talk.mp4");
//! let told = |update: &_| println!("{update:?}");
//! let bytes = renderer.render(&request, video, &Cancel::new(), told).await?;
//! println!("{bytes} bytes");
//! # Ok(())
//! # }
//! ```
//!
//! # What is tried again
//!
//! What can be asked twice without harm is asked again, after growing delays with jitter, or after as
//! long as `Retry-After` says: lost connections, timeouts, 408, 425, 429 and 5xx. A job costs money: it is
//! submitted again only when the answer says that it was not taken (429, 503), or when no connection was
//! made, with the same `Idempotency-Key`. Where that cannot be known, as after a 500, the error is
//! [`RemoteError::Unsure`]. A job that was submitted is asked for until its time is over, however long
//! the renderer is out of reach; one that is given up is deleted.
//!
//! # What is never told
//!
//! The key is in no `Debug`, no error and no log, and goes to no other host than the base URL's.
//! Links to results are signed by the renderer: their queries are in no `Debug` and no error, also where
//! the renderer repeats them, and no other host is told of them.
//!
//! # Where links lead
//!
//! Results are fetched by https, through redirects as well. A renderer on the web cannot send this
//! machine to itself or into its networks, be it by address or by a name that has such an address;
//! [`RendererBuilder::results_nearby`] allows it. Where the environment names a proxy, even one for http
//! alone, only addresses are checked and no names, also of hosts that `NO_PROXY` has asked directly: a
//! proxy looks names up itself.
//!
//! # Bounds
//!
//! | What | Set by | Default |
//! |---|---|---|
//! | the bytes of one upload | [`RendererBuilder::max_upload`] | 64 MiB |
//! | the bytes of a result | [`RendererBuilder::max_result`] | 1 GiB |
//! | the bytes of any other answer | | 256 KiB |
//! | one request and its answer | [`RendererBuilder::request_timeout`] | 60 s |
//! | a job, from submission to its end; then its download | [`RendererBuilder::job_timeout`] | 10 minutes |
//! | attempts at one request | [`RendererBuilder::attempts`] | 5 |
//! | the longest `Retry-After` that is waited for | [`RendererBuilder::max_retry_after`] | 60 s |
//! | the longest that a task's error passes on | | [5 minutes](RemoteError::LONGEST_WAIT) |
//! | a connection that is made | [`RendererBuilder::connect_timeout`] | 10 s |
//! | redirects of a result | | 5 |
//! | the characters of `user_data` | | [1 000](RenderRequest::MAX_USER_DATA) |
//! | the characters that are repeated of what the renderer says | | 500 |
//! | the time between two askings for a [hint](Renderer::hint) | | 1 s |
//! | the bytes of a webhook's message | | [64 KiB](Webhook::MAX_BODY) |
//! | the bytes of its secret, at least | | [16](Webhook::MIN_SECRET) |

mod builder;
mod call;
mod download;
mod error;
mod hint;
mod job;
mod key;
mod link;
mod reach;
mod renderer;
mod request;
mod talk;
mod webhook;

pub use self::{
    builder::RendererBuilder,
    error::RemoteError,
    job::RenderUpdate,
    key::ApiKey,
    link::ResultLink,
    renderer::Renderer,
    request::{Media, RenderRequest},
    talk::{Talk, TalkError, TalkStatus},
    webhook::{Webhook, WebhookError},
};

//! The renderer itself.

use std::{fmt, sync::Arc};

use bytes::Bytes;
use http::{
    Method, StatusCode,
    header::{AUTHORIZATION, CONTENT_TYPE},
};
use reqwest::{
    Body, Client, RequestBuilder, Url,
    multipart::{Form, Part},
};
use serde::Deserialize;
use uuid::Uuid;

use super::{
    builder::{RendererBuilder, Settings},
    call::{Answer, Repeat, is_unsure},
    error::RemoteError,
    hint::Waiting,
    key::ApiKey,
    reach::Reach,
    request::{Media, RenderRequest},
    talk::Talk,
};
use crate::Cancel;

/// A client of a remote renderer. Clones share one pool of connections.
#[derive(Clone)]
pub struct Renderer(Arc<Inner>);

struct Inner {
    base: Url,
    key: ApiKey,
    settings: Settings,
    reach: Reach,
    waiting: Waiting,
    /// Has the key with each request.
    api: Client,
    /// Never has it.
    plain: Client,
}

impl Renderer {
    /// Begins a client of the API at this URL, as `https://api.d-id.com`.
    pub fn builder(base: impl Into<String>, key: ApiKey) -> RendererBuilder {
        RendererBuilder::new(base.into(), key)
    }

    pub(super) fn new(
        base: Url,
        key: ApiKey,
        settings: Settings,
        reach: Reach,
        api: Client,
        plain: Client,
    ) -> Self {
        Self(Arc::new(Inner {
            base,
            key,
            settings,
            reach,
            waiting: Waiting::default(),
            api,
            plain,
        }))
    }

    /// Submits a job, after uploading what has to be uploaded.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Input`] before anything is sent, if the request makes no sense;
    /// [`RemoteError::Unsure`] if the job may have been taken, and [`RemoteError::Answer`] if an answer
    /// came that is not understood, after which it may be there too; else any of the network and of the
    /// API.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, uploads may have been made and the job may have been submitted.
    pub async fn submit(&self, request: &RenderRequest) -> Result<Talk, RemoteError> {
        let body = self.prepare(request).await?;
        self.create(body, &Cancel::new()).await
    }

    /// Makes all that a job needs but the job: uploads its media. Gives the body of `POST /talks`.
    pub(super) async fn prepare(&self, request: &RenderRequest) -> Result<Bytes, RemoteError> {
        request.check(self.settings().max_upload)?;
        let image = self.place("images", "image", &request.image).await?;
        let audio = self.place("audios", "audio", &request.audio).await?;
        Ok(Bytes::from(request.body(&image, &audio).to_string()))
    }

    /// Makes the job, which costs. Once the flag is set it is not tried again.
    pub(super) async fn create(&self, body: Bytes, stop: &Cancel) -> Result<Talk, RemoteError> {
        // For renderers that know the header: whatever else goes wrong, there is one job.
        let key = Uuid::new_v4().simple().to_string();
        let submitted = self
            .settings()
            .call_until(stop, Repeat::UnlessTaken, || {
                let request = self.request(Method::POST, &["talks"]);
                let request = request.header(CONTENT_TYPE, "application/json");
                let request = request.header("idempotency-key", &key);
                self.settings().send(request.body(body.clone()))
            })
            .await;
        match submitted {
            Ok(answer) => match answer.json::<Talk>()? {
                talk if is_id(&talk.id) => Ok(talk),
                _ => Err(RemoteError::Answer {
                    reason: "it has no id that could be asked for".to_owned(),
                }),
            },
            Err(error) if is_unsure(&error) => Err(RemoteError::Unsure),
            Err(error) => Err(error),
        }
    }

    /// Asks how far a job is.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Refused`] with 404 if there is none of this id, [`RemoteError::Input`] if it can
    /// be none.
    ///
    /// # Cancel safety
    ///
    /// Asking changes nothing.
    pub async fn talk(&self, id: &str) -> Result<Talk, RemoteError> {
        let answer = self.settings().call(Repeat::Always, || self.ask(id));
        answer.await?.json()
    }

    /// Deletes a job, done or not. That there is none of this id is no error.
    ///
    /// # Errors
    ///
    /// Any of the network and of the API, and [`RemoteError::Input`] if it can be no id.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, the job may have been deleted.
    pub async fn delete(&self, id: &str) -> Result<(), RemoteError> {
        let deleted = self
            .settings()
            .call(Repeat::Always, || async {
                let request = self.of_job(Method::DELETE, id)?;
                self.settings().send(request).await
            })
            .await;
        match deleted {
            Ok(_) => Ok(()),
            Err(RemoteError::Refused { status, .. })
                if status == StatusCode::NOT_FOUND.as_u16() =>
            {
                Ok(())
            }
            Err(error) => Err(error),
        }
    }

    /// Asks once.
    pub(super) async fn ask(&self, id: &str) -> Result<Answer, RemoteError> {
        let request = self.of_job(Method::GET, id)?;
        self.settings().send(request).await
    }

    /// Where a medium lies on the web, be it by uploading it.
    async fn place(
        &self,
        path: &str,
        field: &'static str,
        media: &Media,
    ) -> Result<String, RemoteError> {
        let (name, content_type, bytes) = match media {
            Media::Url(url) => return Ok(url.clone()),
            Media::Upload {
                name,
                content_type,
                bytes,
            } => (name, content_type, bytes),
        };
        let form = || {
            let length = bytes.len() as u64;
            let part = Part::stream_with_length(Body::from(bytes.clone()), length);
            let part = part.file_name(name.clone()).mime_str(content_type);
            let part = part.map_err(|_| RemoteError::Input {
                field,
                expected: "of a content type".to_owned(),
            })?;
            Ok::<_, RemoteError>(Form::new().part(field, part))
        };
        // An upload that is made twice costs nothing but its bytes.
        let answer = self.settings().call(Repeat::Always, || async {
            let request = self.request(Method::POST, &[path]).multipart(form()?);
            self.settings().send(request).await
        });
        let placed: Placed = answer.await?.json()?;
        Ok(placed.url)
    }

    fn of_job(&self, method: Method, id: &str) -> Result<RequestBuilder, RemoteError> {
        if !is_id(id) {
            return Err(RemoteError::Input {
                field: "id",
                expected: "one part of a path: not empty, no dots alone, no control characters"
                    .to_owned(),
            });
        }
        Ok(self.request(method, &["talks", id]))
    }

    /// A request with the key. Each part of the path is encoded, whatever it holds.
    fn request(&self, method: Method, path: &[&str]) -> RequestBuilder {
        let mut url = self.0.base.clone();
        // A URL by http or https has a path.
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        let request = self.0.api.request(method, url);
        request.header(AUTHORIZATION, self.0.key.header())
    }

    pub(super) fn settings(&self) -> &Settings {
        &self.0.settings
    }

    pub(super) fn reach(&self) -> &Reach {
        &self.0.reach
    }

    pub(super) fn waiting(&self) -> &Waiting {
        &self.0.waiting
    }

    pub(super) fn plain(&self) -> &Client {
        &self.0.plain
    }
}

impl fmt::Debug for Renderer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Renderer")
            .field("base", &self.0.base.as_str())
            .field("settings", &self.0.settings)
            .finish_non_exhaustive()
    }
}

/// Whether it stands for one job in a path: dots would be left out of it, and all jobs meant, and so
/// would tabs and ends of lines among dots.
fn is_id(id: &str) -> bool {
    !matches!(id, "" | "." | "..") && !id.contains(|c: char| c.is_ascii_control())
}

/// What `POST /images` and `POST /audios` say.
#[derive(Deserialize)]
struct Placed {
    url: String,
}

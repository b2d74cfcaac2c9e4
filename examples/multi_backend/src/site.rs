//! What a web node has beside the protocol's routes: the page, projects, and their files.

use std::{sync::Arc, time::Duration};

use bytes::{Buf, Bytes};
use http::{HeaderValue, Method, Request, Response, StatusCode, header};
use http_body::Body;
use http_body_util::{BodyExt as _, LengthLimitError, Limited};
use progress_core::{EventPayload, TaskId};
use progress_web::{ApiError, Code, Gateway, TaskUrls};
use redis::cmd;
use serde::Serialize;

use crate::{
    job::{Job, Kind, Wish},
    produce::file_key,
    queue::{MOST_WAITING, Queue},
    store::Store,
};

/// Answers requests, whichever adapter takes them. A cheap clone.
#[derive(Clone)]
pub(crate) struct Site {
    shared: Arc<Shared>,
}

struct Shared {
    gateway: Gateway,
    store: Store,
    queue: Queue,
}

/// What everybody is told of a new project, in the channel [`PROJECTS`].
#[derive(Debug, Serialize)]
struct ProjectCreated<'a> {
    project: &'a TaskId,
    title: &'a str,
    worker: Kind,
}

impl EventPayload for ProjectCreated<'_> {
    const EVENT_TYPE: &'static str = "project_created";
}

/// The answer to `POST /api/projects`.
#[derive(Debug, Serialize)]
struct Created {
    project_id: TaskId,
    trace_id: String,
    #[serde(flatten)]
    urls: TaskUrls,
}

impl Site {
    pub(crate) fn new(gateway: Gateway, store: Store, queue: Queue) -> Self {
        Self {
            shared: Arc::new(Shared {
                gateway,
                store,
                queue,
            }),
        }
    }

    pub(crate) fn queue(&self) -> &Queue {
        &self.shared.queue
    }

    pub(crate) async fn respond<B>(&self, request: Request<B>) -> Response<Bytes>
    where
        B: Body<Data: Buf, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let (head, body) = request.into_parts();
        let path: Vec<&str> = head.uri.path().trim_matches('/').split('/').collect();
        let answer = match (&head.method, &*path) {
            (&Method::POST, ["api", "projects"]) => self.create(body).await,
            (&Method::GET, ["api", "files", project, name]) => self.file(project, name).await,
            (&Method::GET, [name]) => {
                Ok(page(name).unwrap_or_else(|| self.shared.gateway.not_found()))
            }
            (_, ["api", "projects"] | ["api", "files", _, _]) => {
                Ok(self.shared.gateway.method_not_allowed())
            }
            _ => Ok(self.shared.gateway.not_found()),
        };
        answer.unwrap_or_else(|error| error.to_response())
    }

    /// Has a project wait for a worker, and tells everybody of it.
    async fn create<B>(&self, body: B) -> Result<Response<Bytes>, ApiError>
    where
        B: Body<Data: Buf, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
    {
        let wish = Wish::read(&read(body).await?)?;
        let job = wish.into_job(uuid::Uuid::new_v4().simple().to_string());
        let pushed = self.shared.queue.push(&job).await;
        if !pushed.map_err(|error| away(&error))? {
            let text = format!("{MOST_WAITING} projects wait already");
            return Err(ApiError::new(Code::TooManyTasks, text).retry_after(COME_BACK_IN));
        }
        // It is made all the same, and a client that were told otherwise would ask for another.
        if let Err(error) = self.tell(&job) {
            tracing::warn!(project = %job.id, %error, "not told in the channel");
        }
        let urls = self.shared.gateway.urls(&job.id);
        let answer = Created {
            project_id: job.id,
            trace_id: job.trace_id,
            urls,
        };
        Ok(json(StatusCode::ACCEPTED, &answer))
    }

    /// It is sent as soon as it can be, in order.
    fn tell(&self, job: &Job) -> Result<(), ApiError> {
        let projects = self.shared.gateway.tracker().channel(PROJECTS);
        let created = ProjectCreated {
            project: &job.id,
            title: &job.title,
            worker: job.worker,
        };
        projects.emit(created).map_err(|error| away(&error))
    }

    async fn file(&self, project: &str, name: &str) -> Result<Response<Bytes>, ApiError> {
        let project: TaskId = project.parse().map_err(ApiError::from)?;
        let Some((_, media)) = FILES.into_iter().find(|(file, _)| *file == name) else {
            return Ok(self.shared.gateway.not_found());
        };
        let key = file_key(project.as_str(), name);
        let file: Option<Vec<u8>> = self
            .shared
            .store
            .ask(cmd("GET").arg(key))
            .await
            .map_err(|error| away(&error))?;
        Ok(match file {
            Some(file) => of_type(media, file.into()),
            None => self.shared.gateway.not_found(),
        })
    }
}

/// Reads a body that is not larger than any project is.
async fn read<B>(body: B) -> Result<Bytes, ApiError>
where
    B: Body<Data: Buf, Error: Into<Box<dyn std::error::Error + Send + Sync>>>,
{
    let read = Limited::new(body, LARGEST_BODY).collect();
    match read.await {
        Ok(read) => Ok(read.to_bytes()),
        Err(error) if error.is::<LengthLimitError>() => {
            let text = format!("A project has at most {LARGEST_BODY} bytes");
            Err(ApiError::new(Code::PayloadTooLarge, text))
        }
        Err(error) => Err(ApiError::new(Code::InvalidBody, error.to_string())),
    }
}

fn away(error: &(dyn std::error::Error + 'static)) -> ApiError {
    tracing::warn!(error, "Redis cannot be reached");
    ApiError::new(Code::TransportDown, "Redis cannot be reached")
        .solution("Try again in a moment")
        .retry_after(COME_BACK_IN)
}

fn json(status: StatusCode, body: &impl Serialize) -> Response<Bytes> {
    // Text keys and numbers always have a text.
    let text = serde_json::to_vec(body).unwrap_or_default();
    let mut response = of_type("application/json", text.into());
    *response.status_mut() = status;
    response
}

fn page(name: &str) -> Option<Response<Bytes>> {
    const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; \
         img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    let (media, text) = match name {
        "" => (
            "text/html; charset=utf-8",
            include_str!("../page/index.html"),
        ),
        "app.js" => (
            "text/javascript; charset=utf-8",
            include_str!("../page/app.js"),
        ),
        "style.css" => ("text/css; charset=utf-8", include_str!("../page/style.css")),
        _ => return None,
    };
    let mut response = of_type(media, Bytes::from_static(text.as_bytes()));
    let headers = response.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    let policy = HeaderValue::from_static(POLICY);
    headers.insert(header::CONTENT_SECURITY_POLICY, policy);
    Some(response)
}

fn of_type(media: &'static str, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    let sniff = HeaderValue::from_static("nosniff");
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, sniff);
    response
}

/// The channel that tells of every project.
const PROJECTS: &str = "projects";
/// The files that a project can have, by workers in Rust and in Python.
const FILES: [(&str, &str); 4] = [
    ("film.gif", "image/gif"),
    ("thumbnail.gif", "image/gif"),
    ("film.png", "image/png"),
    ("thumbnail.png", "image/png"),
];
const COME_BACK_IN: Duration = Duration::from_secs(1);
const LARGEST_BODY: usize = 16 * 1024;

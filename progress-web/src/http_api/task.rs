//! One task: its snapshot, its history.

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Response, StatusCode, header, request::Parts};
use progress_core::{Position, Seq, TaskId};
use serde::{Serialize, Serializer, ser::SerializeSeq};
use serde_json::value::RawValue;

use super::{REVALIDATE, answer, json};
use crate::{auth::Action, error::ApiError, gateway::Gateway, query::Query};

impl Gateway {
    /// Answers `GET /tasks/{task_id}`: the snapshot, its position as a weak `ETag`; with `?wait=`
    /// once there is something to tell, or when that time is up.
    ///
    /// # Cancel safety
    ///
    /// It only reads. Dropping the future frees what it waits with.
    pub async fn task(&self, request: &Parts, task: &str) -> Response<Bytes> {
        answer(self.try_task(request, task).await)
    }

    /// Answers `GET /tasks/{task_id}/history`.
    ///
    /// # Cancel safety
    ///
    /// It only reads.
    pub async fn history(&self, request: &Parts, task: &str) -> Response<Bytes> {
        answer(self.try_history(request, task).await)
    }

    async fn try_task(&self, request: &Parts, task: &str) -> Result<Response<Bytes>, ApiError> {
        let id: TaskId = task.parse()?;
        let watching = Action::Watch(id.clone());
        let principal = self.permitted(request, &watching).await?;
        let snapshot = match Query::of(&request.uri).wait()? {
            Some(wait) => self.held(&id, request, &principal, wait).await?,
            None => self.tracker().snapshot(&id).await?,
        };
        let tag = tag(snapshot.position());
        let mut response = if is_known(&request.headers, snapshot.position()) {
            let mut response = Response::new(Bytes::new());
            *response.status_mut() = StatusCode::NOT_MODIFIED;
            // All that the whole answer would say of caching has to stand here too.
            response
                .headers_mut()
                .insert(header::CACHE_CONTROL, REVALIDATE);
            response
        } else {
            json(StatusCode::OK, &snapshot)
        };
        if let Ok(tag) = HeaderValue::try_from(tag) {
            response.headers_mut().insert(header::ETAG, tag);
        }
        Ok(response)
    }

    async fn try_history(&self, request: &Parts, task: &str) -> Result<Response<Bytes>, ApiError> {
        #[derive(Serialize)]
        struct History {
            events: Events,
            floor: Seq,
            head: Position,
            #[serde(skip_serializing_if = "Option::is_none")]
            next: Option<Position>,
        }
        let id = self.allowed_to_watch(request, task).await?;
        let query = Query::of(&request.uri);
        let limit = query.limit(DEFAULT_PAGE, LARGEST_PAGE)?;
        let page = self.tracker().history(&id, query.after()?, limit).await?;
        let events = page.events.iter().map(|event| event.to_json()).collect();
        Ok(json(
            StatusCode::OK,
            &History {
                events: Events(events),
                floor: page.floor,
                head: page.head,
                next: page.next,
            },
        ))
    }
}

/// Events that are JSON text already.
struct Events(Vec<Bytes>);

impl Serialize for Events {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut sequence = serializer.serialize_seq(Some(self.0.len()))?;
        for event in &self.0 {
            let event: &RawValue =
                serde_json::from_slice(event).map_err(serde::ser::Error::custom)?;
            sequence.serialize_element(event)?;
        }
        sequence.end()
    }
}

fn tag(position: Position) -> String {
    format!("W/\"{position}\"")
}

/// Whether `If-None-Match` names the position's tag, compared weakly.
pub(super) fn is_known(headers: &HeaderMap, position: Position) -> bool {
    has_tag(headers, &tag(position))
}

/// Whether a client says that it has what this tag stands for.
pub(super) fn has_tag(headers: &HeaderMap, tag: &str) -> bool {
    let bare = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    headers
        .get_all(header::IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|candidate| candidate.trim() == "*" || bare(candidate) == bare(tag))
}

const DEFAULT_PAGE: usize = 100;
const LARGEST_PAGE: usize = 1_000;

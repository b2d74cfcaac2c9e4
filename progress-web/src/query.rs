//! What requests say in their query and headers.

use std::{borrow::Cow, str::FromStr};

use http::{HeaderMap, Uri};
use progress_core::{Epoch, Position, Replay, Seq, TaskCursor, TaskFilter, TaskState};

use crate::{
    error::{ApiError, Code},
    session::Name,
};

/// Where a watcher of one task begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum From {
    /// Without a position.
    Fresh,
    /// After one.
    After(Position),
    /// The client was told that there is nothing more for it.
    End,
}

/// A position that no task can have: who comes with it is told `reset`.
const FOREIGN: Position = Position::new(Epoch::FOREIGN, Seq::ZERO);

/// The same address with another query, or none where that is empty: pairs of the one there was, or
/// of our own, so that it is one for certain. If it were none, nothing would be shown of it.
pub(crate) fn with_query(uri: &Uri, query: &str) -> Uri {
    let path = uri.path();
    let text: Cow<'_, str> = match query {
        "" => path.into(),
        query => format!("{path}?{query}").into(),
    };
    let mut parts = uri.clone().into_parts();
    parts.path_and_query = text.parse().ok();
    Uri::from_parts(parts).unwrap_or_default()
}

/// The query of a URL, by name; unknown names are ignored, of repeated ones the first counts.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Query<'a>(&'a str);

impl<'a> Query<'a> {
    pub(crate) fn of(uri: &'a Uri) -> Self {
        Self(uri.query().unwrap_or_default())
    }

    /// All values of a name.
    fn all(self, name: &'a str) -> impl Iterator<Item = Cow<'a, str>> {
        form_urlencoded::parse(self.0.as_bytes())
            .filter(move |(found, _)| found == name)
            .map(|(_, value)| value)
    }

    /// The value of a name; an empty one counts as none.
    pub(crate) fn text(self, name: &'a str) -> Option<String> {
        self.all(name)
            .next()
            .filter(|value| !value.is_empty())
            .map(Cow::into_owned)
    }

    pub(crate) fn parse<T: FromStr>(self, name: &'a str) -> Result<Option<T>, ApiError>
    where
        T::Err: std::fmt::Display,
    {
        self.text(name)
            .map(|text| {
                text.parse().map_err(|error: T::Err| {
                    ApiError::new(Code::InvalidQuery, format!("{name}: {error}")).field(name)
                })
            })
            .transpose()
    }

    pub(crate) fn replay(self) -> Result<Replay, ApiError> {
        match self.text("replay").as_deref() {
            None | Some("all") => Ok(Replay::All),
            Some("latest") => Ok(Replay::Latest),
            Some("none") => Ok(Replay::None),
            Some(_) => Err(
                ApiError::new(Code::InvalidQuery, "replay is one of all, latest, none")
                    .field("replay"),
            ),
        }
    }

    pub(crate) fn after(self) -> Result<Option<Position>, ApiError> {
        Ok(self
            .text("after")
            .map(|text| text.parse::<Position>())
            .transpose()?)
    }

    /// `?limit=`, at least 1 and cut to `most`.
    pub(crate) fn limit(self, default: usize, most: usize) -> Result<usize, ApiError> {
        match self.parse::<usize>("limit")? {
            None => Ok(default),
            Some(0) => Err(ApiError::new(Code::InvalidQuery, "limit is at least 1").field("limit")),
            Some(limit) => Ok(limit.min(most)),
        }
    }

    pub(crate) fn filter(self) -> Result<TaskFilter, ApiError> {
        let mut filter = TaskFilter::new()
            .limit(self.limit(100, TaskFilter::MAX_LIMIT)?)
            .after(self.parse::<TaskCursor>("cursor")?);
        for states in self.all("state") {
            for state in states.split(',').filter(|state| !state.is_empty()) {
                filter = match state {
                    "active" => filter.active(),
                    state => filter.state(parse_state(state)?),
                };
            }
        }
        if let Some(kind) = self.text("kind") {
            filter = filter.kind(kind);
        }
        for label in self.all("label") {
            let Some((name, value)) = label.split_once(':') else {
                return Err(
                    ApiError::new(Code::InvalidQuery, "label is of the form name:value")
                        .field("label"),
                );
            };
            filter = filter.label(name, value);
        }
        if let Some(parent) = self.text("parent") {
            let parent = parent
                .as_str()
                .try_into()
                .map_err(|error| ApiError::from(error).field("parent"))?;
            filter = filter.parent(parent);
        }
        Ok(filter)
    }

    /// `?ids=a,b,c&channels=x,y`: the tasks in the URL's order, then the channels.
    pub(crate) fn topics(self, most: usize) -> Result<Vec<Name>, ApiError> {
        let list = |name| self.text(name).unwrap_or_default();
        let (ids, channels) = (list("ids"), list("channels"));
        let names = |list| str::split(list, ',').filter(|name| !name.is_empty());
        let topics: Vec<Name> = names(&*ids)
            .map(Name::task)
            .chain(names(&*channels).map(Name::channel))
            .collect();
        if topics.is_empty() {
            let message = "ids names no task, nor channels a channel: ?ids=a,b,c&channels=x";
            return Err(ApiError::new(Code::InvalidQuery, message).field("ids"));
        }
        if topics.len() > most {
            let message = format!(
                "ids and channels name {} topics, the limit is {most}",
                topics.len()
            );
            let error = ApiError::new(Code::TooManyTopics, message);
            return Err(error.field("ids").detail("limit", most));
        }
        Ok(topics)
    }

    /// Whether something is asked for: `?name=1`.
    pub(crate) fn flag(self, name: &'a str) -> bool {
        matches!(self.text(name).as_deref(), Some("1" | "true"))
    }
}

/// Where the watchers of `topics` tasks begin: `Last-Event-ID` beats `?after=`. A malformed header
/// is answered as `reset`, for an error would stop an `EventSource`; a malformed query is an error.
pub(crate) fn starts(
    headers: &HeaderMap,
    query: Query<'_>,
    topics: usize,
) -> Result<Vec<From>, ApiError> {
    if let Some(header) = headers.get("last-event-id").filter(|id| !id.is_empty()) {
        let parsed = header.to_str().ok().and_then(|text| vector(text, topics));
        return Ok(parsed.unwrap_or_else(|| vec![From::After(FOREIGN); topics]));
    }
    match query.text("after") {
        None => Ok(vec![From::Fresh; topics]),
        // What only a server hands out has no place in a URL that somebody wrote.
        Some(text) => vector(&text, topics)
            .filter(|starts| starts.iter().all(|start| may_be_written(*start, topics)))
            .ok_or_else(|| progress_core::InvalidPosition.into()),
    }
}

fn may_be_written(start: From, topics: usize) -> bool {
    match start {
        From::After(_) => true,
        From::Fresh => topics > 1,
        From::End => false,
    }
}

fn vector(text: &str, topics: usize) -> Option<Vec<From>> {
    if text == "end" {
        return Some(vec![From::End; topics]);
    }
    let starts: Option<Vec<From>> = text
        .split(',')
        .map(|part| match part {
            "-" => Some(From::Fresh),
            "end" => Some(From::End),
            position => position.parse().ok().map(From::After),
        })
        .collect();
    starts.filter(|starts| starts.len() == topics)
}

fn parse_state(text: &str) -> Result<TaskState, ApiError> {
    serde_json::from_value(text.into()).map_err(|_| {
        ApiError::new(
            Code::InvalidQuery,
            "state is active, queued, running, paused, stalled, completed, failed, cancelled or \
             abandoned",
        )
        .field("state")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_vector_has_one_place_per_topic() {
        let position: Position = "1f:7".parse().unwrap();
        assert_eq!(
            vector("1f:7,-,end", 3),
            Some(vec![From::After(position), From::Fresh, From::End])
        );
        assert_eq!(vector("1f:7", 2), None);
        assert_eq!(vector("1f:7,", 2), None);
        assert_eq!(vector("end", 2), Some(vec![From::End; 2]));
    }

    #[test]
    fn a_malformed_header_means_reset_and_a_malformed_query_is_an_error() {
        let mut headers = HeaderMap::new();
        let uri: Uri = "/x?after=nonsense".parse().unwrap();
        assert!(starts(&headers, Query::of(&uri), 1).is_err());
        headers.insert("last-event-id", "nonsense".parse().unwrap());
        assert_eq!(
            starts(&headers, Query::of(&uri), 1),
            Ok(vec![From::After(FOREIGN)])
        );
    }
}

//! What is to be done: one video.

use progress_core::{StageDecl, TaskId};
use progress_web::{ApiError, Code};
use serde::{Deserialize, Serialize};

/// The stages of a video with their weights. The worker in Python has the same.
pub(crate) const STAGES: [(&str, f64); 5] = [
    ("script", 1.0),
    ("assets", 2.0),
    ("render", 5.0),
    ("thumbnail", 1.0),
    ("upload", 1.0),
];
/// How often the asset service is asked again.
pub(crate) const MAX_RETRIES: u32 = 3;

const TITLE_LEN: usize = 200;
const MOST_SCENES: u32 = 50;
const MOST_FAILURES: u32 = 10;

/// Which workers take a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Kind {
    Any,
    Rust,
    Python,
}

impl Kind {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Any => "any",
            Self::Rust => "rust",
            Self::Python => "python",
        }
    }
}

/// The body of `POST /api/projects`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Wish {
    title: String,
    #[serde(default = "some_scenes")]
    scenes: u32,
    /// How often the asset service is to fail first, to see what that looks like.
    #[serde(default)]
    failures: u32,
    #[serde(default = "anybody")]
    worker: Kind,
}

fn some_scenes() -> u32 {
    4
}

fn anybody() -> Kind {
    Kind::Any
}

impl Wish {
    /// Reads and checks a body.
    ///
    /// # Errors
    ///
    /// What is wrong with it, as the protocol has it.
    pub(crate) fn read(body: &[u8]) -> Result<Self, ApiError> {
        let wish: Self = serde_json::from_slice(body)
            .map_err(|error| ApiError::new(Code::InvalidBody, error.to_string()))?;
        let bad = |field, text: String| Err(ApiError::new(Code::InvalidBody, text).field(field));
        let title = wish.title.trim();
        if title.is_empty() || title.len() > TITLE_LEN {
            return bad("title", format!("A title has 1 to {TITLE_LEN} bytes"));
        }
        if !(1..=MOST_SCENES).contains(&wish.scenes) {
            return bad("scenes", format!("There are 1 to {MOST_SCENES} scenes"));
        }
        if wish.failures > MOST_FAILURES {
            return bad("failures", format!("At most {MOST_FAILURES} failures"));
        }
        Ok(wish)
    }

    pub(crate) fn into_job(self, trace_id: String) -> Job {
        Job {
            id: TaskId::random(),
            title: self.title.trim().to_owned(),
            scenes: self.scenes,
            failures: self.failures,
            worker: self.worker,
            trace_id,
        }
    }
}

/// A video that somebody wants, as it waits in Redis. Workers in other languages read it too.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Job {
    /// The project's id, and that of its task.
    pub(crate) id: TaskId,
    pub(crate) title: String,
    pub(crate) scenes: u32,
    pub(crate) failures: u32,
    pub(crate) worker: Kind,
    pub(crate) trace_id: String,
}

impl Job {
    /// The stages, with what is known of them from the start.
    pub(crate) fn stages(&self) -> impl Iterator<Item = StageDecl> {
        STAGES.into_iter().map(|(path, weight)| {
            let stage = StageDecl::new(path, weight);
            let scenes = u64::from(self.scenes);
            match path {
                "script" => stage.total(scenes).unit("lines"),
                "assets" => stage.total(scenes).unit("pictures"),
                "render" => stage.total(scenes * crate::film::FRAMES).unit("frames"),
                "upload" => stage.unit("bytes"),
                _ => stage,
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wish_without_numbers_is_a_small_film() {
        let job = Wish::read(br#"{"title":" Rain "}"#)
            .unwrap()
            .into_job("t".into());
        assert_eq!(
            (job.title.as_str(), job.scenes, job.failures),
            ("Rain", 4, 0)
        );
        assert_eq!(job.worker, Kind::Any);
    }

    #[test]
    fn what_is_wrong_with_a_wish_is_said() {
        for (body, field) in [
            (r#"{"title":"  "}"#, Some("title")),
            (r#"{"title":"a","scenes":0}"#, Some("scenes")),
            (r#"{"title":"a","scenes":51}"#, Some("scenes")),
            (r#"{"title":"a","failures":11}"#, Some("failures")),
            (r#"{"title":"a","scene":1}"#, None),
            ("[", None),
        ] {
            let error = Wish::read(body.as_bytes()).unwrap_err();
            assert_eq!(error.code(), Code::InvalidBody, "{body}");
            let details = error.object().details().get("field");
            assert_eq!(details.and_then(|field| field.as_str()), field, "{body}");
        }
    }
}

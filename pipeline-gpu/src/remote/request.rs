//! What is to be rendered.

use std::fmt;

use bytes::Bytes;
use reqwest::Url;
use serde_json::{Map, Value, json};

use super::error::RemoteError;

/// A picture or a voice: either it lies on the web, or it is uploaded.
#[derive(Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Media {
    /// Where the renderer finds it.
    Url(String),
    /// What is uploaded before.
    Upload {
        /// The file's name, as `portrait.png`.
        name: String,
        /// Its type, as `image/png`.
        content_type: String,
        /// Its bytes.
        bytes: Bytes,
    },
}

impl Media {
    /// What lies on the web.
    pub fn url(url: impl Into<String>) -> Self {
        Self::Url(url.into())
    }

    /// What is uploaded before.
    pub fn upload(
        name: impl Into<String>,
        content_type: impl Into<String>,
        bytes: impl Into<Bytes>,
    ) -> Self {
        Self::Upload {
            name: name.into(),
            content_type: content_type.into(),
            bytes: bytes.into(),
        }
    }
}

impl fmt::Debug for Media {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // The links of others may be signed as well.
            Self::Url(_) => f.write_str("Url(..)"),
            Self::Upload { name, bytes, .. } => {
                write!(f, "Upload({name:?}, {} bytes)", bytes.len())
            }
        }
    }
}

/// A job to be submitted.
///
/// ```
/// use pipeline_gpu::remote::{Media, RenderRequest};
///
/// let picture = Media::url("https://example.com/face.png");
/// let voice = Media::upload("voice.mp3", "audio/mpeg", vec![0xFF, 0xFB]);
/// let request = RenderRequest::new(picture, voice)
///     .webhook("https://example.com/hooks/talks")
///     .user_data("task-17")
///     .config("stitch", true);
/// # drop(request);
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct RenderRequest {
    pub(super) image: Media,
    pub(super) audio: Media,
    webhook: Option<String>,
    name: Option<String>,
    user_data: Option<String>,
    config: Map<String, Value>,
}

impl RenderRequest {
    /// The most characters of [`user_data`](Self::user_data).
    pub const MAX_USER_DATA: usize = 1_000;

    /// A job for this picture and this voice.
    #[must_use]
    pub fn new(image: Media, audio: Media) -> Self {
        Self {
            image,
            audio,
            webhook: None,
            name: None,
            user_data: None,
            config: Map::new(),
        }
    }

    /// Sets the URL, by https, that is told of the job's end.
    #[must_use]
    pub fn webhook(mut self, url: impl Into<String>) -> Self {
        self.webhook = Some(url.into());
        self
    }

    /// Sets the name of the video.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.name = Some(name.into());
        self
    }

    /// Sets what comes back with every answer, up to 1 000 characters. It is kept by the renderer: no
    /// secret belongs here.
    #[must_use]
    pub fn user_data(mut self, data: impl Into<String>) -> Self {
        self.user_data = Some(data.into());
        self
    }

    /// Sets an option of the renderer, as `stitch` or `result_format`.
    #[must_use]
    pub fn config(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.config.insert(name.to_owned(), value.into());
        self
    }

    /// Refuses what the renderer would refuse, before anything is uploaded.
    pub(super) fn check(&self, max_upload: usize) -> Result<(), RemoteError> {
        for (field, media) in [("image", &self.image), ("audio", &self.audio)] {
            match media {
                Media::Url(url) => {
                    let is_web = Url::parse(url)
                        .is_ok_and(|url| matches!(url.scheme(), "http" | "https" | "s3"));
                    if !is_web {
                        return Err(RemoteError::Input {
                            field,
                            expected: "a URL by https, http or s3".to_owned(),
                        });
                    }
                }
                Media::Upload { bytes, .. } => {
                    if bytes.is_empty() || bytes.len() > max_upload {
                        return Err(RemoteError::Input {
                            field,
                            expected: format!("1 to {max_upload} bytes, not {}", bytes.len()),
                        });
                    }
                }
            }
        }
        if let Some(url) = &self.webhook
            && !Url::parse(url).is_ok_and(|url| url.scheme() == "https")
        {
            return Err(RemoteError::Input {
                field: "webhook",
                expected: "a URL by https".to_owned(),
            });
        }
        let length = self
            .user_data
            .as_ref()
            .map_or(0, |data| data.chars().count());
        if length > Self::MAX_USER_DATA {
            return Err(RemoteError::Input {
                field: "user_data",
                expected: format!("up to {} characters, not {length}", Self::MAX_USER_DATA),
            });
        }
        Ok(())
    }

    /// The body of `POST /talks`, with both media on the web.
    pub(super) fn body(&self, image: &str, audio: &str) -> Value {
        let mut body = json!({
            "source_url": image,
            "script": { "type": "audio", "audio_url": audio },
        });
        let optional = [
            ("webhook", &self.webhook),
            ("name", &self.name),
            ("user_data", &self.user_data),
        ];
        for (name, value) in optional {
            if let Some(value) = value {
                body[name] = json!(value);
            }
        }
        if !self.config.is_empty() {
            body["config"] = Value::Object(self.config.clone());
        }
        body
    }
}

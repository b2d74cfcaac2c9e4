//! What was uploaded, and what is made of it: all on disk, and bounded.

use std::{
    collections::VecDeque,
    path::PathBuf,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use axum::http::{HeaderMap, Uri, header};
use bytes::Bytes;
use pipeline_gpu::{
    Cancel,
    audio::{self, AudioLimits, Sound},
};
use progress_core::TaskId;
use serde_json::{Value, json};
use subtle::ConstantTimeEq as _;
use tempfile::TempDir;
use tokio::sync::Semaphore;

use super::{Key, animate::animate, drive::Drive, messenger::Messenger};

/// A cheap clone.
#[derive(Clone)]
pub(super) struct Jobs(Arc<Shared>);

struct Shared {
    url: String,
    /// What clients have to have.
    key: Key,
    /// Who tells of ends, if anybody.
    messenger: Option<Messenger>,
    folder: TempDir,
    files: Mutex<VecDeque<String>>,
    talks: Mutex<VecDeque<Talk>>,
    at_work: Semaphore,
}

/// What is to be made.
pub(super) struct Order {
    /// The URLs of what it is made of.
    pub(super) image: String,
    pub(super) audio: String,
    pub(super) drive: Option<Drive>,
    /// What is to be told of its end.
    pub(super) webhook: Option<Uri>,
}

struct Talk {
    id: String,
    /// What is said of it.
    said: Value,
    /// Set when it is not kept any more.
    gone: Cancel,
}

impl Drop for Talk {
    fn drop(&mut self) {
        self.gone.cancel();
    }
}

impl Jobs {
    /// The most files, and the most talks: the oldest go first.
    const MOST: usize = 64;
    /// The most bytes of a file.
    pub(super) const LARGEST: usize = 64 << 20;

    pub(super) fn new(
        url: String,
        key: Key,
        messenger: Option<Messenger>,
    ) -> std::io::Result<Self> {
        Ok(Self(Arc::new(Shared {
            url,
            key,
            messenger,
            folder: tempfile::Builder::new().prefix("stand-in-").tempdir()?,
            files: Mutex::default(),
            talks: Mutex::default(),
            at_work: Semaphore::new(2),
        })))
    }

    /// Whether who asks has the key.
    pub(super) fn knows(&self, headers: &HeaderMap) -> bool {
        let expected = format!("Basic {}", self.0.key.0);
        let given = headers.get(header::AUTHORIZATION);
        // What differs is not told by the time that it takes.
        given.is_some_and(|given| given.as_bytes().ct_eq(expected.as_bytes()).into())
    }

    /// Keeps a file; gives its URL.
    pub(super) async fn keep(&self, bytes: Bytes) -> std::io::Result<String> {
        let name = TaskId::random().to_string();
        tokio::fs::write(self.path(&name), bytes).await?;
        let mut files = lock(&self.0.files);
        files.push_back(name.clone());
        if files.len() > Self::MOST
            && let Some(oldest) = files.pop_front()
        {
            // Where it is gone already there is nothing to do.
            let _gone = std::fs::remove_file(self.path(&oldest));
        }
        Ok(format!("{}/files/{name}", self.0.url))
    }

    /// A file by its name; none for what is no name of ours.
    pub(super) async fn file(&self, name: &str) -> Option<Bytes> {
        let name = name.parse::<TaskId>().ok().filter(TaskId::is_random)?;
        let bytes = tokio::fs::read(self.path(name.as_str())).await.ok()?;
        Some(bytes.into())
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.folder.path().join(name)
    }

    pub(super) fn talk(&self, id: &str) -> Option<Value> {
        let talks = lock(&self.0.talks);
        let found = talks.iter().find(|talk| talk.id == id);
        found.map(|talk| talk.said.clone())
    }

    /// Forgets a talk, and stops the work on it.
    pub(super) fn delete(&self, id: &str) -> bool {
        let mut talks = lock(&self.0.talks);
        let place = talks.iter().position(|talk| talk.id == id);
        let deleted = place.and_then(|place| talks.remove(place));
        drop(talks);
        deleted.is_some()
    }

    /// Begins a talk; gives what is said of it.
    pub(super) fn begin(&self, order: Order) -> Value {
        let id = format!("tlk_{}", TaskId::random());
        let talk = json!({ "id": id, "status": "created" });
        let gone = Cancel::new();
        let mut talks = lock(&self.0.talks);
        talks.push_back(Talk {
            id: id.clone(),
            said: talk.clone(),
            gone: gone.clone(),
        });
        let is_full = talks.len() > Self::MOST;
        let oldest = is_full.then(|| talks.pop_front());
        drop(talks);
        drop(oldest);
        let jobs = self.clone();
        tokio::spawn(async move { jobs.work(&id, order, gone).await });
        talk
    }

    async fn work(&self, id: &str, order: Order, gone: Cancel) {
        let place = tokio::select! {
            biased;
            () = gone.cancelled() => return,
            place = self.0.at_work.acquire() => place,
        };
        let Ok(place) = place else { return };
        self.say(id, json!({ "id": id, "status": "started" }));
        let Order {
            image,
            audio,
            drive,
            webhook,
        } = order;
        let made = self.make(&image, &audio, drive, gone.clone()).await;
        drop(place);
        let talk = match made {
            Ok((url, seconds)) => {
                json!({ "id": id, "status": "done", "result_url": url, "duration": seconds })
            }
            Err((kind, description)) => {
                let error = json!({ "kind": kind, "description": description });
                json!({ "id": id, "status": "error", "error": error })
            }
        };
        self.say(id, talk.clone());
        if let (Some(messenger), Some(url)) = (&self.0.messenger, webhook) {
            // Of what was deleted nothing is told.
            tokio::select! {
                biased;
                () = gone.cancelled() => {}
                () = messenger.tell(&url, &talk) => {}
            }
        }
    }

    /// Changes what is said of a talk, unless it was deleted.
    fn say(&self, id: &str, talk: Value) {
        let mut talks = lock(&self.0.talks);
        if let Some(known) = talks.iter_mut().find(|known| known.id == id) {
            known.said = talk;
        }
    }

    async fn make(
        &self,
        image: &str,
        audio: &str,
        drive: Option<Drive>,
        gone: Cancel,
    ) -> Result<(String, f64), (&'static str, String)> {
        let lost = |what: &str| ("InvalidUrlError", format!("the {what} is not here"));
        let image = self.uploaded(image).await.ok_or_else(|| lost("image"))?;
        let audio = self.uploaded(audio).await.ok_or_else(|| lost("audio"))?;
        let render = move || {
            let format = image::ImageFormat::Png;
            let picture = image::load_from_memory_with_format(&image, format)
                .map_err(|error| ("ImageError", error.to_string()))?;
            let drive = match drive {
                Some(drive) => drive,
                None => heard(&audio).map_err(|error| ("AudioError", error.to_string()))?,
            };
            let video = animate(&picture.into_rgba8(), &drive, || !gone.is_cancelled())
                .map_err(|error| ("InternalError", error.to_string()))?;
            let seconds = drive.open.len() as f64 / Drive::FPS;
            Ok::<_, (&str, String)>((video, seconds))
        };
        let rendered = tokio::task::spawn_blocking(render).await;
        let broken = |error: &dyn std::fmt::Display| ("InternalError", error.to_string());
        let (video, seconds) = rendered.map_err(|error| broken(&error))??;
        let url = self
            .keep(video.into())
            .await
            .map_err(|error| broken(&error))?;
        Ok((url, seconds))
    }

    /// What was uploaded here; what lies elsewhere is not fetched.
    async fn uploaded(&self, url: &str) -> Option<Bytes> {
        let name = url.strip_prefix(&self.0.url)?.strip_prefix("/files/")?;
        self.file(name).await
    }
}

fn heard(audio: &[u8]) -> Result<Drive, audio::AudioError> {
    let sound = audio::decode(audio, &AudioLimits::default())?;
    Drive::of_sound(&sound.resampled(Sound::VOICE_RATE)?)
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test]
    async fn a_talk_that_is_deleted_is_rendered_no_further() {
        let jobs = Jobs::new("http://here".to_owned(), Key::random(), None).unwrap();
        let mut png = std::io::Cursor::new(Vec::new());
        let picture = image::RgbaImage::new(400, 400);
        picture.write_to(&mut png, image::ImageFormat::Png).unwrap();
        let image = jobs.keep(png.into_inner().into()).await.unwrap();
        let drive = Drive {
            open: vec![0.5; Drive::FRAMES],
            mouth: None,
        };
        let talk = jobs.begin(Order {
            audio: image.clone(),
            image,
            drive: Some(drive),
            webhook: None,
        });
        let id = talk["id"].as_str().unwrap();
        let tick = || tokio::time::sleep(Duration::from_millis(1));
        while jobs.talk(id).unwrap()["status"] == "created" {
            tick().await;
        }
        assert!(jobs.delete(id));
        while jobs.0.at_work.available_permits() < 2 {
            tick().await;
        }
        // What it was made of, and no video.
        assert_eq!(lock(&jobs.0.files).len(), 1);
    }
}

//! Exports: archives of what was approved.

use std::sync::Arc;

use progress_core::{TaskError, TaskId, Timestamp};

use super::{AsOf, Hub, State, newest};
use crate::{
    archive::{self, Entry},
    channel::Channel,
    events::{ExportCompleted, ExportFailed, ExportStarted},
    record::{Export, ExportState, Photo, PhotoState},
    refusal::Refusal,
    store::Stored,
};

impl Hub {
    /// Has an archive of a session's approved pictures written in the background.
    pub(crate) fn export(&self, session: &str) -> Result<Export, Refusal> {
        let mut state = self.state();
        if !state.sessions.contains_key(session) {
            return Err(Refusal::not_found("session"));
        }
        self.make_room_for_export(&mut state)?;
        let approved =
            |photo: &&Photo| photo.session_id == session && photo.state == PhotoState::Approved;
        let entries: Vec<Entry> = state
            .photos
            .values()
            .filter(approved)
            .map(Entry::of)
            .collect();
        let export = Export {
            export_id: TaskId::random().to_string(),
            session_id: session.to_owned(),
            state: ExportState::Running,
            photos: entries.len(),
            url: None,
            error: None,
            created_at: Timestamp::now(),
            file: None,
        };
        let id = export.export_id.clone();
        state.exports.insert(id.clone(), export.clone());
        self.tell(ExportStarted {
            export_id: id.clone(),
            session_id: session.to_owned(),
            photos: export.photos,
        });
        drop(state);
        let hub = self.clone();
        tokio::spawn(async move { hub.write_export(&id, entries).await });
        Ok(export)
    }

    async fn write_export(&self, id: &str, entries: Vec<Entry>) {
        let written = match self.shared.exporting.acquire().await {
            Ok(_turn) => {
                let store = self.store().clone();
                let write = move || archive::write(&store, &entries);
                tokio::task::spawn_blocking(write).await
            }
            // It is never closed.
            Err(_) => return,
        };
        let written = written.unwrap_or_else(|panic| {
            tracing::error!(%panic, "an export panicked");
            Err(TaskError::new(
                "INTERNAL",
                "the archive could not be written",
            ))
        });
        let mut state = self.state();
        let Some(export) = state.exports.get_mut(id) else {
            return;
        };
        let (export_id, session_id) = (id.to_owned(), export.session_id.clone());
        match written {
            Ok(archive) => {
                let url = format!("/api/exports/{id}/file");
                export.state = ExportState::Completed;
                export.url = Some(url.clone());
                self.tell(ExportCompleted {
                    export_id,
                    session_id,
                    photos: export.photos,
                    bytes: archive.file.bytes(),
                    sha256: archive.sha256,
                    url,
                });
                export.file = Some(Arc::new(archive.file));
            }
            Err(error) => {
                export.state = ExportState::Failed;
                export.error = Some(error.clone());
                self.tell(ExportFailed {
                    export_id,
                    session_id,
                    error,
                });
            }
        }
    }

    pub(crate) fn exports(&self, limit: usize) -> AsOf<Vec<Export>> {
        let state = self.state();
        let exports = newest(state.exports.values(), limit);
        self.as_of(Channel::Export, &state, exports)
    }

    pub(crate) fn export_file(&self, id: &str) -> Result<Arc<Stored>, Refusal> {
        let state = self.state();
        let file = state.exports.get(id).and_then(|export| export.file.clone());
        file.ok_or_else(|| Refusal::not_found("export"))
    }

    fn make_room_for_export(&self, state: &mut State) -> Result<(), Refusal> {
        let limit = self.bounds().exports;
        if state.exports.len() < limit {
            return Ok(());
        }
        let over = |export: &&Export| export.state != ExportState::Running;
        let Some(oldest) = state.exports.values().find(over) else {
            let message = "there are as many exports under way as there can be";
            return Err(Refusal::full("TOO_MANY_EXPORTS", limit as u64, message));
        };
        let oldest = oldest.export_id.clone();
        state.exports.shift_remove(&oldest);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use progress_core::ProgressTracker;

    use super::*;
    use crate::bounds::Bounds;

    async fn until_over(hub: &Hub, id: &str) {
        let is_over = || {
            let state = hub.state();
            let export = state.exports.get(id);
            export.is_none_or(|export| export.state != ExportState::Running)
        };
        while !is_over() {
            tokio::task::yield_now().await;
        }
    }

    // On one thread: what is spawned does not run until it is waited for.
    #[tokio::test]
    async fn exports_that_are_over_make_room_and_those_that_run_do_not() {
        let bounds = Bounds {
            exports: 2,
            ..Bounds::default()
        };
        let hub = Hub::new(ProgressTracker::new(), bounds).unwrap();
        let session = hub.create_session("Lake", "").unwrap().session_id;
        let first = hub.export(&session).unwrap().export_id;
        let second = hub.export(&session).unwrap().export_id;
        let full = hub.export(&session).unwrap_err().into_error();
        assert_eq!(full.code(), "TOO_MANY_EXPORTS");
        assert!(full.is_retryable());
        until_over(&hub, &second).await;
        until_over(&hub, &first).await;
        let third = hub.export(&session).unwrap().export_id;
        let state = hub.state();
        let known: Vec<_> = state.exports.keys().collect();
        assert_eq!(known, [&second, &third]);
    }

    #[tokio::test]
    async fn an_export_that_cannot_be_written_says_so() {
        let hub = Hub::new(ProgressTracker::new(), Bounds::default()).unwrap();
        let session = hub.create_session("Lake", "").unwrap().session_id;
        let file = hub.store().keep(hub.store().file().unwrap()).unwrap();
        let (photo, file) = hub.import_photo("job", &session, "a.png", file);
        hub.state().photos[&photo].state = PhotoState::Approved;
        std::fs::remove_file(file.path()).unwrap();
        let export = hub.export(&session).unwrap().export_id;
        until_over(&hub, &export).await;
        let known = hub.state().exports[&export].clone();
        assert_eq!(known.state, ExportState::Failed);
        assert_eq!(known.error.unwrap().code(), "EXPORT_FAILED");
        let refused = hub.export_file(&export).unwrap_err().into_error();
        assert_eq!(refused.code(), "EXPORT_NOT_FOUND");
    }
}

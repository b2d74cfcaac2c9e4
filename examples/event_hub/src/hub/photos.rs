//! Pictures: their arrival, what is found in them, and what reviewers say.

use std::sync::Arc;

use demo::analysis::ImageFacts;
use progress_core::{TaskId, Timestamp};

use super::{AsOf, Hub, State, newest, short};
use crate::{
    channel::Channel,
    events::{
        ApprovalQueueUpdated, PhotoAnalyzed, PhotoApproved, PhotoImported, PhotoRejected,
        PhotoSelected,
    },
    record::{Photo, PhotoState},
    refusal::Refusal,
    store::Stored,
};

/// What was found in a picture.
#[derive(Debug)]
pub(crate) struct Found {
    pub(crate) sha256: String,
    pub(crate) facts: ImageFacts,
    pub(crate) thumbnail: Stored,
}

/// A reviewer's word.
#[derive(Debug, Clone)]
pub(crate) enum Decision {
    Approve,
    Reject { reason: Option<String> },
}

impl Hub {
    /// Takes a picture for which there [was room](Hub::create_job).
    pub(crate) fn import_photo(
        &self,
        job: &str,
        session: &str,
        name: &str,
        file: Stored,
    ) -> (String, Arc<Stored>) {
        let mut state = self.state();
        let id = TaskId::random().to_string();
        let photo = Photo {
            photo_id: id.clone(),
            session_id: session.to_owned(),
            job_id: job.to_owned(),
            name: name.to_owned(),
            bytes: file.bytes(),
            state: PhotoState::Imported,
            selected: false,
            sha256: None,
            facts: None,
            decided_by: None,
            reason: None,
            imported_at: Timestamp::now(),
            file: Arc::new(file),
            thumbnail: None,
        };
        let file = Arc::clone(&photo.file);
        self.tell(PhotoImported {
            photo_id: id.clone(),
            session_id: photo.session_id.clone(),
            job_id: photo.job_id.clone(),
            name: photo.name.clone(),
            bytes: photo.bytes,
        });
        state.photos.insert(id.clone(), photo);
        (id, file)
    }

    pub(crate) fn analyzed(&self, id: &str, found: Found) -> Result<(), Refusal> {
        let mut state = self.state();
        // Its session may have been forgotten meanwhile.
        let photo = state.photo(id)?;
        let facts = Arc::new(found.facts);
        photo.state = PhotoState::Pending;
        photo.sha256 = Some(found.sha256.clone());
        photo.facts = Some(Arc::clone(&facts));
        photo.thumbnail = Some(Arc::new(found.thumbnail));
        self.tell(PhotoAnalyzed {
            photo_id: id.to_owned(),
            session_id: photo.session_id.clone(),
            sha256: found.sha256,
            width: facts.width,
            height: facts.height,
            format: facts.format.clone(),
            colours: facts
                .colours
                .iter()
                .map(|colour| colour.hex.clone())
                .collect(),
            blurhash: facts.blurhash.clone(),
            sharpness: facts.sharpness.score,
        });
        self.tell_approvals(&state);
        Ok(())
    }

    /// Forgets a picture that is none.
    pub(crate) fn discard(&self, id: &str) {
        self.state().photos.shift_remove(id);
    }

    /// Says yes or no to a picture. Saying the same again changes nothing and is not told.
    pub(crate) fn decide(&self, id: &str, decision: &Decision, by: &str) -> Result<Photo, Refusal> {
        let (wanted, reason) = match decision {
            Decision::Approve => (PhotoState::Approved, None),
            Decision::Reject { reason: None } => (PhotoState::Rejected, None),
            Decision::Reject { reason: Some(text) } => {
                let reason = short("reason", text, self.bounds().reason)?;
                (PhotoState::Rejected, Some(reason))
            }
        };
        let mut state = self.state();
        let photo = state.analyzed_photo(id)?;
        if photo.state == wanted && photo.reason == reason {
            return Ok(photo.clone());
        }
        photo.state = wanted;
        photo.reason.clone_from(&reason);
        photo.decided_by = Some(by.to_owned());
        let photo = photo.clone();
        let (photo_id, session_id) = (photo.photo_id.clone(), photo.session_id.clone());
        let (by, decided_at) = (by.to_owned(), Timestamp::now());
        match wanted {
            PhotoState::Approved => self.tell(PhotoApproved {
                photo_id,
                session_id,
                by,
                decided_at,
            }),
            _ => self.tell(PhotoRejected {
                photo_id,
                session_id,
                by,
                decided_at,
                reason,
            }),
        }
        self.tell_approvals(&state);
        Ok(photo)
    }

    pub(crate) fn select(&self, id: &str, selected: bool, by: &str) -> Result<Photo, Refusal> {
        let mut state = self.state();
        let photo = state.analyzed_photo(id)?;
        if photo.selected != selected {
            photo.selected = selected;
            self.tell(PhotoSelected {
                photo_id: id.to_owned(),
                session_id: photo.session_id.clone(),
                selected,
                by: by.to_owned(),
            });
        }
        Ok(photo.clone())
    }

    pub(crate) fn photos(&self, session: Option<&str>, limit: usize) -> AsOf<Vec<Photo>> {
        let state = self.state();
        let of_session = |photo: &&Photo| session.is_none_or(|id| photo.session_id == id);
        let photos = newest(state.photos.values().filter(of_session), limit);
        self.as_of(Channel::Photos, &state, photos)
    }

    pub(crate) fn thumbnail(&self, id: &str) -> Result<Arc<Stored>, Refusal> {
        let mut state = self.state();
        let thumbnail = state.photo(id)?.thumbnail.clone();
        thumbnail.ok_or_else(|| Refusal::not_found("thumbnail"))
    }

    /// How it stands with approvals.
    pub(crate) fn approvals(&self) -> AsOf<ApprovalQueueUpdated> {
        let state = self.state();
        self.as_of(Channel::Approval, &state, approvals(&state))
    }

    pub(super) fn tell_approvals(&self, state: &State) {
        self.tell(approvals(state));
    }
}

impl State {
    fn photo(&mut self, id: &str) -> Result<&mut Photo, Refusal> {
        let photo = self.photos.get_mut(id);
        photo.ok_or_else(|| Refusal::not_found("photo"))
    }

    fn analyzed_photo(&mut self, id: &str) -> Result<&mut Photo, Refusal> {
        let photo = self.photo(id)?;
        match photo.state {
            PhotoState::Imported => Err(Refusal::conflict(
                "NOT_ANALYZED",
                "the picture is still being analysed",
            )),
            _ => Ok(photo),
        }
    }
}

fn approvals(state: &State) -> ApprovalQueueUpdated {
    let mut queue = ApprovalQueueUpdated {
        pending: 0,
        approved: 0,
        rejected: 0,
        next: Vec::new(),
    };
    for photo in state.photos.values() {
        match photo.state {
            PhotoState::Imported => {}
            PhotoState::Approved => queue.approved += 1,
            PhotoState::Rejected => queue.rejected += 1,
            PhotoState::Pending => {
                queue.pending += 1;
                if queue.next.len() < ApprovalQueueUpdated::SHOWN {
                    queue.next.push(photo.photo_id.clone());
                }
            }
        }
    }
    queue
}

#[cfg(test)]
mod tests {
    use progress_core::ProgressTracker;

    use super::*;
    use crate::bounds::Bounds;

    #[test]
    fn a_picture_that_is_still_analysed_is_not_judged_yet() {
        let hub = Hub::new(ProgressTracker::new(), Bounds::default()).unwrap();
        let session = hub.create_session("Lake", "").unwrap().session_id;
        let file = hub.store().file().unwrap();
        let file = hub.store().keep(file).unwrap();
        let (photo, _) = hub.import_photo("job", &session, "a.png", file);
        let refused = [
            hub.decide(&photo, &Decision::Approve, "ada").err(),
            hub.select(&photo, true, "ada").err(),
            hub.thumbnail(&photo).err(),
        ];
        let codes = refused.map(|refused| refused.unwrap().into_error().code().to_owned());
        assert_eq!(
            codes,
            ["NOT_ANALYZED", "NOT_ANALYZED", "THUMBNAIL_NOT_FOUND"]
        );
    }
}

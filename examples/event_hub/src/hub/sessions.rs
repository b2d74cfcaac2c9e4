//! Sessions: what pictures belong to.

use progress_core::{TaskId, Timestamp};

use super::{AsOf, Hub, State, newest, short};
use crate::{
    channel::Channel,
    events::{SessionCompleted, SessionCreated, SessionUpdated},
    record::{PhotoState, Session, SessionState},
    refusal::Refusal,
};

impl Hub {
    pub(crate) fn create_session(&self, name: &str, note: &str) -> Result<Session, Refusal> {
        let (name, note) = (self.name(name)?, self.note(note)?);
        let mut state = self.state();
        self.make_room(&mut state)?;
        let now = Timestamp::now();
        let session = Session {
            session_id: TaskId::random().to_string(),
            name,
            note,
            state: SessionState::Open,
            created_at: now,
            updated_at: now,
        };
        let id = session.session_id.clone();
        state.sessions.insert(id, session.clone());
        self.tell(SessionCreated {
            session_id: session.session_id.clone(),
            name: session.name.clone(),
            created_at: now,
        });
        Ok(session)
    }

    /// Changes what is given. What is as it was is not told.
    pub(crate) fn update_session(
        &self,
        id: &str,
        name: Option<&str>,
        note: Option<&str>,
    ) -> Result<Session, Refusal> {
        let name = name.map(|name| self.name(name)).transpose()?;
        let note = note.map(|note| self.note(note)).transpose()?;
        let mut state = self.state();
        let session = state.session(id)?;
        let before = (session.name.clone(), session.note.clone());
        session.name = name.unwrap_or_else(|| before.0.clone());
        session.note = note.unwrap_or_else(|| before.1.clone());
        if (&session.name, &session.note) != (&before.0, &before.1) {
            session.updated_at = Timestamp::now();
            self.tell(SessionUpdated {
                session_id: id.to_owned(),
                name: session.name.clone(),
                note: session.note.clone(),
                updated_at: session.updated_at,
            });
        }
        Ok(session.clone())
    }

    /// From now on it takes no pictures; those that are on their way still come.
    pub(crate) fn complete_session(&self, id: &str) -> Result<Session, Refusal> {
        let mut state = self.state();
        let session = state.open_session(id)?;
        session.state = SessionState::Completed;
        session.updated_at = Timestamp::now();
        let session = session.clone();
        let photos = || state.photos.values().filter(|photo| photo.session_id == id);
        let count = |wanted| photos().filter(|photo| photo.state == wanted).count();
        self.tell(SessionCompleted {
            session_id: id.to_owned(),
            photos: photos().count(),
            approved: count(PhotoState::Approved),
            rejected: count(PhotoState::Rejected),
            completed_at: session.updated_at,
        });
        Ok(session)
    }

    pub(crate) fn sessions(&self, limit: usize) -> AsOf<Vec<Session>> {
        let state = self.state();
        let sessions = newest(state.sessions.values(), limit);
        self.as_of(Channel::Sessions, &state, sessions)
    }

    fn name(&self, name: &str) -> Result<String, Refusal> {
        let name = short("name", name, self.bounds().name)?;
        match name.is_empty() {
            true => Err(Refusal::field("name", "name is empty")),
            false => Ok(name),
        }
    }

    fn note(&self, note: &str) -> Result<String, Refusal> {
        short("note", note, self.bounds().note)
    }

    /// Forgets the oldest completed session, where there are as many as there can be.
    fn make_room(&self, state: &mut State) -> Result<(), Refusal> {
        let limit = self.bounds().sessions;
        if state.sessions.len() < limit {
            return Ok(());
        }
        let mut sessions = state.sessions.values();
        let Some(oldest) = sessions.find(|session| session.state == SessionState::Completed) else {
            let message = "there are as many sessions as there can be, and none is completed";
            return Err(Refusal::full("TOO_MANY_SESSIONS", limit as u64, message));
        };
        let oldest = oldest.session_id.clone();
        state.sessions.shift_remove(&oldest);
        state.photos.retain(|_, photo| photo.session_id != oldest);
        self.tell_approvals(state);
        Ok(())
    }
}

impl State {
    fn session(&mut self, id: &str) -> Result<&mut Session, Refusal> {
        let session = self.sessions.get_mut(id);
        session.ok_or_else(|| Refusal::not_found("session"))
    }

    pub(super) fn open_session(&mut self, id: &str) -> Result<&mut Session, Refusal> {
        let session = self.session(id)?;
        match session.state {
            SessionState::Open => Ok(session),
            SessionState::Completed => Err(Refusal::conflict(
                "SESSION_COMPLETED",
                "the session is completed",
            )),
        }
    }
}

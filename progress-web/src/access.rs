//! The access log: an event of `tracing` for each request that is answered, and for each connection
//! that is over.
//!
//! What it tells is learned on the way to an answer, by whoever comes to know it. It is kept with the
//! task that answers ([`answering`]), so that nobody has to hand it on.
//!
//! Nothing that a client chooses can forge a line or hide in one: a route is told as its pattern, a
//! method by name only if it is a known one, a task if it is a valid id, and a subject as a quoted
//! text. The query is never told.

use std::{borrow::Cow, cell::RefCell, net::IpAddr, time::Duration};

use http::{Method, StatusCode, request::Parts};
use progress_core::{TaskError, TaskId};
use tokio::time::Instant;
use tracing::Level;

use crate::{
    auth::{Action, Principal},
    error::Code,
    time::millis,
    trace::TraceId,
};

/// What is known of the request that a task answers.
struct Asked {
    trace: Option<TraceId>,
    learned: RefCell<Learned>,
}

#[derive(Default)]
struct Learned {
    action: Option<&'static str>,
    task: Option<TaskId>,
    subject: Option<String>,
    code: Option<Code>,
}

tokio::task_local! {
    static ASKED: Asked;
}

/// Answers a request: what is learned meanwhile is about it.
pub(crate) async fn answering<F: Future>(trace: Option<TraceId>, answer: F) -> F::Output {
    let asked = Asked {
        trace,
        learned: RefCell::default(),
    };
    ASKED.scope(asked, answer).await
}

/// The trace that the request is part of.
pub(crate) fn trace() -> Option<TraceId> {
    ASKED.try_with(|asked| asked.trace).ok().flatten()
}

/// It was decided whether somebody may do something. Of several questions the first is what the request is about.
pub(crate) fn decided(action: &Action, allowed: Option<&Principal>) {
    learn(|learned| {
        if learned.action.is_none() {
            learned.action = Some(action.kind());
            learned.task = match action {
                Action::Watch(task) | Action::Publish(task) | Action::Cancel(task) => {
                    Some(task.clone())
                }
                _ => None,
            };
        }
        if let Some(principal) = allowed
            && learned.subject.is_none()
        {
            learned.subject.clone_from(&principal.subject);
        }
    });
}

/// The answer is an error: names its trace in it.
pub(crate) fn refused(code: Code, error: &TaskError) -> Cow<'_, TaskError> {
    learn(|learned| learned.code = Some(code));
    traced(trace(), error)
}

/// An error object with the trace that explains it.
pub(crate) fn traced(trace: Option<TraceId>, error: &TaskError) -> Cow<'_, TaskError> {
    match trace {
        Some(trace) => Cow::Owned(error.clone().trace_id(trace.to_string())),
        None => Cow::Borrowed(error),
    }
}

fn learn(learn: impl FnOnce(&mut Learned)) {
    // Else it was asked on behalf of an open connection, which answers no request any more.
    let _not_here = ASKED.try_with(|asked| learn(&mut asked.learned.borrow_mut()));
}

/// Writes an event with fields known beforehand at a level that is not.
macro_rules! event {
    ($level:expr, $($field:tt)*) => {
        match $level {
            Level::WARN => tracing::event!(target: "progress::access", Level::WARN, $($field)*),
            Level::INFO => tracing::event!(target: "progress::access", Level::INFO, $($field)*),
            _ => tracing::event!(target: "progress::access", Level::DEBUG, $($field)*),
        }
    };
}

/// The request is answered. What went well is told to those who look for it; what did not, to all.
pub(crate) fn answered(
    route: &'static str,
    request: &Parts,
    client: Option<IpAddr>,
    status: StatusCode,
    took: Duration,
) {
    let level = match status.as_u16() {
        500.. => Level::WARN,
        400.. => Level::INFO,
        _ => Level::DEBUG,
    };
    let told = ASKED.try_with(|asked| {
        let learned = asked.learned.borrow();
        event!(
            level,
            route,
            method = method_name(&request.method),
            status = status.as_u16(),
            duration_ms = millis(took),
            action = learned.action,
            task = learned.task.as_ref().map(tracing::field::display),
            subject = learned.subject.as_ref().map(tracing::field::debug),
            code = learned.code.map(Code::as_str),
            client = client.map(tracing::field::display),
            trace_id = asked.trace.map(tracing::field::display),
            "answered"
        );
    });
    debug_assert!(told.is_ok(), "a request is answered within `answering`");
}

/// The method's name, if it is one that some route takes: clients can make methods up.
pub(crate) fn method_name(method: &Method) -> &str {
    match *method {
        Method::GET | Method::HEAD | Method::POST | Method::DELETE => method.as_str(),
        _ => "other",
    }
}

/// What is told of a connection when it is over, that is, dropped.
#[derive(Debug)]
pub(crate) struct SessionLog {
    kind: &'static str,
    began: Instant,
    frames: u64,
    code: Option<u16>,
    subject: Option<String>,
    pub(crate) trace: Option<TraceId>,
}

impl SessionLog {
    /// Of a connection that the request opens which is being answered.
    pub(crate) fn new(kind: &'static str) -> Self {
        Self {
            kind,
            began: Instant::now(),
            frames: 0,
            code: None,
            subject: None,
            trace: trace(),
        }
    }

    pub(crate) fn frames(&mut self, count: u64) {
        self.frames += count;
    }

    pub(crate) fn subject(&mut self, subject: &str) {
        if self.subject.as_deref() != Some(subject) {
            self.subject = Some(subject.to_owned());
        }
    }

    /// The server has closed it, be it by its carrier.
    pub(crate) fn closed(&mut self, code: u16) {
        self.code = Some(code);
    }
}

impl Drop for SessionLog {
    fn drop(&mut self) {
        // Who goes away, or has seen the end, is no news.
        let level = match self.code {
            None | Some(1000) => Level::DEBUG,
            Some(_) => Level::INFO,
        };
        event!(
            level,
            kind = self.kind,
            duration_ms = millis(self.began.elapsed()),
            close_code = self.code,
            frames = self.frames,
            subject = self.subject.as_ref().map(tracing::field::debug),
            trace_id = self.trace.map(tracing::field::display),
            "closed"
        );
    }
}

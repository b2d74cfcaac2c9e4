//! Where the connections live: on the runtime that the transport was made on, else on a thread of
//! their own. Not on whatever runtime asks first: that one may know no sockets, or be gone soon.

use std::{convert::Infallible, thread};

use tokio::{
    runtime::{Builder, Handle},
    select,
    sync::oneshot,
    task::JoinHandle,
};

#[derive(Debug)]
pub(crate) struct Home(Option<Handle>);

/// Work that goes on until this is dropped.
#[derive(Debug)]
pub(crate) enum Running {
    Task(JoinHandle<()>),
    Thread(oneshot::Sender<Infallible>),
}

impl Home {
    pub(crate) fn here() -> Self {
        Self(Handle::try_current().ok())
    }

    pub(crate) fn run(&self, work: impl Future<Output = ()> + Send + 'static) -> Running {
        if let Some(runtime) = &self.0 {
            return Running::Task(runtime.spawn(work));
        }
        let (running, dropped) = oneshot::channel::<Infallible>();
        let body = move || match Builder::new_current_thread().enable_all().build() {
            Ok(runtime) => runtime.block_on(async {
                select! {
                    () = work => {}
                    _ = dropped => {}
                }
            }),
            Err(error) => tracing::error!(%error, "no connection to Redis without a runtime"),
        };
        let started = thread::Builder::new().name("progress-redis".to_owned());
        if let Err(error) = started.spawn(body) {
            tracing::error!(%error, "no connection to Redis without a thread");
        }
        Running::Thread(running)
    }
}

impl Running {
    /// Tells whether it has ended: with its runtime.
    pub(crate) fn is_over(&self) -> bool {
        match self {
            Self::Task(task) => task.is_finished(),
            Self::Thread(running) => running.is_closed(),
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if let Self::Task(task) = self {
            task.abort();
        }
    }
}

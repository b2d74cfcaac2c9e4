//! Work beside the callers: on the runtime that is current, else on a thread of its own.

use std::future::Future;

#[cfg(not(all(test, loom)))]
use tokio::runtime::{Builder, Handle};
use tokio::task::JoinHandle;

/// Models do by themselves what is done in the background.
#[cfg(all(test, loom))]
pub(crate) fn spawn(
    _name: &'static str,
    _work: impl Future<Output = ()> + Send + 'static,
) -> Option<JoinHandle<()>> {
    None
}

/// Runs a future in the background. The handle is none if it runs on a thread, where it ends by
/// itself.
#[cfg(not(all(test, loom)))]
pub(crate) fn spawn(
    name: &'static str,
    work: impl Future<Output = ()> + Send + 'static,
) -> Option<JoinHandle<()>> {
    if let Ok(runtime) = Handle::try_current() {
        return Some(runtime.spawn(work));
    }
    let started = std::thread::Builder::new()
        .name(name.to_owned())
        .spawn(
            move || match Builder::new_current_thread().enable_time().build() {
                Ok(runtime) => runtime.block_on(work),
                Err(error) => tracing::error!(%error, name, "background work does not run"),
            },
        );
    if let Err(error) = started {
        tracing::error!(%error, name, "background work does not run");
    }
    None
}

//! A process that the launcher has started: it says when it is ready, and ends with the launcher.

use std::{
    io::{Read as _, Write as _, stdin, stdout},
    thread,
};

use tokio::sync::oneshot;

/// Tells the launcher, in one line, what this process is and which.
pub(crate) fn ready(what: &str, pid: u32) -> std::io::Result<()> {
    let mut out = stdout().lock();
    writeln!(out, "{what} pid {pid}")?;
    out.flush()
}

/// Waits until the launcher wants this process to end, or is gone itself, however it went: then the
/// standard input is closed. Also for SIGTERM, for who starts this process by hand.
///
/// Ctrl-C in a terminal comes to the launcher alone, for its children are process groups of their
/// own: what ends when is its to say.
pub(crate) async fn told_to_end() {
    let (closed, is_closed) = oneshot::channel::<()>();
    // A thread, and not the runtime's standard input, whose last read would hold the process.
    thread::spawn(move || {
        let mut byte = [0];
        while matches!(stdin().read(&mut byte), Ok(1)) {}
        drop(closed);
    });
    tokio::select! {
        _ = is_closed => {}
        () = terminated() => {}
    }
}

/// Waits for Ctrl-C or, on Unix, SIGTERM.
pub(crate) async fn terminated() {
    let heard = async {
        #[cfg(unix)]
        {
            let mut terminate =
                tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())?;
            tokio::select! {
                stopped = tokio::signal::ctrl_c() => stopped,
                _ = terminate.recv() => Ok(()),
            }
        }
        #[cfg(not(unix))]
        tokio::signal::ctrl_c().await
    };
    if let Err(error) = heard.await {
        tracing::warn!(%error, "signals are not heard");
        std::future::pending().await
    }
}

//! The video, from the renderer to a file.

use std::{path::Path, sync::Mutex};

use http::header::{CONTENT_ENCODING, CONTENT_LENGTH};
use reqwest::{Response, Url};
use tempfile::NamedTempFile;
use tokio::{fs::File, io::AsyncWriteExt as _, time::timeout};

use super::{
    call::{Repeat, refusal},
    error::RemoteError,
    link::ResultLink,
    reach::Astray,
    renderer::Renderer,
};
use crate::Cancel;

impl Renderer {
    /// Writes a result to a file; gives its size in bytes. `told` hears how many bytes there are, and
    /// how many there will be if that is known; it begins anew when the download does.
    ///
    /// The file is there whole or not at all: it is written beside its place under another name, and
    /// takes it at the end. What was there before is replaced. The key is not sent.
    ///
    /// # Errors
    ///
    /// [`RemoteError::ResultTooLarge`] as soon as that is known, [`RemoteError::ResultIncomplete`] if
    /// the connection was lost as often as [attempts](super::RendererBuilder::attempts) are made,
    /// [`RemoteError::File`] if it cannot be written, [`RemoteError::Cancelled`] once the flag is
    /// set, [`RemoteError::Timeout`] after the [job's time](super::RendererBuilder::job_timeout), in
    /// all, [`RemoteError::Answer`] if the result is empty, or the link, or one that it redirects to, is
    /// none by https or leads [where it may not](super::RendererBuilder::results_nearby);
    /// [`RemoteError::Unauthorized`] if the link is not accepted (any more), though no key is sent, and
    /// else what answers and the network are turned into, as [`RemoteError::Refused`].
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, nothing is left of the file.
    pub async fn download(
        &self,
        link: &ResultLink,
        file: &Path,
        cancel: &Cancel,
        told: impl FnMut(u64, Option<u64>),
    ) -> Result<u64, RemoteError> {
        let url = self.check_link(link)?;
        // One attempt at a time calls it; the lock only says so to the compiler.
        let told = Mutex::new(told);
        let tell = |bytes, expected| {
            if let Ok(mut told) = told.lock() {
                told(bytes, expected);
            }
        };
        let limit = self.settings().job_timeout;
        let fetched = self
            .settings()
            .call(Repeat::Always, || self.fetch(&url, file, &tell));
        tokio::select! {
            biased;
            () = cancel.cancelled() => Err(RemoteError::Cancelled),
            result = timeout(limit, fetched) => result.unwrap_or(Err(RemoteError::Timeout {
                what: "the download of the result",
                limit,
            })),
        }
    }

    fn check_link(&self, link: &ResultLink) -> Result<Url, RemoteError> {
        let url = Url::parse(link.as_str()).map_err(|_| not_followed(Astray::Scheme))?;
        self.reach().check(&url).map_err(not_followed)?;
        Ok(url)
    }

    async fn fetch(
        &self,
        url: &Url,
        file: &Path,
        tell: &impl Fn(u64, Option<u64>),
    ) -> Result<u64, RemoteError> {
        let settings = self.settings();
        let lost = |error| match Astray::of(&error) {
            Some(astray) => not_followed(astray),
            None => RemoteError::of_transport(&error, "the result", settings.request_timeout),
        };
        let mut response = self.plain().get(url.clone()).send().await.map_err(lost)?;
        if !response.status().is_success() {
            return Err(refusal(response.status(), response.headers(), b""));
        }
        let expected = length(&response);
        let too_large = RemoteError::ResultTooLarge {
            limit: settings.max_result,
        };
        if expected.is_some_and(|expected| expected > settings.max_result) {
            return Err(too_large);
        }
        let part = Part::beside(file)?;
        let mut writer = part.writer()?;
        let mut bytes = 0;
        loop {
            let chunk = match response.chunk().await {
                Ok(Some(chunk)) => chunk,
                Ok(None) => break,
                Err(error) if error.is_timeout() => return Err(lost(error)),
                Err(_) => return Err(RemoteError::ResultIncomplete { bytes }),
            };
            bytes += chunk.len() as u64;
            if bytes > settings.max_result {
                return Err(too_large);
            }
            writer.write_all(&chunk).await?;
            tell(bytes, expected);
        }
        if expected.is_some_and(|expected| expected != bytes) {
            return Err(RemoteError::ResultIncomplete { bytes });
        }
        if bytes == 0 {
            return Err(RemoteError::Answer {
                reason: "the result is empty".to_owned(),
            });
        }
        writer.flush().await?;
        writer.sync_all().await?;
        drop(writer);
        part.finish(file)?;
        Ok(bytes)
    }
}

fn not_followed(astray: Astray) -> RemoteError {
    RemoteError::Answer {
        reason: astray.to_string(),
    }
}

/// How many bytes will come, unless they are packed.
fn length(response: &Response) -> Option<u64> {
    let headers = response.headers();
    if headers.contains_key(CONTENT_ENCODING) {
        return None;
    }
    headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
}

/// A file that is gone unless it is finished.
struct Part(NamedTempFile);

impl Part {
    fn beside(file: &Path) -> Result<Self, RemoteError> {
        let folder = match file.parent() {
            Some(folder) if !folder.as_os_str().is_empty() => folder,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        // As any new file: who serves the video is often another user.
        #[cfg(unix)]
        {
            use std::os::unix::fs::PermissionsExt as _;
            builder.permissions(std::fs::Permissions::from_mode(0o666));
        }
        let part = builder.prefix(".").suffix(".part").tempfile_in(folder)?;
        Ok(Self(part))
    }

    fn writer(&self) -> Result<File, RemoteError> {
        Ok(File::from_std(self.0.as_file().try_clone()?))
    }

    fn finish(self, file: &Path) -> Result<(), RemoteError> {
        let kept = self.0.persist(file).map_err(|error| error.error)?;
        drop(kept);
        Ok(())
    }
}

//! Uploads in chunks, which come in any order, more than once, and from where one has left off.

use std::{
    collections::HashMap,
    ops::RangeInclusive,
    path::Path,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::{
    body::{Body, Bytes},
    http::StatusCode,
};
use demo::{
    analysis::{Kind, Source},
    refusal::Refusal,
};
use futures_util::{Stream, StreamExt as _};
use progress_core::{Reporter, TaskError, TaskId};
use serde::Serialize;
use tempfile::{NamedTempFile, TempPath};
use tokio::{
    fs::OpenOptions,
    io::{AsyncSeekExt as _, AsyncWriteExt as _},
    time::{Instant, sleep_until, timeout},
};

use crate::{
    batch::{Batch, Listed},
    item::{Arrived, Incoming},
};

/// Bounds of uploads in chunks.
#[derive(Debug, Clone)]
pub struct ChunkLimits {
    /// Bytes of a file (default 10 GiB).
    pub file: u64,
    /// Bytes of a chunk, but for the last one (default 8 MiB). At least one; files of more than
    /// 100 000 chunks are refused.
    pub chunk: u64,
    /// Uploads at a time (default 64).
    pub uploads: usize,
    /// Bytes of all uploads together, as they were announced (default 20 GiB).
    pub disk: u64,
    /// How long nothing may come before an upload is given up (default 10 min).
    pub abandoned_after: Duration,
    /// How long a client may send nothing in the middle of a chunk (default 30 s).
    pub idle: Duration,
}

impl Default for ChunkLimits {
    fn default() -> Self {
        Self {
            file: 10 * 1024 * MIB,
            chunk: 8 * MIB,
            uploads: 64,
            disk: 20 * 1024 * MIB,
            abandoned_after: Duration::from_secs(600),
            idle: Duration::from_secs(30),
        }
    }
}

/// All uploads in chunks of a process. A cheap clone.
#[derive(Debug, Clone)]
pub(crate) struct Uploads {
    limits: Arc<ChunkLimits>,
    live: Arc<Mutex<HashMap<TaskId, Arc<Upload>>>>,
}

/// An upload, from its announcement to the end of its item.
#[derive(Debug)]
pub(crate) struct Upload {
    item: Listed,
    batch: TaskId,
    size: u64,
    chunk: u64,
    sha256: Option<String>,
    file: Box<Path>,
    reporter: Reporter,
    idle: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    /// Which chunks are there.
    have: Vec<bool>,
    /// Bytes, those of chunks on their way included.
    received: u64,
    touched: Instant,
    /// Until it is complete.
    incoming: Option<(Incoming, TempPath, Batch)>,
}

/// What there is of an upload.
#[derive(Debug, Serialize)]
pub(crate) struct Standing {
    upload_id: TaskId,
    media_id: TaskId,
    name: String,
    size: u64,
    chunk_size: u64,
    chunks: usize,
    received: u64,
    /// First and last of each run of chunks that is there.
    present: Vec<(usize, usize)>,
    /// First and last of each run of chunks that is not.
    missing: Vec<(usize, usize)>,
    complete: bool,
}

impl Uploads {
    pub(crate) fn new(limits: ChunkLimits) -> Self {
        Self {
            limits: Arc::new(limits),
            live: Arc::default(),
        }
    }

    /// Makes place for an upload that was announced, and then joins a batch.
    pub(crate) fn start(
        &self,
        join: impl FnOnce() -> Result<Batch, Refusal>,
        item: Listed,
        size: u64,
        sha256: Option<String>,
        folder: &Path,
    ) -> Result<Arc<Upload>, Refusal> {
        let limits = &self.limits;
        let chunks = size.div_ceil(limits.chunk);
        if size > limits.file || chunks > MOST_CHUNKS {
            let most = limits.file.min(MOST_CHUNKS.saturating_mul(limits.chunk));
            return Err(Refusal::too_large("The file", most).detail("field", "size"));
        }
        let mut live = lock(&self.live);
        let taken: u64 = live.values().map(|upload| upload.size).sum();
        if live.len() >= limits.uploads || taken.saturating_add(size) > limits.disk {
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "TOO_MANY_UPLOADS",
                "There is no room for another upload now",
            ));
        }
        let kept = NamedTempFile::new_in(folder).map_err(|error| Refusal::internal(&error))?;
        // The holes take no room on disk.
        kept.as_file()
            .set_len(size)
            .map_err(|error| Refusal::internal(&error))?;
        let kind = Kind::detect(&item.name, None, &[]);
        let batch = join()?;
        let incoming = batch.add(item.clone(), kind)?;
        let kept = kept.into_temp_path();
        let upload = Arc::new(Upload {
            batch: batch.id().clone(),
            size,
            chunk: limits.chunk,
            sha256,
            file: kept.to_path_buf().into(),
            reporter: incoming.upload().clone(),
            idle: limits.idle,
            state: Mutex::new(State {
                have: vec![false; usize::try_from(chunks).unwrap_or(usize::MAX)],
                received: 0,
                touched: Instant::now(),
                incoming: Some((incoming, kept, batch)),
            }),
            item,
        });
        live.insert(upload.item.task_id.clone(), Arc::clone(&upload));
        tokio::spawn(self.clone().look_after(Arc::clone(&upload)));
        Ok(upload)
    }

    pub(crate) fn find(&self, id: &str) -> Result<Arc<Upload>, Refusal> {
        let id: Option<TaskId> = id.parse().ok();
        let found = id.and_then(|id| lock(&self.live).get(&id).cloned());
        found.ok_or_else(|| {
            Refusal::new(
                StatusCode::NOT_FOUND,
                "UPLOAD_NOT_FOUND",
                "There is no such upload, or it is over",
            )
        })
    }

    /// Gives an upload up if nobody goes on with it, and forgets it once its item has ended.
    async fn look_after(self, upload: Arc<Upload>) {
        loop {
            let until = upload.state().touched + self.limits.abandoned_after;
            tokio::select! {
                // Also when it has ended.
                () = upload.reporter.cancelled() => break,
                () = sleep_until(until) => {}
            }
            let mut state = upload.state();
            if state.touched + self.limits.abandoned_after > Instant::now() {
                continue;
            }
            if let Some((incoming, _file, _batch)) = state.incoming.take() {
                incoming.fail(abandoned(self.limits.abandoned_after));
                break;
            }
            // Complete: its analysis may take as long as it likes.
            state.touched = Instant::now();
        }
        // The file goes with it, unless the analysis has it.
        upload.state().incoming = None;
        lock(&self.live).remove(&upload.item.task_id);
    }
}

impl Upload {
    pub(crate) fn batch_id(&self) -> &TaskId {
        &self.batch
    }

    pub(crate) fn size(&self) -> u64 {
        self.size
    }

    pub(crate) fn id(&self) -> &TaskId {
        &self.item.task_id
    }

    pub(crate) fn standing(&self) -> Standing {
        let state = self.state();
        Standing {
            upload_id: self.item.task_id.clone(),
            media_id: self.item.task_id.clone(),
            name: self.item.name.clone(),
            size: self.size,
            chunk_size: self.chunk,
            chunks: state.have.len(),
            received: state.received,
            present: runs(&state.have, true),
            missing: runs(&state.have, false),
            complete: state.incoming.is_none(),
        }
    }

    /// Where a chunk lies in the file, its last byte included.
    pub(crate) fn range(&self, number: usize) -> Result<RangeInclusive<u64>, Refusal> {
        let chunks = self.size.div_ceil(self.chunk);
        match u64::try_from(number) {
            Ok(number) if number < chunks => {
                let first = number * self.chunk;
                Ok(first..=(first + self.chunk).min(self.size) - 1)
            }
            _ => Err(Refusal::new(
                StatusCode::BAD_REQUEST,
                "INVALID_CHUNK",
                format!("The chunks are numbered from 0 to {}", chunks - 1),
            )
            .detail("field", "n")
            .detail("limit", chunks - 1)),
        }
    }

    /// Takes a chunk as it comes. One that is there already is read and forgotten; one that breaks
    /// off leaves the upload as it was.
    pub(crate) async fn take(&self, number: usize, body: Body) -> Result<(), Refusal> {
        let range = self.range(number)?;
        let length = range.end() - range.start() + 1;
        let mut pieces = body.into_data_stream();
        if self.begin(number)? {
            while self.next(&mut pieces).await?.is_some() {}
            return Ok(());
        }
        let mut flying = Flying {
            upload: self,
            bytes: 0,
        };
        let opened = OpenOptions::new().write(true).open(&self.file).await;
        let mut file = opened.map_err(|error| Refusal::internal(&error))?;
        let sought = file.seek(std::io::SeekFrom::Start(*range.start())).await;
        sought.map_err(|error| Refusal::internal(&error))?;
        while let Some(piece) = self.next(&mut pieces).await? {
            flying.count(piece.len() as u64);
            if flying.bytes > length {
                return Err(wrong_length(length));
            }
            file.write_all(&piece)
                .await
                .map_err(|error| Refusal::internal(&error))?;
        }
        if flying.bytes < length {
            return Err(wrong_length(length));
        }
        file.flush()
            .await
            .map_err(|error| Refusal::internal(&error))?;
        flying.landed(number);
        Ok(())
    }

    /// All chunks are there: the item goes on to its analysis. Once it has, this changes nothing.
    pub(crate) fn complete(&self) -> Result<(), Refusal> {
        let mut state = self.state();
        let missing = runs(&state.have, false);
        if !missing.is_empty() {
            return Err(Refusal::new(
                StatusCode::CONFLICT,
                "UPLOAD_INCOMPLETE",
                "Not all chunks have arrived",
            )
            .detail("missing", serde_json::json!(missing)));
        }
        let Some((incoming, kept, _batch)) = state.incoming.take() else {
            return Ok(());
        };
        incoming.arrived(Arrived {
            source: Source::new(kept.to_path_buf(), self.item.name.clone()),
            kept,
            sha256: self.sha256.clone(),
        });
        Ok(())
    }

    /// Whether a chunk that is about to come is there already.
    fn begin(&self, number: usize) -> Result<bool, Refusal> {
        let mut state = self.state();
        state.touched = Instant::now();
        let there = state.have[number];
        match &state.incoming {
            Some((incoming, _, _)) if !incoming.is_over() => incoming.begin(),
            _ if there => {}
            _ => {
                return Err(Refusal::new(
                    StatusCode::CONFLICT,
                    "UPLOAD_OVER",
                    "The upload takes no more chunks",
                ));
            }
        }
        Ok(there)
    }

    async fn next(
        &self,
        pieces: &mut (impl Stream<Item = Result<Bytes, axum::Error>> + Unpin),
    ) -> Result<Option<Bytes>, Refusal> {
        let Ok(piece) = timeout(self.idle, pieces.next()).await else {
            return Err(Refusal::stalled(self.idle));
        };
        self.state().touched = Instant::now();
        piece.transpose().map_err(|error| {
            let why = format!("The chunk broke off: {error}");
            Refusal::new(StatusCode::BAD_REQUEST, "INVALID_CHUNK", why)
        })
    }

    fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }
}

/// A chunk on its way: its bytes count at once, and no more if it does not arrive.
struct Flying<'a> {
    upload: &'a Upload,
    bytes: u64,
}

impl Flying<'_> {
    fn count(&mut self, bytes: u64) {
        self.bytes += bytes;
        let mut state = self.upload.state();
        state.received += bytes;
        self.upload
            .reporter
            .set(state.received.min(self.upload.size));
    }

    fn landed(mut self, number: usize) {
        let mut state = self.upload.state();
        if !std::mem::replace(&mut state.have[number], true) {
            self.bytes = 0;
        }
    }
}

impl Drop for Flying<'_> {
    fn drop(&mut self) {
        self.upload.state().received -= self.bytes;
    }
}

/// The runs of equal flags, first and last included.
fn runs(have: &[bool], wanted: bool) -> Vec<(usize, usize)> {
    let mut at = 0;
    let mut runs = Vec::new();
    for run in have.chunk_by(|one, next| one == next) {
        if run[0] == wanted {
            runs.push((at, at + run.len() - 1));
        }
        at += run.len();
    }
    runs
}

fn wrong_length(length: u64) -> Refusal {
    Refusal::new(
        StatusCode::BAD_REQUEST,
        "INVALID_CHUNK",
        format!("This chunk has {length} bytes"),
    )
    .detail("limit", length)
}

fn abandoned(after: Duration) -> TaskError {
    TaskError::new(
        "UPLOAD_ABANDONED",
        format!("Nothing more was sent for {} s", after.as_secs()),
    )
    .retryable(true)
    .solution("Send the file again and leave the page open until it has arrived")
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

const MIB: u64 = 1024 * 1024;
/// What is known of an upload stays small.
const MOST_CHUNKS: u64 = 100_000;

#[cfg(test)]
mod tests {
    use super::runs;

    #[test]
    fn runs_are_those_of_the_wanted_kind() {
        let have = [true, true, false, true, false, false];
        assert_eq!(runs(&have, true), [(0, 1), (3, 3)]);
        assert_eq!(runs(&have, false), [(2, 2), (4, 5)]);
        assert_eq!(runs(&[], true), []);
    }
}

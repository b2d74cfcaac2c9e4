//! How much the hub takes.

use std::time::Duration;

/// Bounds of the hub. What is past one is refused with its limit, and nothing else is lost.
#[derive(Debug, Clone)]
pub struct Bounds {
    /// Sessions (1 000). Past it the oldest completed one goes, with its pictures; where none is
    /// completed it is 503 `TOO_MANY_SESSIONS`.
    pub sessions: usize,
    /// Pictures, with those that jobs are still to bring (10 000); then 503 `TOO_MANY_PHOTOS`.
    pub photos: usize,
    /// Jobs that wait (100); then 503 `TOO_MANY_JOBS`.
    pub waiting: usize,
    /// Jobs that are over and still listed (1 000). The oldest go.
    pub ended: usize,
    /// Exports (20). The oldest that are over go, with their files; where all run it is 503
    /// `TOO_MANY_EXPORTS`.
    pub exports: usize,
    /// Jobs at work (2).
    pub workers: usize,
    /// Bytes of one picture (20 MiB); then 413.
    pub file: u64,
    /// Pictures of one job (100); then 413 `TOO_MANY_FILES`.
    pub files: usize,
    /// Uploads at a time (8); then 503 `TOO_MANY_UPLOADS`.
    pub uploads: usize,
    /// How long an upload may send nothing (30 s); then 408 `UPLOAD_STALLED`.
    pub stalled: Duration,
    /// Bytes of all pictures, thumbnails and archives (4 GiB); then 503 `STORE_FULL`.
    pub stored: u64,
    /// Characters of a session's name (120) and note (2 000), and of a reason (500).
    pub name: usize,
    pub note: usize,
    pub reason: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Self {
            sessions: 1_000,
            photos: 10_000,
            waiting: 100,
            ended: 1_000,
            exports: 20,
            workers: 2,
            file: 20 * MIB,
            files: 100,
            uploads: 8,
            stalled: Duration::from_secs(30),
            stored: 4 * 1024 * MIB,
            name: 120,
            note: 2_000,
            reason: 500,
        }
    }
}

impl Bounds {
    /// Bytes of a request with pictures: all it may hold, and what multipart puts around them.
    pub(crate) fn request(&self) -> u64 {
        (self.file * self.files as u64).min(self.stored) + MIB
    }
}

const MIB: u64 = 1024 * 1024;

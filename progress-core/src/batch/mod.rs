//! Work in batches: many items at a time as children of one task, and attempts that are repeated.
//!
//! [`Reporter::for_each_tracked`](crate::Reporter::for_each_tracked) runs a bounded number of items
//! at a time, each as a task of its own; [`retry()`] repeats what failed and may succeed later, each
//! failure visible. Together they are a batch in which one broken item does not stop the others:
//!
//! ```
//! use progress_core::{
//!     ChildPolicy, ProgressTracker, TaskError,
//!     batch::{RetryPolicy, retry},
//! };
//!
//! async fn fetch(url: &str) -> Result<usize, TaskError> {
//!     match url {
//!         "/broken" => Err(TaskError::new("NOT_FOUND", "There is no such file")),
//!         _ => Ok(url.len()),
//!     }
//! }
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().build()?.block_on(async {
//! let tracker = ProgressTracker::new();
//! let task = tracker.task("import-7").start()?;
//! let urls = ["/a", "/broken", "/c"];
//! let items = urls.iter().enumerate().map(|(n, url)| {
//!     let child = task.child(format!("import-7.{n}"), "files").name(url);
//!     (child, *url)
//! });
//! let batch = task
//!     .for_each_tracked(items, 2, ChildPolicy::Partial, |report, url| async move {
//!         retry(&report, RetryPolicy::default(), || fetch(url)).await
//!     })
//!     .await;
//! assert_eq!((batch.completed(), batch.failed()), (2, 1));
//! assert!(batch.is_success());
//! task.finish()?;
//! assert_eq!(tracker.snapshot("import-7.1").await?.error.unwrap().code(), "NOT_FOUND");
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod retry;
mod run;

pub use self::{
    retry::{RetryPolicy, retry},
    run::{Batch, ItemError},
};

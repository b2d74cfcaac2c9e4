//! Where media are analysed: so many at once, again if it may help, and each content only once.

use std::{fmt, sync::Arc};

use demo::{
    analysis::{
        Analysis, AnalysisError, ImageFacts, Kind, Limits, Observer, Source, identify, look,
    },
    work::attempt,
};
use progress_core::{
    Reporter, TaskError,
    batch::{RetryPolicy, retry},
};
use quick_cache::sync::Cache;
use serde::Serialize;
use tokio::sync::Semaphore;

/// Finds out what can be seen in a file of which the checksum is known: [`demo::analysis::look`],
/// unless a test has another one. It may block.
pub trait Analyser: Send + Sync + 'static {
    /// Analyses the file; see [`demo::analysis::look`].
    ///
    /// # Errors
    ///
    /// One that [may be tried again](AnalysisError::is_retryable) is.
    fn analyse(
        &self,
        source: &Source,
        file: Analysis,
        observer: &mut dyn Observer,
    ) -> Result<Analysis, AnalysisError>;
}

impl<F> Analyser for F
where
    F: Fn(&Source, Analysis, &mut dyn Observer) -> Result<Analysis, AnalysisError>
        + Send
        + Sync
        + 'static,
{
    fn analyse(
        &self,
        source: &Source,
        file: Analysis,
        observer: &mut dyn Observer,
    ) -> Result<Analysis, AnalysisError> {
        self(source, file, observer)
    }
}

/// The analysis of the demo, within its limits.
///
/// # Errors
///
/// As [`demo::analysis::look`].
pub fn see(
    source: &Source,
    file: Analysis,
    observer: &mut dyn Observer,
) -> Result<Analysis, AnalysisError> {
    look(source, file, &Limits::default(), observer)
}

/// Where all media of a process are analysed. A cheap clone.
#[derive(Clone)]
pub(crate) struct Studio {
    shared: Arc<Shared>,
}

struct Shared {
    places: Arc<Semaphore>,
    analyser: Arc<dyn Analyser>,
    retries: RetryPolicy,
    results: Cache<Content, Option<Arc<ImageFacts>>>,
}

/// The same bytes under a name that promises a picture are judged as one.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Content {
    sha256: String,
    kind: Kind,
}

/// What came of an item: the result of its task.
#[derive(Debug, Serialize)]
pub(crate) struct Found {
    #[serde(flatten)]
    analysis: Analysis,
    /// Whether another item had the same content and this one was not analysed again.
    cached: bool,
}

impl Studio {
    pub(crate) fn new(
        at_once: usize,
        results: usize,
        retries: RetryPolicy,
        analyser: Arc<dyn Analyser>,
    ) -> Self {
        Self {
            shared: Arc::new(Shared {
                places: Arc::new(Semaphore::new(at_once)),
                analyser,
                retries,
                results: Cache::new(results),
            }),
        }
    }

    /// Analyses a file; the attempts and steps show below `reporter`. Dropping the future gives up,
    /// and whoever waits for the same content goes on with it.
    pub(crate) async fn analyse(
        &self,
        reporter: &Reporter,
        source: Source,
        sha256: Option<&str>,
    ) -> Result<Found, TaskError> {
        let source = Arc::new(source);
        retry(reporter, self.shared.retries, || {
            self.attempt(reporter, &source, sha256)
        })
        .await
    }

    async fn attempt(
        &self,
        reporter: &Reporter,
        source: &Arc<Source>,
        sha256: Option<&str>,
    ) -> Result<Found, TaskError> {
        let hashed = Arc::clone(source);
        let read =
            move |observer: &mut dyn Observer| Ok((identify(&hashed, observer)?, hashed.kind()?));
        let (file, kind) = self.in_place(reporter, read).await?;
        if let Some(promised) = sha256
            && !promised.eq_ignore_ascii_case(&file.sha256)
        {
            return Err(checksum_mismatch(promised, &file.sha256));
        }
        let content = Content {
            sha256: file.sha256.clone(),
            kind,
        };
        let mut cached = true;
        // Of several with the same content one goes on, and the others wait for what it finds.
        let fresh = async {
            cached = false;
            let (source, file) = (Arc::clone(source), file.clone());
            let analyser = Arc::clone(&self.shared.analyser);
            let analyse =
                move |observer: &mut dyn Observer| analyser.analyse(&source, file, observer);
            let analysis = self.in_place(reporter, analyse).await?;
            Ok::<_, TaskError>(analysis.image.map(Arc::new))
        };
        let results = &self.shared.results;
        let image = results.get_or_insert_async(&content, fresh).await?;
        let mut analysis = file;
        analysis.image = image.as_deref().cloned();
        Ok(Found { analysis, cached })
    }

    /// Waits for a place, and works there. The place is held by the work, not by who waits for it.
    async fn in_place<T: Send + 'static>(
        &self,
        reporter: &Reporter,
        work: impl FnOnce(&mut dyn Observer) -> Result<T, AnalysisError> + Send + 'static,
    ) -> Result<T, TaskError> {
        let places = &self.shared.places;
        let place = match Arc::clone(places).try_acquire_owned() {
            Ok(place) => Ok(place),
            Err(_) => {
                reporter.metadata(WAITING, true);
                let place = Arc::clone(places).acquire_owned().await;
                reporter.metadata(WAITING, false);
                place
            }
        };
        let never = || false;
        attempt(reporter, STEPS, never, move |observer| {
            let _place = place;
            work(observer)
        })
        .await
    }
}

impl fmt::Debug for Studio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Studio")
            .field("places", &self.shared.places.available_permits())
            .field("results", &self.shared.results.len())
            .finish_non_exhaustive()
    }
}

fn checksum_mismatch(promised: &str, found: &str) -> TaskError {
    TaskError::new(
        "CHECKSUM_MISMATCH",
        "What arrived is not what was to be sent: the checksums differ",
    )
    .detail("promised", promised)
    .detail("found", found)
    .solution("Check that the file does not change while it is sent, then send it again")
}

/// Where the steps of the analysis stand.
const STEPS: &str = "analyze/";
/// The metadata that tells that an item waits for its turn.
const WAITING: &str = "waiting";

//! Describes a pipeline, stage by stage.

use std::{fmt, marker::PhantomData, sync::Arc, time::Duration};

use progress_core::Limits;
use tokio::runtime::Handle;

use super::{
    Pipeline,
    aside::{Aside, Room},
    ledger::{Ends, Ledger},
    line::{Holds, Kind, Line},
    shop::{Floor, Plan, Shop, check_name},
    turnstile::Turnstile,
    worker::{Post, deliver, hire},
};
use crate::{
    error::BuildError, pipeline::Parts, prior::Prior, stage::Stage, sync::Mutex, threads::CpuPool,
};

/// Sets up all stages, from the line in front of the first one, and gives the line behind the last.
type Link<In, Cur> = Box<dyn FnOnce(&mut Works, Arc<Line<In>>) -> Arc<Line<Cur>> + Send>;

/// What is set up while a pipeline is built.
struct Works {
    shop: Arc<Shop>,
    lines: Vec<Arc<dyn Holds>>,
}

/// Describes a [`Pipeline`] that takes `In`, and gives `Cur` with the stages that it has so far.
///
/// Options of a stage follow the stage. A stage that does not take what the one before gives does
/// not compile:
///
/// ```compile_fail,E0277
/// use pipeline_gpu::{Context, Pipeline, Stage};
/// use progress_core::TaskError;
///
/// struct Count;
/// struct Shout;
///
/// impl Stage<String, usize> for Count {
///     async fn run(&self, _cx: Context, text: String) -> Result<usize, TaskError> {
///         Ok(text.len())
///     }
/// }
///
/// impl Stage<String, String> for Shout {
///     async fn run(&self, _cx: Context, text: String) -> Result<String, TaskError> {
///         Ok(text.to_uppercase())
///     }
/// }
///
/// // The other way round it would do.
/// let builder = Pipeline::builder("texts").stage("count", Count).stage("shout", Shout);
/// ```
///
/// | Option | Default | Bound |
/// | --- | --- | --- |
/// | of the pipeline: [`waiting`](Self::waiting) | 64 items | 65 536 |
/// | [`deadline`](Self::deadline) | none | |
/// | [`pool`](Self::pool) | that of the process | [`CpuPool::THREADS`] |
/// | [`prior`](Self::prior) | knows nothing | [`Prior::STAGES`] |
/// | of a stage: [`weight`](Self::weight) | 1, until it is learned | 0 to [`Limits::LARGEST_WEIGHT`] |
/// | [`label`](Self::label) | the name | [`Limits::NAME_LEN`] |
/// | [`concurrency`](Self::concurrency) | as [the stage says](Stage::concurrency), mostly 1 | 65 536 |
/// | [`queue`](Self::queue) | 2 items in front of it | 65 536 |
/// | [`unordered`](Self::unordered) | items leave as they came | |
/// | [`grace`](Self::grace) | as [the stage says](Stage::grace), mostly none | |
#[must_use = "a pipeline is built by `build`"]
pub struct PipelineBuilder<In, Cur> {
    name: Arc<str>,
    plans: Vec<Plan>,
    link: Link<In, Cur>,
    waiting: usize,
    deadline: Option<Duration>,
    pool: Option<CpuPool>,
    prior: Prior,
    /// Set by an option that had no stage to be of.
    misplaced: bool,
    _items: PhantomData<fn(In) -> Cur>,
}

impl<In: Send + 'static> PipelineBuilder<In, In> {
    pub(super) fn new(name: &str) -> Self {
        Self {
            name: Arc::from(name),
            plans: Vec::new(),
            link: Box::new(|_, first| first),
            waiting: 64,
            deadline: None,
            pool: None,
            prior: Prior::new(),
            misplaced: false,
            _items: PhantomData,
        }
    }
}

impl<In, Cur> PipelineBuilder<In, Cur> {
    /// The most stages that a pipeline can have.
    pub const STAGES: usize = 64;
    /// The most items that can wait in one line, or be worked on by one stage.
    pub const ITEMS: usize = 65_536;

    /// Sets how many items can wait for the first stage (default 64, from 1 to
    /// [`ITEMS`](Self::ITEMS)). More are [refused](crate::Refusal::Full).
    ///
    /// Each learns its place whenever it changes, as an event of its task.
    pub fn waiting(mut self, items: usize) -> Self {
        self.waiting = items;
        self
    }

    /// Sets how long an item has from when it is taken to when it is through (default for ever).
    /// One that is late fails with `DEADLINE_EXCEEDED`, wherever it is.
    pub fn deadline(mut self, time: Duration) -> Self {
        self.deadline = Some(time);
        self
    }

    /// Sets the pool that [`blocking`](crate::blocking) stages run on (default
    /// [that of the process](CpuPool::shared)).
    pub fn pool(mut self, pool: &CpuPool) -> Self {
        self.pool = Some(pool.clone());
        self
    }

    /// Sets what is known of how long stages take (default nothing).
    pub fn prior(mut self, prior: Prior) -> Self {
        self.prior = prior;
        self
    }

    /// Sets the newest stage's share of the whole, relative to the others' (default 1), as long as
    /// there are too few runs to [learn](Prior::ENOUGH) it from.
    pub fn weight(self, weight: f64) -> Self {
        self.option(|plan| plan.weight = weight)
    }

    /// Sets what the newest stage is called by people (default its name).
    pub fn label(self, label: &str) -> Self {
        self.option(|plan| plan.label = Some(Arc::from(label)))
    }

    /// Sets how many items the newest stage works on at a time (default as
    /// [the stage says](Stage::concurrency)).
    pub fn concurrency(self, items: usize) -> Self {
        self.option(|plan| plan.concurrency = items)
    }

    /// Sets how many items can wait between the stage before and the newest one (default 2). When
    /// it is full, the stage before waits. For the first stage see [`waiting`](Self::waiting).
    pub fn queue(self, items: usize) -> Self {
        self.option(|plan| plan.queue = items)
    }

    /// Has items leave the newest stage as soon as they are done (default in the order in which they
    /// came to it), for stages that work on several at a time and take long for some.
    pub fn unordered(self) -> Self {
        self.option(|plan| plan.ordered = false)
    }

    /// Sets how long the newest stage may go on with an item that is to stop (default as
    /// [the stage says](Stage::grace)). Then it is dropped.
    pub fn grace(self, time: Duration) -> Self {
        self.option(|plan| plan.grace = time)
    }

    fn option(mut self, set: impl FnOnce(&mut Plan)) -> Self {
        match self.plans.last_mut() {
            Some(plan) => set(plan),
            None => self.misplaced = true,
        }
        self
    }
}

impl<In, Cur> PipelineBuilder<In, Cur>
where
    In: Send + 'static,
    Cur: Send + 'static,
{
    /// Adds a stage, which takes what the stage before gives. Its name is its path in the task.
    pub fn stage<Next, S>(self, name: &str, stage: S) -> PipelineBuilder<In, Next>
    where
        S: Stage<Cur, Next>,
        Next: Send + 'static,
    {
        let index = self.plans.len();
        let before = self.link;
        let mut plans = self.plans;
        plans.push(Plan {
            name: Arc::from(name),
            label: None,
            weight: 1.0,
            concurrency: stage.concurrency(),
            queue: 2,
            ordered: true,
            grace: stage.grace(),
            opaque: stage.is_opaque(),
        });
        PipelineBuilder {
            name: self.name,
            plans,
            link: Box::new(move |works, first| {
                let source = before(works, first);
                works.set_up(index, stage, &source)
            }),
            waiting: self.waiting,
            deadline: self.deadline,
            pool: self.pool,
            prior: self.prior,
            misplaced: self.misplaced,
            _items: PhantomData,
        }
    }

    /// Builds the pipeline, and starts its workers on the current tokio runtime.
    ///
    /// # Errors
    ///
    /// [`BuildError`] if it has no stage, a name or a number is out of bounds, or there is no
    /// runtime.
    pub fn build(self) -> Result<Pipeline<In, Cur>, BuildError> {
        self.check()?;
        let runtime = Handle::try_current().map_err(|_| BuildError::NoRuntime)?;
        let ledger = Arc::new(Ledger::new());
        let done = ledger.done.clone();
        let aside = Aside::new(self.waiting);
        let first = Arc::new(Line::new(
            Kind::First,
            self.waiting,
            turnstile(&self.plans[0]),
            Room::new(self.plans[0].concurrency, &aside),
            done.clone(),
        ));
        let shop = Arc::new(Shop {
            name: self.name,
            plans: self.plans,
            ends: Arc::clone(&ledger) as Arc<dyn Ends>,
            prior: Mutex::new(self.prior),
            pool: self.pool.unwrap_or_else(|| CpuPool::shared().clone()),
            aside,
            done,
        });
        let mut works = Works {
            shop: Arc::clone(&shop),
            lines: vec![Arc::clone(&first) as Arc<dyn Holds>],
        };
        let last = (self.link)(&mut works, Arc::clone(&first));
        deliver(last, Arc::clone(&ledger));
        let floor = Arc::new(Floor {
            shop,
            lines: works.lines,
        });
        Ok(Pipeline::new(Parts {
            floor,
            ledger,
            first,
            waiting: self.waiting,
            deadline: self.deadline,
            runtime,
        }))
    }

    fn check(&self) -> Result<(), BuildError> {
        if self.misplaced || self.plans.is_empty() {
            return Err(BuildError::NoStage);
        }
        if self.plans.len() > Self::STAGES {
            return Err(BuildError::TooManyStages {
                limit: Self::STAGES,
            });
        }
        check_items("waiting", None, self.waiting)?;
        for (index, plan) in self.plans.iter().enumerate() {
            check_name(&plan.name)?;
            if self.plans[..index]
                .iter()
                .any(|other| other.name == plan.name)
            {
                return Err(BuildError::Duplicate {
                    name: plan.name.to_string(),
                });
            }
            check_items("concurrency", Some(plan), plan.concurrency)?;
            check_items("queue", Some(plan), plan.queue)?;
            if !(0.0..=Limits::LARGEST_WEIGHT).contains(&plan.weight) {
                return Err(out_of_bounds("weight", Some(plan), Limits::LARGEST_WEIGHT));
            }
            if plan
                .label
                .as_ref()
                .is_some_and(|label| label.len() > Limits::NAME_LEN)
            {
                return Err(out_of_bounds("label", Some(plan), Limits::NAME_LEN as f64));
            }
        }
        Ok(())
    }
}

impl Works {
    fn set_up<S, In, Out>(
        &mut self,
        index: usize,
        stage: S,
        source: &Arc<Line<In>>,
    ) -> Arc<Line<Out>>
    where
        S: Stage<In, Out>,
        In: Send + 'static,
        Out: Send + 'static,
    {
        let (aside, done) = (&self.shop.aside, self.shop.done.clone());
        let next = Arc::new(match self.shop.plans.get(index + 1) {
            Some(plan) => Line::new(
                Kind::Between,
                plan.queue,
                turnstile(plan),
                Room::new(plan.concurrency, aside),
                done,
            ),
            None => Line::new(Kind::Last, 1, None, Room::new(1, aside), done),
        });
        self.lines.push(Arc::clone(&next) as Arc<dyn Holds>);
        let post = Post {
            stage,
            index,
            shop: Arc::clone(&self.shop),
        };
        hire(post, source, &next);
        next
    }
}

fn turnstile(plan: &Plan) -> Option<Arc<Turnstile>> {
    // One worker keeps the order by itself.
    (plan.ordered && plan.concurrency > 1).then(Arc::default)
}

fn check_items(field: &'static str, plan: Option<&Plan>, items: usize) -> Result<(), BuildError> {
    let limit = PipelineBuilder::<(), ()>::ITEMS;
    match (1..=limit).contains(&items) {
        true => Ok(()),
        false => Err(out_of_bounds(field, plan, limit as f64)),
    }
}

fn out_of_bounds(field: &'static str, plan: Option<&Plan>, limit: f64) -> BuildError {
    BuildError::OutOfBounds {
        field,
        stage: plan.map(|plan| plan.name.to_string()),
        limit,
    }
}

impl<In, Cur> fmt::Debug for PipelineBuilder<In, Cur> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let stages: Vec<_> = self.plans.iter().map(|plan| &plan.name).collect();
        f.debug_struct("PipelineBuilder")
            .field("name", &self.name)
            .field("stages", &stages)
            .field("waiting", &self.waiting)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

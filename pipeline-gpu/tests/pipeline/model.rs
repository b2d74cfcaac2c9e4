//! Whatever happens to items: none is lost, each ends once and as it should, and those that come
//! through do so in their order.

use std::{sync::Once, time::Duration};

use pipeline_gpu::{
    BatchContext, Batched, Context, Pipeline, PipelineBuilder, Run, RunError, Stage,
};
use progress_core::{Data, ProgressTracker, Status, TaskError, batch::RetryPolicy};
use proptest::prelude::*;

use crate::common::{Log, Takes, events, soon};

/// What is to happen to an item at a stage.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Fate {
    Well,
    Fails {
        at: usize,
    },
    Panics {
        at: usize,
    },
    /// Fails once, and is tried again.
    Recovers {
        at: usize,
    },
    Cancelled {
        after: u64,
    },
    Late {
        after: u64,
    },
    Paused {
        after: u64,
        time: u64,
    },
}

#[derive(Debug, Clone)]
struct Layout {
    concurrency: usize,
    queue: usize,
    millis: u64,
    batched: bool,
}

#[derive(Debug, Clone, Copy)]
struct Item {
    n: u32,
    fate: Fate,
}

fn fate() -> impl Strategy<Value = Fate> {
    let at = 0..3_usize;
    let after = 0..40_u64;
    prop_oneof![
        4 => Just(Fate::Well),
        1 => at.clone().prop_map(|at| Fate::Fails { at }),
        1 => at.clone().prop_map(|at| Fate::Panics { at }),
        1 => at.prop_map(|at| Fate::Recovers { at }),
        2 => after.clone().prop_map(|after| Fate::Cancelled { after }),
        1 => after.clone().prop_map(|after| Fate::Late { after }),
        2 => (after.clone(), after).prop_map(|(after, time)| Fate::Paused { after, time }),
    ]
}

fn layout() -> impl Strategy<Value = Layout> {
    (1..4_usize, 1..3_usize, 0..5_u64, any::<bool>()).prop_map(
        |(concurrency, queue, millis, batched)| Layout {
            concurrency,
            queue,
            millis,
            batched,
        },
    )
}

/// Has an item meet its fate, if this is where.
fn meet(item: Item, stage: usize, attempt: u32) -> Result<Item, TaskError> {
    match item.fate {
        Fate::Fails { at } if at == stage => Err(TaskError::new("MEANT", "Meant")),
        Fate::Recovers { at } if at == stage && attempt == 1 => {
            Err(TaskError::new("MEANT", "Meant").retryable(true))
        }
        Fate::Panics { at } if at == stage => panic!("meant"),
        _ => Ok(item),
    }
}

fn add(
    builder: PipelineBuilder<Item, Item>,
    index: usize,
    layout: &Layout,
) -> PipelineBuilder<Item, Item> {
    let name = format!("s{index}");
    let time = Duration::from_millis(layout.millis);
    let policy = RetryPolicy::new().first_delay(Duration::from_millis(3));
    let builder = match layout.batched {
        true => {
            let batch = move |cx: BatchContext, items: Vec<Item>| async move {
                tokio::time::sleep(time).await;
                let attempts = cx.items().iter().map(Context::attempt);
                let met = items.into_iter().zip(attempts);
                // A panic would be everybody's.
                Ok(met
                    .map(|(item, attempt)| match item.fate {
                        Fate::Panics { at } if at == index => Err(TaskError::new("MEANT", "Meant")),
                        _ => meet(item, index, attempt),
                    })
                    .collect())
            };
            builder.stage(&name, Batched::new(batch).max_size(3).retry(policy))
        }
        false => {
            let single = move |cx: Context, item: Item| async move {
                tokio::time::sleep(time).await;
                meet(item, index, cx.attempt())
            };
            let builder = builder.stage(&name, single.retry(policy));
            builder.concurrency(layout.concurrency)
        }
    };
    builder.queue(layout.queue)
}

/// What an item may come to.
fn expected(fate: Fate, result: &Result<u32, RunError>) -> bool {
    let failed_as = |codes: &[&str]| match result {
        Err(RunError::Failed(error)) => codes.contains(&error.code()),
        _ => false,
    };
    match fate {
        Fate::Well | Fate::Recovers { .. } | Fate::Paused { .. } => result.is_ok(),
        Fate::Fails { .. } => failed_as(&["MEANT"]),
        Fate::Panics { .. } => failed_as(&["MEANT", "STAGE_PANICKED"]),
        Fate::Cancelled { .. } => {
            result.is_ok() || matches!(result, Err(RunError::Cancelled { .. }))
        }
        Fate::Late { .. } => result.is_ok() || failed_as(&["DEADLINE_EXCEEDED"]),
    }
}

async fn play(layouts: Vec<Layout>, fates: Vec<Fate>) {
    let tracker = ProgressTracker::new();
    let log = Log::default();
    let base = Pipeline::<Item, Item>::builder("p").waiting(fates.len());
    let pipeline = layouts
        .iter()
        .enumerate()
        .fold(base, |builder, (index, layout)| add(builder, index, layout))
        .stage("number", |_cx: Context, item: Item| async move {
            Ok::<_, TaskError>(item.n)
        })
        .stage("note", Takes::millis(0).noting(&log))
        .build()
        .unwrap();

    let runs = (0..).zip(&fates).map(|(n, &fate)| {
        let item = pipeline.item(Item { n, fate });
        let item = match fate {
            Fate::Late { after } => item.deadline(Duration::from_millis(after)),
            _ => item,
        };
        let run = item.submit(tracker.task(format!("t{n}"))).unwrap();
        tokio::spawn(follow(run, fate))
    });
    for (n, run) in runs.collect::<Vec<_>>().into_iter().enumerate() {
        let result = soon(run).await.unwrap();
        assert!(
            expected(fates[n], &result),
            "{n}: {:?} came to {result:?}",
            fates[n]
        );
        let told: Vec<_> = events(&tracker, &format!("t{n}")).await;
        // Another attempt must not make up for it.
        for event in &told {
            if let Data::Error(error) = event.data() {
                assert_eq!(error.code(), "MEANT", "{n}: {:?}", fates[n]);
            }
        }
        let ends = told.iter().filter_map(|event| match event.data() {
            Data::Complete(complete) => Some(complete.status),
            _ => None,
        });
        let status = match result {
            Ok(_) => Status::Completed,
            Err(RunError::Cancelled { .. }) => Status::Cancelled,
            Err(_) => Status::Failed,
        };
        assert_eq!(ends.collect::<Vec<_>>(), [status], "{n}");
    }
    soon(pipeline.close()).await;
    assert_eq!((pipeline.live(), pipeline.waiting()), (0, 0));

    let ended = log.all().into_iter().filter_map(|line| {
        let n: usize = line.strip_prefix("note ends ")?.parse().ok()?;
        (!matches!(fates[n], Fate::Paused { .. })).then_some(n)
    });
    let ended: Vec<_> = ended.collect();
    // One that is paused lets others pass; and the others keep to their order among themselves.
    assert!(ended.is_sorted(), "{ended:?}");
}

/// Panics that are meant would fill the output.
fn quiet_about_what_is_meant() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            if info.payload_as_str() != Some("meant") {
                hook(info);
            }
        }));
    });
}

async fn follow(run: Run<u32>, fate: Fate) -> Result<u32, RunError> {
    match fate {
        Fate::Cancelled { after } => {
            tokio::time::sleep(Duration::from_millis(after)).await;
            run.cancel("meant");
        }
        Fate::Paused { after, time } => {
            tokio::time::sleep(Duration::from_millis(after)).await;
            run.pause("meant");
            tokio::time::sleep(Duration::from_millis(time)).await;
            run.resume();
        }
        _ => {}
    }
    run.await
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn no_item_is_lost_and_each_ends_once_as_it_should(
        layouts in prop::collection::vec(layout(), 1..4),
        fates in prop::collection::vec(fate(), 1..24),
    ) {
        quiet_about_what_is_meant();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        // A fate at a stage that is not there is none.
        let stages = layouts.len();
        let fates = fates.into_iter().map(|fate| match fate {
            Fate::Fails { at } | Fate::Panics { at } | Fate::Recovers { at } if at >= stages => Fate::Well,
            fate => fate,
        });
        runtime.block_on(play(layouts, fates.collect()));
    }
}

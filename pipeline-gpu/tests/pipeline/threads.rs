//! Synchronous code on threads of its own. Where something waits for it these run in real time: a
//! paused clock does not wait for threads.

use std::{
    cell::Cell,
    collections::HashSet,
    rc::Rc,
    sync::{
        Arc, Barrier,
        atomic::{AtomicBool, AtomicUsize, Ordering},
        mpsc,
    },
    thread,
    time::Duration,
};

use futures_util::future::join_all;
use pipeline_gpu::{Context, CpuPool, PerThread, Pipeline, RunError, Stage, blocking};
use progress_core::{Reporter, TaskError, batch::RetryPolicy};
use tokio::time::Instant;

use crate::common::{Log, settle, soon, until};

fn thread_name() -> String {
    thread::current().name().unwrap_or_default().to_owned()
}

fn code<T: std::fmt::Debug>(result: Result<T, RunError>) -> String {
    match result {
        Err(RunError::Failed(error)) => error.code().to_owned(),
        other => format!("{other:?}"),
    }
}

#[tokio::test]
async fn a_pool_has_so_many_threads_with_names() {
    let pool = CpuPool::new("decode", 2).unwrap();
    let (at_once, most) = (AtomicUsize::new(0), Arc::new(AtomicUsize::new(0)));
    let both = Barrier::new(2);
    let decode = {
        let most = Arc::clone(&most);
        move |_cx: &Context, n: u32| {
            most.fetch_max(at_once.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
            if n < 2 {
                // Neither thread does all of it.
                both.wait();
            }
            thread::sleep(Duration::from_millis(5));
            at_once.fetch_sub(1, Ordering::SeqCst);
            Ok(thread_name())
        }
    };
    let pipeline = Pipeline::builder("p")
        .pool(&pool)
        .stage("decode", blocking(decode))
        .concurrency(8)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let names = join_all((0..16).map(|n| pipeline.run(&nobody, n))).await;
    let names: HashSet<_> = names.into_iter().map(Result::unwrap).collect();
    assert_eq!(
        names,
        HashSet::from(["decode-0".to_owned(), "decode-1".to_owned()])
    );
    assert_eq!(most.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_panic_on_a_pool_fails_its_item_and_the_thread_goes_on() {
    let pool = CpuPool::new("one", 1).unwrap();
    let pipeline = Pipeline::builder("p")
        .pool(&pool)
        .stage(
            "s",
            blocking(|_cx: &Context, n: u32| {
                assert_ne!(n, 0, "meant");
                Ok(thread_name())
            }),
        )
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    assert_eq!(code(pipeline.run(&nobody, 0).await), "STAGE_PANICKED");
    assert_eq!(pipeline.run(&nobody, 1).await, Ok("one-0".to_owned()));
}

#[tokio::test]
async fn synchronous_code_sees_that_it_is_to_stop_before_its_item_ends() {
    let stopped = Arc::new(AtomicBool::new(false));
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let begun = std::sync::Mutex::new(Some(begun));
    let work = {
        let stopped = Arc::clone(&stopped);
        move |cx: &Context, _: u32| {
            begun.lock().unwrap().take().unwrap().send(()).unwrap();
            while !cx.is_cancelled() {
                thread::sleep(Duration::from_millis(1));
            }
            stopped.store(true, Ordering::SeqCst);
            Ok::<u32, _>(0)
        }
    };
    let pipeline = Pipeline::builder("p")
        .stage("s", blocking(work))
        .build()
        .unwrap();
    let run = pipeline.item(1).run(&Reporter::noop());
    has_begun.await.unwrap();
    run.cancel("enough");
    assert!(matches!(soon(run).await, Err(RunError::Cancelled { .. })));
    assert!(stopped.load(Ordering::SeqCst));
}

#[tokio::test]
async fn code_that_does_not_look_keeps_its_thread_but_not_its_item() {
    let pool = CpuPool::new("stuck", 1).unwrap();
    let (release, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let pipeline = Pipeline::builder("p")
        .pool(&pool)
        .stage(
            "s",
            blocking(move |_cx: &Context, n: u32| {
                if n == 0 {
                    let _released = wait.lock().unwrap().recv();
                }
                Ok(n)
            }),
        )
        .grace(Duration::ZERO)
        .concurrency(2)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let stuck = pipeline.item(0).run(&nobody);
    until(|| pipeline.waiting() == 0).await;
    stuck.cancel(None);
    assert!(matches!(soon(stuck).await, Err(RunError::Cancelled { .. })));
    let next = pipeline.item(1).run(&nobody);
    release.send(()).unwrap();
    assert_eq!(soon(next).await, Ok(1));
}

#[tokio::test]
async fn what_waits_for_a_thread_never_begins_once_it_is_to_stop_or_paused() {
    let pool = CpuPool::new("one", 1).unwrap();
    let log = Log::default();
    let (release, wait) = mpsc::channel::<()>();
    let wait = std::sync::Mutex::new(wait);
    let work = {
        let log = log.clone();
        move |_cx: &Context, n: u32| {
            log.note(n.to_string());
            if n == 0 {
                let _released = wait.lock().unwrap().recv();
            }
            Ok(n)
        }
    };
    let pipeline = Pipeline::builder("p")
        .pool(&pool)
        .stage("s", blocking(work))
        .concurrency(4)
        .unordered()
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let runs = [0, 1, 2, 3].map(|n| pipeline.item(n).run(&nobody));
    until(|| pipeline.waiting() == 0).await;
    let [holds, cancelled, paused, last] = runs;
    cancelled.cancel(None);
    paused.pause(None);
    assert!(soon(cancelled).await.is_err());
    release.send(()).unwrap();
    assert_eq!((soon(holds).await, soon(last).await), (Ok(0), Ok(3)));
    assert_eq!(log.all(), ["0", "3"]);
    paused.resume();
    assert_eq!(soon(paused).await, Ok(2));
}

#[tokio::test]
async fn each_thread_makes_a_worker_of_its_own_that_stays_there() {
    let made = Arc::new(AtomicUsize::new(0));
    let make = {
        let made = Arc::clone(&made);
        move || {
            made.fetch_add(1, Ordering::SeqCst);
            // Not `Send`: it cannot have left its thread.
            let (home, runs) = (thread::current().id(), Rc::new(Cell::new(0)));
            Ok(move |_cx: &Context, _: u32| {
                assert_eq!(thread::current().id(), home);
                runs.set(runs.get() + 1);
                thread::sleep(Duration::from_millis(2));
                Ok((thread_name(), runs.get()))
            })
        }
    };
    let stage = PerThread::new("session", 2, make).unwrap();
    assert_eq!(Stage::<u32, (String, i32)>::concurrency(&stage), 2);
    let pipeline = Pipeline::builder("p").stage("s", stage).build().unwrap();
    let nobody = Reporter::noop();
    let results = join_all((0..20).map(|n| pipeline.run(&nobody, n))).await;
    let results: Vec<(String, i32)> = results.into_iter().map(Result::unwrap).collect();
    let of = |name: &str| {
        results
            .iter()
            .filter(|(by, _)| by == name)
            .map(|(_, n)| *n)
            .max()
    };
    let runs = of("session-0").unwrap_or(0) + of("session-1").unwrap_or(0);
    assert_eq!(runs, 20);
    assert_eq!(
        made.load(Ordering::SeqCst),
        results
            .iter()
            .map(|(name, _)| name)
            .collect::<HashSet<_>>()
            .len(),
    );
}

#[tokio::test]
async fn a_worker_is_made_anew_after_a_panic_and_when_it_could_not_be_made() {
    let made = Arc::new(AtomicUsize::new(0));
    let make = {
        let made = Arc::clone(&made);
        move || match made.fetch_add(1, Ordering::SeqCst) {
            0 => Err(TaskError::new("NO_MODEL", "The model is not there yet").retryable(true)),
            generation => Ok(move |_cx: &Context, n: u32| {
                assert_ne!(n, 7, "meant");
                Ok(generation)
            }),
        }
    };
    let stage = PerThread::new("session", 1, make).unwrap();
    let pipeline = Pipeline::builder("p").stage("s", stage).build().unwrap();
    let nobody = Reporter::noop();
    assert_eq!(code(pipeline.run(&nobody, 1).await), "NO_MODEL");
    assert_eq!(pipeline.run(&nobody, 1).await, Ok(1));
    assert_eq!(pipeline.run(&nobody, 2).await, Ok(1));
    assert_eq!(code(pipeline.run(&nobody, 7).await), "STAGE_PANICKED");
    assert_eq!(pipeline.run(&nobody, 3).await, Ok(2));
}

#[tokio::test]
async fn threads_end_with_what_they_belong_to() {
    struct Gone(mpsc::Sender<()>);

    impl Drop for Gone {
        fn drop(&mut self) {
            let _nobody = self.0.send(());
        }
    }

    let (gone, is_gone) = mpsc::channel();
    let make = move || {
        let own = Gone(gone.clone());
        Ok(move |_cx: &Context, n: u32| {
            let _own = &own;
            Ok(n)
        })
    };
    let stage = PerThread::new("session", 1, make).unwrap();
    let pipeline = Pipeline::builder("p").stage("s", stage).build().unwrap();
    assert_eq!(pipeline.run(&Reporter::noop(), 1).await, Ok(1));
    drop(pipeline);
    let gone = tokio::task::spawn_blocking(move || is_gone.recv_timeout(Duration::from_secs(20)));
    assert_eq!(gone.await.unwrap(), Ok(()));
}

#[tokio::test]
async fn a_pool_keeps_nothing_of_work_that_was_given_up() {
    let pool = CpuPool::new("held", 1).unwrap();
    let (release, wait) = mpsc::channel::<()>();
    let (begun, has_begun) = tokio::sync::oneshot::channel();
    let cx = Context::detached("holds", Reporter::noop());
    let holder = {
        let pool = pool.clone();
        tokio::spawn(async move {
            let hold = move || {
                begun.send(()).unwrap();
                let _released = wait.recv();
                Ok(())
            };
            pool.run(&cx, hold).await
        })
    };
    has_begun.await.unwrap();

    let picture = Arc::new(());
    let stage = blocking(|_cx: &Context, _picture: Arc<()>| Ok(()))
        .timeout(Duration::from_millis(1))
        .retry(
            RetryPolicy::new()
                .retries(1)
                .first_delay(Duration::from_millis(1)),
        );
    let pipeline = Pipeline::builder("p")
        .pool(&pool)
        .waiting(100)
        .stage("s", stage)
        .concurrency(10)
        .build()
        .unwrap();
    let nobody = Reporter::noop();
    let runs = (0..100).map(|_| pipeline.run(&nobody, Arc::clone(&picture)));
    for result in soon(join_all(runs)).await {
        assert_eq!(code(result), "STAGE_TIMEOUT");
    }
    assert_eq!(Arc::strong_count(&picture), 1);

    release.send(()).unwrap();
    assert_eq!(soon(holder).await.unwrap(), Ok(()));
}

#[tokio::test(start_paused = true)]
async fn what_waits_for_a_thread_ends_at_once_when_it_is_to_stop() {
    let pool = CpuPool::new("busy", 1).unwrap();
    let (free, busy) = mpsc::channel::<()>();
    let detached = Context::detached("s", Reporter::noop());
    let elsewhere = pool.run(&detached, move || {
        let _freed = busy.recv();
        Ok(())
    });
    let pipeline = Pipeline::builder("p")
        .pool(&pool)
        .stage("s", blocking(|_cx: &Context, n: u32| Ok(n)))
        .build()
        .unwrap();
    let others = async {
        let run = pipeline.item(1).run(&Reporter::noop());
        settle().await;
        let asked = Instant::now();
        run.cancel(None);
        assert!(soon(run).await.is_err());
        assert_eq!(asked.elapsed(), Duration::ZERO, "without its grace");
        drop(free);
    };
    assert!(tokio::join!(elsewhere, others).0.is_ok());
}

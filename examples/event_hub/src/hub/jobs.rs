//! Jobs: what waits, what a worker takes, how it ends.

use std::time::Instant;

use progress_core::{Task, TaskError, TaskId, Timestamp};
use progress_web::{ApiError, Code};

use super::{AsOf, Hub, State, newest};
use crate::{
    channel::Channel,
    events::{
        JobCompleted, JobCreated, JobFailed, JobProgress, JobStarted, PriorityChanged, QueueStatus,
        Waiting,
    },
    queue::HIGHEST,
    record::{Job, JobState},
    refusal::{COME_BACK_IN, Refusal},
    store::Stored,
};

/// A file that was uploaded.
#[derive(Debug)]
pub(crate) struct Arrived {
    pub(crate) name: String,
    pub(crate) file: Stored,
}

/// What a worker is given.
#[derive(Debug)]
pub(crate) struct Work {
    pub(crate) session_id: String,
    /// Its progress, to be watched by the job's id.
    pub(crate) task: Task,
    pub(crate) files: Vec<Arrived>,
    since: Instant,
}

impl Hub {
    /// Refuses early what [`create_job`](Self::create_job) would refuse, before pictures are read.
    pub(crate) fn check_job(&self, session: &str, priority: u8) -> Result<(), Refusal> {
        let mut state = self.state();
        state.open_session(session)?;
        self.check_queue(&state, priority)?;
        self.check_room(&state, 1)
    }

    pub(crate) fn create_job(
        &self,
        session: &str,
        priority: u8,
        files: Vec<Arrived>,
    ) -> Result<Job, Refusal> {
        let mut state = self.state();
        state.open_session(session)?;
        self.check_queue(&state, priority)?;
        self.check_room(&state, files.len())?;
        let id = TaskId::random();
        let task = self.shared.tracker.task(id.clone());
        let task = task
            .name(format!("Import of {} pictures", files.len()))
            .kind("import")
            .label("session", session)
            .stage("import", 1.0)
            .queue()
            .map_err(|error| {
                let error = ApiError::new(Code::TooManyTasks, error.to_string());
                error.retry_after(COME_BACK_IN)
            })?;
        let job = Job {
            job_id: id.to_string(),
            session_id: session.to_owned(),
            state: JobState::Waiting,
            priority,
            total: files.len(),
            current: 0,
            failed: 0,
            created_at: Timestamp::now(),
            error: None,
        };
        let work = Work {
            session_id: session.to_owned(),
            task,
            files,
            since: Instant::now(),
        };
        self.forget_ended(&mut state);
        state.queue.push(job.job_id.clone(), priority, work);
        state.jobs.insert(job.job_id.clone(), job.clone());
        self.tell(JobCreated {
            job_id: job.job_id.clone(),
            session_id: job.session_id.clone(),
            priority,
            total: job.total,
        });
        self.tell_queue(&state);
        drop(state);
        self.shared.work.notify_one();
        Ok(job)
    }

    /// Gives a job that waits another place.
    pub(crate) fn set_priority(&self, id: &str, priority: u8) -> Result<Job, Refusal> {
        check_priority(priority)?;
        let mut state = self.state();
        if !state.jobs.contains_key(id) {
            return Err(Refusal::not_found("job"));
        }
        let Some((old_priority, place)) = state.queue.reorder(id, priority) else {
            return Err(Refusal::conflict(
                "NOT_WAITING",
                "the job no longer waits, so that it has no place to change",
            ));
        };
        let job = state.job(id)?;
        job.priority = priority;
        let job = job.clone();
        if old_priority != priority {
            self.tell(PriorityChanged {
                job_id: id.to_owned(),
                old_priority,
                new_priority: priority,
                place,
            });
            self.tell_queue(&state);
        }
        Ok(job)
    }

    /// Waits for the next job.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn next_job(&self, worker: usize) -> (String, Work) {
        loop {
            if let Some(next) = self.take_job(worker) {
                return next;
            }
            self.shared.work.notified().await;
        }
    }

    fn take_job(&self, worker: usize) -> Option<(String, Work)> {
        let mut state = self.state();
        let (id, work) = state.queue.pop()?;
        if let Ok(job) = state.job(&id) {
            job.state = JobState::Running;
        }
        self.tell(JobStarted {
            job_id: id.clone(),
            worker,
            waited_ms: millis(work.since),
        });
        self.tell_queue(&state);
        Some((id, work))
    }

    /// One more picture is done with, whether it is one or not.
    pub(crate) fn job_went_on(&self, id: &str, worker: usize, failed: bool) {
        let mut state = self.state();
        let Ok(job) = state.job(id) else { return };
        job.current += 1;
        job.failed += usize::from(failed);
        self.tell(JobProgress {
            job_id: id.to_owned(),
            worker,
            current: job.current,
            total: job.total,
        });
    }

    /// The job is over; with an error nothing came of it.
    pub(crate) fn job_ended(&self, id: &str, began: Instant, error: Option<TaskError>) {
        let mut state = self.state();
        let Ok(job) = state.job(id) else { return };
        job.error.clone_from(&error);
        let (job_id, session_id) = (id.to_owned(), job.session_id.clone());
        match error {
            None => {
                job.state = JobState::Completed;
                self.tell(JobCompleted {
                    job_id,
                    session_id,
                    imported: job.current - job.failed,
                    failed: job.failed,
                    duration_ms: millis(began),
                });
            }
            Some(error) => {
                job.state = JobState::Failed;
                self.tell(JobFailed {
                    job_id,
                    session_id,
                    error,
                });
            }
        }
        self.tell_queue(&state);
    }

    pub(crate) fn jobs(&self, limit: usize) -> AsOf<Vec<Job>> {
        let state = self.state();
        let jobs = newest(state.jobs.values(), limit);
        self.as_of(Channel::Jobs, &state, jobs)
    }

    /// What waits and what runs.
    pub(crate) fn queue(&self) -> AsOf<QueueStatus> {
        let state = self.state();
        self.as_of(Channel::Queue, &state, status(&state))
    }

    fn tell_queue(&self, state: &State) {
        self.tell(status(state));
    }

    fn check_queue(&self, state: &State, priority: u8) -> Result<(), Refusal> {
        check_priority(priority)?;
        let limit = self.bounds().waiting;
        match state.queue.len() < limit {
            true => Ok(()),
            false => Err(Refusal::full(
                "TOO_MANY_JOBS",
                limit as u64,
                "there are as many jobs waiting as there can be",
            )),
        }
    }

    /// Room for so many pictures, beside those that are there and those that jobs are still to bring.
    /// One at work is both, so that it may be full as many too early as there are workers.
    fn check_room(&self, state: &State, files: usize) -> Result<(), Refusal> {
        let limit = self.bounds().photos;
        let jobs = state.jobs.values().filter(|job| !job.state.is_over());
        let to_come: usize = jobs.map(|job| job.total - job.current).sum();
        match state.photos.len() + to_come + files <= limit {
            true => Ok(()),
            false => Err(Refusal::full(
                "TOO_MANY_PHOTOS",
                limit as u64,
                "there are as many pictures as there can be, or will be",
            )),
        }
    }

    fn forget_ended(&self, state: &mut State) {
        let over = |job: &&Job| job.state.is_over();
        let most = self.bounds().ended;
        let mut ended = state.jobs.values().filter(over).count();
        while ended > most {
            let oldest = state.jobs.values().find(over).map(|job| job.job_id.clone());
            let Some(oldest) = oldest else { return };
            state.jobs.shift_remove(&oldest);
            ended -= 1;
        }
    }
}

impl State {
    fn job(&mut self, id: &str) -> Result<&mut Job, Refusal> {
        let job = self.jobs.get_mut(id);
        job.ok_or_else(|| Refusal::not_found("job"))
    }
}

fn status(state: &State) -> QueueStatus {
    let running = |job: &&Job| job.state == JobState::Running;
    let next = state.queue.iter().take(QueueStatus::SHOWN);
    QueueStatus {
        waiting: state.queue.len(),
        running: state.jobs.values().filter(running).count(),
        next: next
            .map(|(id, priority)| Waiting {
                job_id: id.to_owned(),
                priority,
            })
            .collect(),
    }
}

fn check_priority(priority: u8) -> Result<(), Refusal> {
    match priority <= HIGHEST {
        true => Ok(()),
        false => Err(Refusal::field(
            "priority",
            format!("priority is above {HIGHEST}"),
        )),
    }
}

fn millis(since: Instant) -> u64 {
    u64::try_from(since.elapsed().as_millis()).unwrap_or(u64::MAX)
}

//! Owners' events, which need no script: plain commands, in order, one transaction in flight.
//!
//! Redis itself refuses what must not be written. The keys of a run hold its generation, and only a
//! claim makes its streams: the XADD of an owner that was fenced or forgotten finds none (`NOMKSTREAM`),
//! one that comes twice has an id that is taken, and behind an end stands the highest id there is.
//! HSET would make its key anew, so in the place of a fenced run's State is a key of another type; and
//! what it has made all the same, of a run that was forgotten, is taken away again at once.
//!
//! A transaction is done whole or, when memory is short, not at all, so that no event is missing
//! before one that is there. In it stands, first of each run, what Redis holds of the run at that
//! instant: what the answers mean follows from that.

use std::{collections::HashMap, sync::Arc};

use progress_core::{
    Epoch, Event, Retention, TaskId,
    transport::{AppendError, TransportError},
};
use redis::{Cmd, Pipeline, Value};
use tokio::sync::Mutex;

use crate::{
    claims::{millis, number, text},
    client::Failure,
    functions::Function,
    keys::{Keys, OwnedRun},
    record,
    shard::Shard,
    transport::Times,
};

/// Sends the events of this node's runs.
#[derive(Debug, Default)]
pub(crate) struct Writer {
    /// Two transactions in flight could overtake each other.
    turn: Mutex<()>,
}

type RunId = (TaskId, Epoch);

impl Writer {
    /// Appends events; answers each.
    pub(crate) async fn append(
        &self,
        shard: &Shard,
        times: &Times,
        events: &[Arc<Event>],
    ) -> Vec<Result<(), AppendError>> {
        let _turn = self.turn.lock().await;
        let mut failed: HashMap<RunId, AppendError> = HashMap::new();
        let mut answers = Vec::with_capacity(events.len());
        let mut rest = events;
        while !rest.is_empty() {
            let mut batch = Batch::new(shard.keys(), times);
            let mut count = 0;
            for event in rest {
                if count > 0 && !batch.has_room() {
                    break;
                }
                // Behind a failed one nothing of its run is appended.
                if !failed.contains_key(&run_id(event)) {
                    batch.add(event);
                }
                count += 1;
            }
            let (now, later) = rest.split_at(count);
            rest = later;
            match batch.send(shard).await {
                Ok(outcomes) => failed.extend(outcomes.errors(&mut answers, now, &failed)),
                Err(failure) => {
                    // It may have been done all the same; what comes behind it must wait for it.
                    let error = AppendError::Unavailable(failure.into());
                    answers.resize(events.len(), Err(error));
                    return answers;
                }
            }
        }
        answers
    }
}

fn run_id(event: &Event) -> RunId {
    (event.task_id().clone(), event.epoch())
}

/// What is done at once.
struct Batch<'a> {
    keys: &'a Keys,
    times: &'a Times,
    runs: Vec<Run>,
    index: HashMap<RunId, usize>,
    events: usize,
    bytes: usize,
}

/// One run's part of a batch.
struct Run {
    base: String,
    keys: OwnedRun,
    generation: u64,
    steps: Vec<Step>,
    commands: Vec<Cmd>,
    /// The newest State of each key, not yet among the steps, and the message of all that is not.
    states: Vec<(String, Vec<u8>)>,
    published: Vec<u8>,
}

/// What a command of a run does, to know what its answer means.
enum Step {
    Add { seq: u64 },
    Set { keys: usize },
    End { seq: u64 },
    Publish,
}

impl Step {
    fn is_publish(&self) -> bool {
        matches!(self, Self::Publish)
    }
}

impl<'a> Batch<'a> {
    fn new(keys: &'a Keys, times: &'a Times) -> Self {
        Self {
            keys,
            times,
            runs: Vec::new(),
            index: HashMap::new(),
            events: 0,
            bytes: 0,
        }
    }

    fn has_room(&self) -> bool {
        self.events < MOST_EVENTS && self.bytes < MOST_BYTES
    }

    fn add(&mut self, event: &Event) {
        let id = run_id(event);
        let runs = &mut self.runs;
        let index = *self.index.entry(id).or_insert_with(|| {
            let base = self.keys.task(event.task_id());
            let generation = event.epoch().generation();
            runs.push(Run {
                keys: OwnedRun::new(&base, generation),
                base,
                generation,
                steps: Vec::new(),
                commands: Vec::new(),
                states: Vec::new(),
                published: Vec::new(),
            });
            runs.len() - 1
        });
        let run = &mut runs[index];
        let mut record = Vec::with_capacity(RECORD);
        record::encode(event, &mut record);
        self.events += 1;
        self.bytes += 2 * record.len();
        let seq = event.seq().get();
        let add = |stream: &str, most: usize| {
            let mut command = Cmd::with_capacity(8, stream.len() + record.len() + 96);
            command
                .arg("XADD")
                .arg(stream)
                .arg("NOMKSTREAM")
                .arg("MAXLEN")
                .arg("~")
                .arg(most)
                .arg(format!("{}-{seq}", run.generation))
                .arg("r")
                .arg(&record);
            command
        };
        match event.data().retention() {
            Retention::Milestone => {
                let command = add(&run.keys.milestones, MILESTONES);
                run.push(Step::Add { seq }, command);
            }
            Retention::Log => {
                let command = add(&run.keys.lines, LINES);
                run.push(Step::Add { seq }, command);
            }
            Retention::State(key) => match run.states.iter_mut().find(|(known, _)| *known == key) {
                Some((_, newest)) => newest.clone_from(&record),
                None => run.states.push((key, record.clone())),
            },
            Retention::Terminal => {
                run.flush();
                let mut command = Function::Finish.on(&run.base);
                command
                    .arg(self.keys.prefix())
                    .arg(event.task_id().as_str())
                    .arg(run.generation)
                    .arg(seq)
                    .arg(&record)
                    .arg(millis(self.times.retention));
                // It publishes the end itself, if it is one.
                run.push(Step::End { seq }, command);
                return;
            }
        }
        if run.published.is_empty() {
            run.published.push(b'R');
        }
        record::gather(&mut run.published, &record);
    }

    async fn send(mut self, shard: &Shard) -> Result<Outcomes, Failure> {
        let mut pipeline = Pipeline::with_capacity(3 * self.events + self.runs.len());
        pipeline.atomic();
        if self.runs.is_empty() {
            return Ok(Outcomes(HashMap::new()));
        }
        for run in &mut self.runs {
            run.flush();
            let mut state = redis::cmd("HMGET");
            state.arg(format!("{}:m", run.base)).arg(&["g", "o", "e"]);
            pipeline.add_command(state);
            for command in run.commands.drain(..) {
                pipeline.add_command(command);
            }
        }
        let answers = shard.transact(&pipeline).await?;
        let mut answers = answers.iter();
        let mut outcomes = Vec::with_capacity(self.runs.len());
        for run in &self.runs {
            let standing = Standing::read(answers.next(), run.generation)?;
            let mine: Vec<_> = answers.by_ref().take(run.steps.len()).collect();
            outcomes.push(run.outcome(standing, &mine));
        }
        self.follow_up(shard, &mut outcomes).await?;
        let mut told = HashMap::with_capacity(self.runs.len());
        for (id, index) in self.index {
            told.insert(id, std::mem::take(&mut outcomes[index]));
        }
        Ok(Outcomes(told))
    }

    /// Does what the answers call for, which is seldom anything.
    async fn follow_up(&self, shard: &Shard, outcomes: &mut [Outcome]) -> Result<(), Failure> {
        let mut doubts = Pipeline::new();
        doubts.atomic();
        for (run, outcome) in self.runs.iter().zip(&*outcomes) {
            if outcome.has_made_states {
                let mut unlink = redis::cmd("UNLINK");
                unlink.arg(&run.keys.states);
                shard.call(&unlink).await?;
            }
            if outcome.has_misled {
                // Who watches the run that was fenced has not heard of the next, and takes this for its
                // news: it is to look.
                let mut look = redis::cmd("PUBLISH");
                look.arg(&run.base).arg("l");
                shard.call(&look).await?;
            }
            if outcome.may_lack_states {
                let mut is_marked = redis::cmd("HEXISTS");
                is_marked.arg(&run.keys.states).arg("");
                doubts.add_command(is_marked);
            }
        }
        if doubts.is_empty() {
            return Ok(());
        }
        let answers = shard.transact(&doubts).await?;
        let doubtful = outcomes
            .iter_mut()
            .filter(|outcome| outcome.may_lack_states);
        for (outcome, answer) in doubtful.zip(&answers) {
            if !matches!(answer, Value::Int(1)) {
                // It was evicted, and made anew without what else was in it.
                outcome.fail_from(0, AppendError::Unknown);
            }
        }
        Ok(())
    }
}

impl Run {
    fn push(&mut self, step: Step, command: Cmd) {
        self.steps.push(step);
        self.commands.push(command);
    }

    /// Has what has been gathered done: writes precede publishes.
    fn flush(&mut self) {
        if !self.states.is_empty() {
            let mut command = redis::cmd("HSET");
            command.arg(&self.keys.states);
            let keys = self.states.len();
            for (key, record) in self.states.drain(..) {
                command.arg(key).arg(record);
            }
            self.push(Step::Set { keys }, command);
        }
        if !self.published.is_empty() {
            let size = self.base.len() + self.published.len() + 16;
            let mut command = Cmd::with_capacity(3, size);
            command.arg("PUBLISH").arg(&self.base).arg(&self.published);
            self.published.clear();
            self.push(Step::Publish, command);
        }
    }

    /// What the answers to its steps mean.
    fn outcome(&self, standing: Standing, answers: &[&Value]) -> Outcome {
        let mut outcome = Outcome::default();
        let (error, mut ended) = match standing {
            Standing::Live => (None, None),
            Standing::Ended(seq) => (None, Some(seq)),
            Standing::Not(error) => (Some(error), None),
        };
        if let Some(error) = error {
            let is_fenced = matches!(error, AppendError::Superseded { .. });
            outcome.has_misled = is_fenced && self.steps.iter().any(Step::is_publish);
            // Done nothing, but for State: there Redis made a key if there was none.
            outcome.has_made_states =
                self.steps.iter().zip(answers).any(|(step, answer)| {
                    matches!((step, answer), (Step::Set { .. }, Value::Int(_)))
                });
            outcome.fail_from(0, error);
            return outcome;
        }
        for (step, answer) in self.steps.iter().zip(answers) {
            match (step, *answer) {
                // Below what was there before: its owner does not count, and is not to think it told.
                (Step::End { seq }, Value::ServerError(error))
                    if is_repetition(&error.to_string()) =>
                {
                    let reason = "an end below an event before it".to_owned();
                    outcome.fail_from(*seq, AppendError::Refused { reason });
                }
                (
                    Step::Add { .. } | Step::End { .. } | Step::Set { .. },
                    Value::ServerError(error),
                ) if !is_repetition(&error.to_string()) && ended.is_none() => {
                    let from = match step {
                        Step::Add { seq } | Step::End { seq } => *seq,
                        // Of several: the first of them is sent again with the rest.
                        _ => 0,
                    };
                    let error = TransportError::new(error);
                    outcome.fail_from(from, error.into());
                }
                // The stream was evicted: the owner claims again, which makes it anew.
                (Step::Add { seq }, Value::Nil) => {
                    outcome.fail_from(*seq, AppendError::Unknown);
                }
                (Step::End { seq }, Value::Int(1)) => ended = Some(*seq),
                // So was another part of the run.
                (Step::End { seq }, Value::Int(-1)) => {
                    outcome.fail_from(*seq, AppendError::Unknown);
                }
                (Step::Set { keys }, Value::Int(new)) => {
                    outcome.may_lack_states |= usize::try_from(*new) == Ok(*keys);
                }
                _ => {}
            }
        }
        // An end was refused if anything was missing.
        outcome.may_lack_states &= ended.is_none();
        outcome.ended = ended;
        outcome
    }
}

/// How a run stood at the instant of a transaction.
enum Standing {
    Live,
    /// With the event of this number.
    Ended(u64),
    Not(AppendError),
}

impl Standing {
    fn read(answer: Option<&Value>, generation: u64) -> Result<Self, Failure> {
        let Some(Value::Array(fields)) = answer else {
            let error = match answer {
                Some(Value::ServerError(error)) => TransportError::new(error),
                _ => TransportError::new("an answer is missing"),
            };
            return Err(Failure::Away(error));
        };
        let (run, owner, end) = match &fields[..] {
            [run, owner, end] => (number(run), text(owner), number(end)),
            _ => (None, None, None),
        };
        Ok(match run {
            None => Self::Not(AppendError::Unknown),
            Some(run) if run > generation => Self::Not(AppendError::Superseded {
                by: Epoch::new(run),
            }),
            Some(run) if run < generation => Self::Not(AppendError::Unknown),
            Some(_) if owner == Some("b") => Self::Not(AppendError::Refused {
                reason: "the broker numbers the events of a shared task".to_owned(),
            }),
            Some(_) => end.map_or(Self::Live, Self::Ended),
        })
    }
}

/// What became of one run's events.
#[derive(Default)]
struct Outcome {
    /// From which number on they were not appended, and why.
    failed: Option<(u64, AppendError)>,
    /// The number of the end: what is above was not appended.
    ended: Option<u64>,
    /// Redis made a key for State that nobody will look after.
    has_made_states: bool,
    /// No key of State was there that was written: perhaps none is there any more.
    may_lack_states: bool,
    /// It was fenced, and Redis published what it said all the same.
    has_misled: bool,
}

impl Outcome {
    fn fail_from(&mut self, seq: u64, error: AppendError) {
        if self.failed.as_ref().is_none_or(|(from, _)| seq < *from) {
            self.failed = Some((seq, error));
        }
    }

    fn of(&self, seq: u64) -> Result<(), AppendError> {
        match (&self.failed, self.ended) {
            (Some((from, error)), _) if seq >= *from => Err(error.clone()),
            (_, Some(end)) if seq > end => Err(AppendError::AlreadyComplete),
            _ => Ok(()),
        }
    }
}

struct Outcomes(HashMap<RunId, Outcome>);

impl Outcomes {
    /// Answers a batch's events; gives the runs that have failed in it.
    fn errors(
        &self,
        answers: &mut Vec<Result<(), AppendError>>,
        events: &[Arc<Event>],
        before: &HashMap<RunId, AppendError>,
    ) -> HashMap<RunId, AppendError> {
        let mut failed = HashMap::new();
        for event in events {
            let id = run_id(event);
            let known = before.get(&id).or_else(|| failed.get(&id));
            let answer = match (known, self.0.get(&id)) {
                (Some(error), _) => Err(error.clone()),
                (None, Some(outcome)) => outcome.of(event.seq().get()),
                (None, None) => Ok(()),
            };
            if let Err(error) = &answer {
                failed.entry(id).or_insert_with(|| error.clone());
            }
            answers.push(answer);
        }
        failed
    }
}

/// Tells whether Redis says that it has an entry of this number, or one above it.
fn is_repetition(error: &str) -> bool {
    error.contains("equal or smaller")
}

/// The least number of milestones and log lines that are kept.
const MILESTONES: usize = 1_024;
const LINES: usize = 200;
/// What goes out at once.
const MOST_EVENTS: usize = 256;
const MOST_BYTES: usize = 128 * 1024;
/// Bytes that most records do not exceed.
const RECORD: usize = 320;

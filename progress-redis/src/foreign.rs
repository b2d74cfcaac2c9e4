//! What workers in other languages need of the nodes: that the functions are there, and know how long
//! things last; and that what they say is told in the channels of its task, which are elsewhere.

use progress_core::{Epoch, Position, Seq, TaskId};
use redis::Value;

use crate::{
    arrivals::Arrivals,
    ask::load,
    claims::{millis, text, unexpected},
    client::{Connection, Failure},
    functions::{self, Function},
    ingest::Ingest,
    keys::Keys,
    transport::Times,
};

/// Keeps up what others call.
#[derive(Debug)]
pub(crate) struct Services {
    /// Milliseconds of silence until a shared task is stalled and abandoned, and of retention.
    times: [String; 3],
    /// Whether this node takes what they publish without a function.
    pub(crate) ingest: Option<Ingest>,
}

impl Services {
    pub(crate) fn new(times: &Times, ingest: Option<Ingest>) -> Self {
        let all = [times.stalled_after, times.abandoned_after, times.retention];
        Self {
            times: all.map(|time| millis(time).to_string()),
            ingest,
        }
    }

    /// Looks whether all is there, and brings what is not: after a start, a flush, another node's other
    /// settings. What cannot be done now is done the next time.
    pub(crate) async fn keep(&self, connection: &Connection, keys: &Keys, arrivals: &Arrivals) {
        if let Err(failure) = self.try_keep(connection, keys).await {
            tracing::debug!(%failure, "the functions that others call are not looked after");
        }
        if !arrivals.is_heard() || arrivals.room() < TAKEN_AT_ONCE {
            return;
        }
        match untold(connection, keys).await {
            Ok(tasks) => {
                for (task, after) in tasks {
                    arrivals.untold(task, after);
                }
            }
            Err(failure) => tracing::debug!(%failure, "what others say is not told in channels"),
        }
    }

    async fn try_keep(&self, connection: &Connection, keys: &Keys) -> Result<(), Failure> {
        let key = keys.index("times");
        let look = Function::Times.on(&key);
        let known = match connection.call(&look).await {
            Err(Failure::Refused(error)) if functions::is_missing(&error) => {
                load(connection).await?;
                connection.call(&look).await?
            }
            known => known?,
        };
        let Value::Array(known) = known else {
            return Err(Failure::Away(unexpected("times")));
        };
        if known
            .iter()
            .map(text)
            .eq(self.times.iter().map(|time| Some(&**time)))
        {
            return Ok(());
        }
        let mut agree = Function::Agree.on(&key);
        agree.arg(&self.times);
        connection.call(&agree).await.map(drop)
    }
}

/// Takes tasks of which others have told, and after what. Of several nodes one does, unless it cannot
/// be told which: then it is done once more, and changes nothing.
async fn untold(connection: &Connection, keys: &Keys) -> Result<Vec<(TaskId, Position)>, Failure> {
    let key = keys.index("untold");
    let mut list = redis::cmd("ZRANGEBYSCORE");
    list.arg(&key).arg("-inf").arg("+inf").arg("WITHSCORES");
    let answer = connection
        .call(list.arg("LIMIT").arg(0).arg(TAKEN_AT_ONCE))
        .await?;
    let Value::Array(entries) = answer else {
        return Err(Failure::Away(unexpected("untold")));
    };
    if entries.is_empty() {
        return Ok(Vec::new());
    }
    let mut take = redis::pipe();
    take.atomic();
    let mut tasks = Vec::with_capacity(entries.len());
    for entry in &entries {
        let Value::Array(pair) = entry else {
            continue;
        };
        if let [member, Value::Double(after)] = &pair[..]
            && let Some(member) = text(member)
        {
            take.cmd("ZREM").arg(&key).arg(member);
            tasks.push(read(member, *after as u64));
        }
    }
    let taken = connection.transact(&take).await.ok();
    let is_taken = |index: usize| match &taken {
        Some(answers) => answers.get(index) == Some(&Value::Int(1)),
        None => true,
    };
    let tasks = tasks.into_iter().enumerate();
    let tasks = tasks.filter_map(|(index, task)| task.filter(|_| is_taken(index)));
    Ok(tasks.collect())
}

fn read(member: &str, after: u64) -> Option<(TaskId, Position)> {
    let (run, task) = member.split_once(' ')?;
    let run = Epoch::new(run.parse().ok()?);
    Some((task.parse().ok()?, Position::new(run, Seq::new(after))))
}

/// Tasks that are taken at a time.
const TAKEN_AT_ONCE: usize = 64;

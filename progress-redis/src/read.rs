//! Pages: what Redis holds of a topic.

use std::collections::BTreeSet;

use progress_core::{
    Epoch, Position, Seq, TaskId,
    transport::{NodeId, Owner, Page, Record, Topic, TransportError},
};
use redis::Value;

use crate::{
    claims::{channels_of, number, parse, request_of, text, unexpected},
    record::{decode, prev_of, seq_of},
};

/// Reads a page; none of what is not known.
///
/// Neither the head of an owner's run nor the floor is kept anywhere: the newest record is never
/// superseded, and every record says which milestone was before it.
pub(crate) fn page(
    topic: &Topic,
    after: Option<Position>,
    answer: Value,
) -> Result<Option<Page>, TransportError> {
    let malformed = || unexpected("read");
    let words = match answer {
        Value::Nil => return Ok(None),
        Value::Array(words) => words,
        _ => return Err(malformed()),
    };
    let [
        run,
        owner,
        channels,
        request,
        head,
        oldest,
        newest,
        newest_line,
        milestones,
        lines,
        states,
        ended,
    ] = &words[..]
    else {
        return Err(malformed());
    };
    let run = number(run).ok_or_else(malformed)?;
    let owner = match text(owner).and_then(|owner| owner.split_at_checked(1)) {
        Some(("n", node)) => Owner::Node(NodeId::new(node)),
        Some(("b", _)) => Owner::Shared,
        _ => return Err(malformed()),
    };
    let epoch = Epoch::new(run);
    let after = after.filter(|after| after.epoch() == epoch);
    let after = after.map_or(0, |after| after.seq().get());

    let kept = [bytes(milestones)?, bytes(lines)?, bytes(states)?];
    let marks: BTreeSet<u64> = kept[0].iter().map(|record| seq_of(record)).collect();
    let (oldest, newest, newest_line) = (one(oldest)?, one(newest)?, one(newest_line)?);
    let written = kept.iter().flatten().map(|record| seq_of(record));
    let ends = [seq_of(newest), seq_of(newest_line)];
    let head = number(head).unwrap_or(0);
    let head = written.chain(ends).fold(head, u64::max);
    // What is before the oldest has been dropped; what is missing between has never come.
    let missing = |prev: &u64| *prev > after && !marks.contains(prev);
    let prevs = kept.iter().flatten().map(|record| prev_of(record));
    let floor = prevs.filter(missing).fold(prev_of(oldest), u64::max);

    let present = records(topic, after, &kept);
    let floor = floor.max(present.lost);
    let mut page = Page::new(epoch, Seq::new(head), Seq::new(floor), owner);
    page.unreadable = present.unreadable;
    page.records = present.records;
    page.channels = channels_of(text(channels).unwrap_or_default());
    page.request = text(request).and_then(request_of);
    if let Value::Array(ended) = ended
        && !ended.is_empty()
    {
        let kept: Vec<_> = ended.iter().map(bytes).collect::<Result<_, _>>()?;
        let before = records(topic, 0, &kept);
        page.unreadable += before.unreadable;
        let events = before
            .records
            .into_iter()
            .filter_map(|record| match record {
                Record::Task(event) => Some(event),
                Record::Channel(_) => None,
            });
        page.ended_run = events.collect();
    }
    Ok(Some(page))
}

/// What is kept, as far as it can be read.
#[derive(Debug, Default)]
struct Records {
    records: Vec<Record>,
    /// How many cannot be read, and the newest of them: as good as lost, and said to be.
    unreadable: usize,
    lost: u64,
}

/// The records after a number, in order.
fn records(topic: &Topic, after: u64, kept: &[Vec<&[u8]>]) -> Records {
    let mut texts: Vec<_> = kept
        .iter()
        .flatten()
        .map(|text| (seq_of(text), *text))
        .filter(|(seq, _)| *seq > after)
        .collect();
    texts.sort_unstable_by_key(|(seq, _)| *seq);
    let mut read = Records::default();
    for (seq, text) in texts {
        match decode(topic, text) {
            Ok(record) => read.records.push(record),
            Err(error) => {
                tracing::warn!(?topic, seq, %error, "passed over");
                read.unreadable += 1;
                read.lost = seq;
            }
        }
    }
    read
}

/// Reads tasks and their places in the list.
pub(crate) fn places(answer: &Value) -> Result<Vec<(TaskId, u64)>, TransportError> {
    let Value::Array(entries) = answer else {
        return Err(unexpected("a list"));
    };
    let read = |entry: &Value| match entry {
        Value::Array(pair) => match &pair[..] {
            [task, Value::Double(place)] => Some((parse(task)?, *place as u64)),
            _ => None,
        },
        _ => None,
    };
    let places = entries.iter().map(read).collect::<Option<_>>();
    places.ok_or_else(|| unexpected("a list"))
}

fn bytes(value: &Value) -> Result<Vec<&[u8]>, TransportError> {
    match value {
        Value::Array(values) => values.iter().map(one).collect(),
        _ => Err(unexpected("read")),
    }
}

fn one(value: &Value) -> Result<&[u8], TransportError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        _ => Err(unexpected("read")),
    }
}

//! Drafts, which a function numbers.

use progress_core::{
    Data, Epoch, Position, Retention, Seq, Timestamp,
    transport::{AppendError, Draft, DraftBody, Record, Topic},
};
use redis::{Cmd, Value};

use crate::{
    claims::{millis, number, text, unexpected},
    functions::Function,
    keys::Keys,
    record::encode_body,
    transport::Times,
};

/// Makes the call that numbers drafts, and says of each whether it is in the call or refused here.
pub(crate) fn submit(
    keys: &Keys,
    topic: &Topic,
    drafts: &[Draft],
    times: &Times,
) -> (Cmd, Vec<Result<(), AppendError>>) {
    let mut call = Function::Submit.on(&keys.base(topic));
    let (kind, name) = match topic {
        Topic::Task(task) => ("t", task.as_str()),
        Topic::Channel(channel) => ("c", channel.as_str()),
    };
    call.arg(keys.prefix())
        .arg(kind)
        .arg(name)
        .arg(millis(times.retention));
    let checked = drafts.iter().map(|draft| add(&mut call, topic, draft));
    let checked = checked.collect();
    (call, checked)
}

fn add(call: &mut Cmd, topic: &Topic, draft: &Draft) -> Result<(), AppendError> {
    // With any numbers, to see of what class it is there, or that it does not belong there.
    let record = draft.number(topic, Epoch::FOREIGN, Seq::ZERO, Seq::ZERO, 0)?;
    let (class, key) = match record.retention() {
        Retention::State(key) => ("S", key),
        Retention::Milestone => ("M", String::new()),
        Retention::Log => ("L", String::new()),
        Retention::Terminal => ("T", String::new()),
    };
    let life = match &record {
        Record::Task(event) => match event.data() {
            Data::Stalled(_) => "q",
            Data::CancelRequested(_) => "n",
            _ => "s",
        },
        Record::Channel(_) => "n",
    };
    let body = encode_body(draft).ok_or_else(|| AppendError::Refused {
        reason: "a sort of draft that this version does not know".to_owned(),
    })?;
    let id = draft.id.as_deref().unwrap_or_default();
    call.arg(class).arg(key).arg(id).arg(life);
    match &draft.body {
        DraftBody::Event(event) => {
            let task = event.task_id().as_str();
            call.arg(task)
                .arg(event.epoch().generation())
                .arg(event.seq().get());
            match event.data() {
                // Its end says more than its State. The key is that of its State there.
                Data::Complete(_) => call.arg(format!("@{task}")),
                _ => call.arg(""),
            };
        }
        _ => {
            call.arg("").arg(0).arg(0).arg("");
        }
    }
    call.arg(body);
    match &draft.body {
        DraftBody::Data(data) if matches!(topic, Topic::Task(_)) => {
            call.arg(told(data, draft.timestamp));
        }
        _ => {
            call.arg("");
        }
    }
    Ok(())
}

/// What a worker in another language has to know of it, who publishes without having read the task:
/// fields of its hash, see `functions/common.lua`.
fn told(data: &Data, at: Timestamp) -> String {
    let at = format!("T{}", at.as_millis());
    let stage = |letter, path: &str| match path.contains('\n') {
        // No path can; who publishes it all the same says nothing here.
        true => String::new(),
        false => format!("\n{letter}{path}"),
    };
    match data {
        Data::Queued(queued) => match &queued.about {
            Some(about) => match serde_json::to_string(about) {
                Ok(about) => format!("{at}\nA{about}"),
                Err(_) => at,
            },
            None => at,
        },
        Data::Started(about) => format!("{at}\nB{}\nA", about.started_at.as_millis()),
        Data::StageChange(change) => {
            let stage = stage('S', &change.current_stage);
            format!("{at}\nP{}{stage}", change.progress)
        }
        Data::ProgressUpdate(update) => {
            let stage = update.stage.as_deref().map(|path| stage('s', path));
            let reported = if update.reported { "\nR1" } else { "" };
            let stage = stage.unwrap_or_default();
            format!("{at}\nP{}{reported}{stage}", update.progress)
        }
        _ => at,
    }
}

/// Reads the answer: one for each draft that was in the call.
pub(crate) fn submitted(answer: &Value, count: usize) -> Vec<Result<Position, AppendError>> {
    let all = |error: AppendError| vec![Err(error); count];
    let Value::Array(words) = answer else {
        return all(unexpected("submit").into());
    };
    match words.first().and_then(text) {
        Some("ok") => {}
        Some("unknown") => return all(AppendError::Unknown),
        Some("owned") => return all(AppendError::Owned),
        _ => return all(unexpected("submit").into()),
    }
    let Some(run) = words.get(1).and_then(number) else {
        return all(unexpected("submit").into());
    };
    let read = |word: Option<&Value>| match word.and_then(text) {
        Some("e") => Err(AppendError::AlreadyComplete),
        Some("k") => Err(AppendError::Refused {
            reason: "too many keys of State".to_owned(),
        }),
        word => match word.and_then(|word| word.parse().ok()) {
            Some(seq) => Ok(Position::new(Epoch::new(run), Seq::new(seq))),
            None => Err(unexpected("submit").into()),
        },
    };
    let answers = (0..count).map(|index| read(words.get(index + 2)));
    answers.collect()
}

/// Drafts in one call of the function: it holds up all others while it runs.
pub(crate) const AT_ONCE: usize = 256;

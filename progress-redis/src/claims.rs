//! Claims, requests and what has expired: words of the functions.

use std::str::FromStr;

use progress_core::{
    ChannelName, Epoch, TaskId,
    transport::{Claim, ClaimError, Expired, ExpiredCause, Request, TransportError},
};
use redis::{Cmd, Value};

use crate::{functions::Function, keys::Keys, transport::Times};

/// Makes the call that claims a run.
pub(crate) fn claim(
    keys: &Keys,
    task: &TaskId,
    proposed: Epoch,
    why: &Claim,
    times: &Times,
) -> Result<Cmd, ClaimError> {
    if proposed.generation() > MOST_GENERATION {
        let error =
            TransportError::new("a generation above 2^53, which Redis's scripts cannot count");
        return Err(error.into());
    }
    let mut call = Function::Claim.on(&keys.task(task));
    let mut begin = |why: &str, node: &str, channels: &[ChannelName]| {
        call.arg(keys.prefix())
            .arg(why)
            .arg(task.as_str())
            .arg(proposed.generation())
            .arg(node)
            .arg(join(channels));
    };
    match why {
        Claim::Start { node, channels } => begin("start", node.as_str(), channels),
        Claim::Restart { node, channels } => begin("restart", node.as_str(), channels),
        Claim::Shared {
            channels,
            silence,
            restart,
        } => {
            begin("shared", "", channels);
            call.arg(millis(silence.unwrap_or(times.stalled_after)))
                .arg(millis(times.abandoned_after))
                .arg(u8::from(*restart));
        }
        Claim::End { node, of } => {
            begin("end", node.as_str(), &[]);
            call.arg(of.generation());
        }
        _ => {
            let error = TransportError::new("a sort of claim that this version does not know");
            return Err(error.into());
        }
    }
    Ok(call)
}

/// Reads its answer.
pub(crate) fn claimed(answer: &Value) -> Result<Epoch, ClaimError> {
    let Value::Array(words) = answer else {
        return Err(unexpected("claim").into());
    };
    let (Some(word), Some(run)) = (words.first().and_then(text), words.get(1).and_then(number))
    else {
        return Err(unexpected("claim").into());
    };
    let epoch = Epoch::new(run);
    match word {
        "ok" => Ok(epoch),
        "exists" => Err(ClaimError::AlreadyExists { epoch }),
        "superseded" => Err(ClaimError::Superseded { by: epoch }),
        "removed" => Err(ClaimError::Removed { up_to: epoch }),
        _ => Err(unexpected("claim").into()),
    }
}

/// Reads what has expired.
pub(crate) fn expired(answer: &Value) -> Result<Vec<Expired>, TransportError> {
    let Value::Array(words) = answer else {
        return Err(unexpected("expired"));
    };
    let read = |words: &[Value]| {
        let [task, run, cause] = words else {
            return None;
        };
        let cause = match text(cause)? {
            "l" => ExpiredCause::Lease,
            "q" => ExpiredCause::Quiet,
            "s" => ExpiredCause::Silent,
            _ => return None,
        };
        Some(Expired::new(parse(task)?, Epoch::new(number(run)?), cause))
    };
    let expired = words.chunks(3).map(read).collect::<Option<_>>();
    expired.ok_or_else(|| unexpected("expired"))
}

/// Reads tasks and what is asked of them.
pub(crate) fn requests(answer: &Value) -> Result<Vec<(TaskId, Request)>, TransportError> {
    let Value::Array(words) = answer else {
        return Err(unexpected("renew"));
    };
    let read = |words: &[Value]| match words {
        [task, request] => Some((parse(task)?, request_of(text(request)?)?)),
        _ => None,
    };
    let requests = words.chunks(2).map(read).collect::<Option<_>>();
    requests.ok_or_else(|| unexpected("renew"))
}

/// Writes a request.
pub(crate) fn write_request(request: &Request) -> Option<String> {
    match request {
        Request::Cancel { reason: None } => Some("cancel".to_owned()),
        Request::Cancel {
            reason: Some(reason),
        } => Some(format!("cancel {reason}")),
        _ => None,
    }
}

/// Reads a request.
pub(crate) fn request_of(text: &str) -> Option<Request> {
    match text.split_once(' ') {
        None if text == "cancel" => Some(Request::Cancel { reason: None }),
        Some(("cancel", reason)) => Some(Request::Cancel {
            reason: Some(reason.into()),
        }),
        _ => None,
    }
}

fn join(channels: &[ChannelName]) -> String {
    let names: Vec<_> = channels.iter().map(ChannelName::as_str).collect();
    names.join(" ")
}

/// Reads the channels of a task.
pub(crate) fn channels_of(text: &str) -> Vec<ChannelName> {
    let names = text.split(' ').map(ChannelName::from_str);
    names.filter_map(Result::ok).collect()
}

pub(crate) fn millis(time: std::time::Duration) -> u64 {
    u64::try_from(time.as_millis())
        .unwrap_or(MOST_MILLIS)
        .min(MOST_MILLIS)
}

pub(crate) fn text(value: &Value) -> Option<&str> {
    match value {
        Value::BulkString(bytes) => std::str::from_utf8(bytes).ok(),
        Value::SimpleString(text) => Some(text),
        _ => None,
    }
}

pub(crate) fn number(value: &Value) -> Option<u64> {
    match value {
        Value::Int(number) => u64::try_from(*number).ok(),
        value => text(value)?.parse().ok(),
    }
}

pub(crate) fn parse<T: FromStr>(value: &Value) -> Option<T> {
    text(value)?.parse().ok()
}

pub(crate) fn unexpected(of: &str) -> TransportError {
    TransportError::new(format_args!("an answer to {of} that cannot be read"))
}

/// The numbers of Redis's scripts are exact up to here.
const MOST_GENERATION: u64 = 1 << 53;
/// A century: what is added to the time of day stays a number that Lua keeps exactly.
const MOST_MILLIS: u64 = 100 * 366 * 24 * 3600 * 1000;

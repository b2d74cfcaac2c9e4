//! What workers in other languages need of the nodes: that the functions are there, and know how long
//! things last.

use redis::Value;

use crate::{
    ask::load,
    claims::{millis, text, unexpected},
    connection::{Connection, Failure},
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
    pub(crate) async fn keep(&self, connection: &Connection, keys: &Keys) {
        if let Err(failure) = self.try_keep(connection, keys).await {
            tracing::debug!(%failure, "the functions that others call are not looked after");
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

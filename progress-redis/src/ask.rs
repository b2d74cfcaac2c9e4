//! What is asked of Redis in one go, and may be asked again.

use redis::{Cmd, Value};

use crate::{
    client::{Connection, Failure},
    functions,
};

/// What is asked of a connection.
pub(crate) enum Ask<'a> {
    Call(&'a Cmd),
    Function(&'a Cmd),
    Subscribe(&'a [String]),
    Unsubscribe(&'a [String]),
}

impl Ask<'_> {
    /// Does it on these connections.
    pub(crate) async fn of(
        &self,
        connection: &Connection,
        subscriber: &Connection,
    ) -> Result<Value, Failure> {
        match self {
            Self::Call(command) => connection.call(command).await,
            Self::Function(call) => match connection.call(call).await {
                // Redis has the library not, or no longer.
                Err(Failure::Refused(error)) if functions::is_missing(&error) => {
                    load(connection).await?;
                    connection.call(call).await
                }
                answer => answer,
            },
            Self::Subscribe(channels) => {
                subscriber.subscribe(channels).await?;
                Ok(Value::Okay)
            }
            Self::Unsubscribe(channels) => {
                subscriber.unsubscribe(channels).await?;
                Ok(Value::Okay)
            }
        }
    }
}

/// Loads the library of functions.
pub(crate) async fn load(connection: &Connection) -> Result<(), Failure> {
    match connection.call(&functions::load()).await {
        Err(Failure::Refused(error)) if functions::is_there_already(&error) => Ok(()),
        loaded => loaded.map(drop),
    }
}

/// Says aloud what does not go away by itself: that the access rules lack something.
pub(crate) fn heard<T>(answer: Result<T, Failure>) -> Result<T, Failure> {
    if let Err(Failure::Refused(error)) = &answer
        && [
            "NoPerm",
            "NOPERM",
            "no permissions",
            "can't run this command",
        ]
        .iter()
        .any(|word| error.contains(word))
    {
        tracing::error!(%error, "Redis refuses what is needed");
    }
    answer
}

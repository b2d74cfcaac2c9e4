//! The functions that Redis runs; see `functions/*.lua`.

use redis::Cmd;

/// The library. Its name and those of its functions hold the version of what they keep, so that nodes of
/// two versions can share one Redis.
pub(crate) const LIBRARY: &str = concat!(
    include_str!("functions/common.lua"),
    include_str!("functions/runs.lua"),
    include_str!("functions/submit.lua"),
    include_str!("functions/json.lua"),
    include_str!("functions/publish.lua"),
    include_str!("functions/read.lua"),
    include_str!("functions/leases.lua"),
    include_str!("functions/register.lua"),
);

/// A function of the library.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Function {
    Claim,
    Finish,
    Open,
    Submit,
    Read,
    Request,
    Renew,
    Expired,
    Remove,
    Times,
    Agree,
    Ingest,
}

impl Function {
    /// Makes a call with one key.
    pub(crate) fn on(self, key: &str) -> Cmd {
        let (command, name) = match self {
            Self::Claim => ("FCALL", "progress_1_claim"),
            Self::Finish => ("FCALL", "progress_1_finish"),
            Self::Open => ("FCALL", "progress_1_open"),
            Self::Submit => ("FCALL", "progress_1_submit"),
            // Also when memory is short, and from a replica.
            Self::Read => ("FCALL_RO", "progress_1_read"),
            Self::Request => ("FCALL", "progress_1_request"),
            Self::Renew => ("FCALL", "progress_1_renew"),
            Self::Expired => ("FCALL", "progress_1_expired"),
            Self::Remove => ("FCALL", "progress_1_remove"),
            Self::Times => ("FCALL_RO", "progress_1_times"),
            Self::Agree => ("FCALL", "progress_1_agree"),
            Self::Ingest => ("FCALL", "progress_1_ingest"),
        };
        let mut call = redis::cmd(command);
        call.arg(name).arg(1).arg(key);
        call
    }
}

/// Tells whether an answer says that the library is not there: it was flushed, or Redis was started anew.
pub(crate) fn is_missing(error: &str) -> bool {
    error.contains("Function not found")
}

/// Makes the command that loads the library.
pub(crate) fn load() -> Cmd {
    let mut load = redis::cmd("FUNCTION");
    load.arg("LOAD").arg(LIBRARY);
    load
}

/// Tells whether another node has loaded it meanwhile.
pub(crate) fn is_there_already(error: &str) -> bool {
    error.contains("already exists")
}

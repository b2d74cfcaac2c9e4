//! What a gateway can be set to.

use std::{sync::Arc, time::Duration};

use progress_core::ProgressTracker;
use tokio::runtime::Handle;

use crate::{
    auth::{Authorizer, Ladder, Open, Secrets},
    encoders::{Formats, FrameEncoder, presets},
    gateway::Gateway,
    http_api::HttpSettings,
    limits::LimitSettings,
    metrics::keep_current,
    session::{MessageRate, Pace},
};

/// What a [`Gateway`] was set to.
#[derive(Debug)]
pub(crate) struct Settings {
    pub(crate) authorizer: Arc<dyn Authorizer>,
    pub(crate) ladder: Ladder,
    pub(crate) secrets: Secrets,
    pub(crate) tickets: usize,
    pub(crate) pace: Pace,
    pub(crate) prefix: String,
    pub(crate) topics: usize,
    pub(crate) lag: usize,
    pub(crate) message: usize,
    pub(crate) body: usize,
    pub(crate) stuck_after: Duration,
    pub(crate) sessions: usize,
    pub(crate) limits: LimitSettings,
    pub(crate) http: HttpSettings,
    pub(crate) formats: Formats,
    pub(crate) aliases: bool,
    pub(crate) dashboard: bool,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            authorizer: Arc::new(Open::new()),
            ladder: Ladder::default(),
            secrets: Secrets::default(),
            tickets: 10_000,
            pace: Pace::default(),
            prefix: String::new(),
            topics: 64,
            lag: 64,
            message: 16 * 1024,
            body: 8 * 1024 * 1024,
            stuck_after: Duration::from_secs(30),
            sessions: 10_000,
            limits: LimitSettings::default(),
            http: HttpSettings::default(),
            formats: Formats::default(),
            aliases: false,
            dashboard: true,
        }
    }
}

/// Settings of a [`Gateway`].
#[derive(Debug)]
#[must_use = "nothing is made until build()"]
pub struct GatewayBuilder {
    tracker: ProgressTracker,
    pub(crate) settings: Settings,
}

impl GatewayBuilder {
    pub(crate) fn new(tracker: ProgressTracker) -> Self {
        Self {
            tracker,
            settings: Settings::default(),
        }
    }

    /// Sets who may do what (default [`Open::new`]).
    pub fn authorizer(mut self, authorizer: impl Authorizer) -> Self {
        self.settings.authorizer = Arc::new(authorizer);
        self
    }

    /// Sets how often a connection gets a heartbeat frame, and a WebSocket a ping (default 30 s,
    /// at least 1 ms).
    pub fn heartbeat(mut self, every: Duration) -> Self {
        self.settings.pace.heartbeat = every.clamp(Duration::from_millis(1), LONGEST);
        self
    }

    /// Sets how long a WebSocket may show no sign of life before it is closed with 4012 (default
    /// 60 s).
    pub fn dead_after(mut self, silence: Duration) -> Self {
        self.settings.pace.dead_after = silence.min(LONGEST);
        self
    }

    /// Sets how long a task that does not exist is waited for (default 10 s).
    pub fn unknown_wait(mut self, wait: Duration) -> Self {
        self.settings.pace.unknown_wait = wait.min(LONGEST);
        self
    }

    /// Sets how old a connection may get, give or take a tenth (default: as old as it likes). An
    /// older one is sent away as by a [drain](Gateway::drain): told `draining` and closed with 4001.
    /// Its client comes back with its position, to whichever node the balancer then picks, so that
    /// nodes that are new or were away get their share of connections that last.
    pub fn max_connection_age(mut self, age: Duration) -> Self {
        self.settings.pace.max_age = Some(age.min(LONGEST));
        self
    }

    /// Sets the path that the routes are nested under (default none), such as `/api`: it stands
    /// before the paths of [`Gateway::urls`].
    pub fn prefix(mut self, prefix: impl Into<String>) -> Self {
        self.settings.prefix = prefix.into();
        self
    }

    /// Sets for how long after a flush a busy connection gathers what it sends next (default 5 ms;
    /// nothing for never): the most that a frame can be late by it. An idle connection sends at
    /// once.
    pub fn linger(mut self, moment: Duration) -> Self {
        self.settings.pace.linger = moment.min(LONGEST);
        self
    }

    /// Sets how many messages a WebSocket's client may send at once, and then per minute (default
    /// 200, then 100; each at least 1). One more closes the connection with 4029.
    pub fn message_rate(mut self, burst: u32, per_minute: u32) -> Self {
        self.settings.pace.rate = MessageRate { burst, per_minute };
        self
    }

    /// Sets how many topics one command of a WebSocket's client can name (default 100).
    pub fn topics_per_command(mut self, topics: usize) -> Self {
        self.settings.pace.command_topics = topics;
        self
    }

    /// Sets how many topics one WebSocket can watch at a time (default 1 000).
    pub fn topics_per_session(mut self, topics: usize) -> Self {
        self.settings.pace.session_topics = topics;
        self
    }

    /// Sets how many tasks and channels one event stream can watch (default 64).
    pub fn topics(mut self, topics: usize) -> Self {
        self.settings.topics = topics;
        self
    }

    /// Sets how many events a connection may be behind its task before it skips State that has
    /// been superseded (default 64).
    pub fn lag(mut self, events: usize) -> Self {
        self.settings.lag = events;
        self
    }

    /// Sets the largest message that a WebSocket takes, in bytes (default 16 KiB).
    pub fn message(mut self, bytes: usize) -> Self {
        self.settings.message = bytes;
        self
    }

    /// Sets the largest body that a request may have, in bytes (default 8 MiB): a larger one is
    /// answered 413.
    pub fn body(mut self, bytes: usize) -> Self {
        self.settings.body = bytes;
        self
    }

    /// Sets how long a WebSocket may accept no byte before it is given up with 4008 (default
    /// 30 s), and how long a request's body may take before it is answered 408; as long again for
    /// each further 64 KiB.
    pub fn stuck_after(mut self, patience: Duration) -> Self {
        self.settings.stuck_after = patience.min(LONGEST);
        self
    }

    /// Sets how many connections there can be at a time (default 10 000).
    pub fn sessions(mut self, sessions: usize) -> Self {
        self.settings.sessions = sessions;
        self
    }

    /// Adds a shape that clients can ask for with `?format=name`: see [`encoders`](crate::encoders).
    /// `progress.v1` is the protocol's own and stays it.
    pub fn format(mut self, name: impl Into<String>, encoder: impl FrameEncoder) -> Self {
        self.settings.formats.insert(name.into(), encoder);
        self
    }

    /// Adds the [`presets`], each under its name unless there is a format of that name.
    pub fn presets(mut self) -> Self {
        presets::insert_all(&mut self.settings.formats);
        self
    }

    /// Sets the format of connections that ask for none (default: the protocol's own,
    /// `progress.v1`). Whoever asks for a subprotocol of the protocol gets that. With a name that
    /// no format has, connections that ask for none are refused as if they had asked for it.
    pub fn default_format(mut self, name: impl Into<String>) -> Self {
        self.settings.formats.set_default(name.into());
        self
    }

    /// Has the routes answer on paths of other systems too (default no), for clients that are to
    /// stay as they are:
    ///
    /// | Path | A WebSocket | Else |
    /// | --- | --- | --- |
    /// | `/ws/progress/{task_id}/latest` | the task from its newest event on | its snapshot |
    /// | `/ws/progress/{task_id}/history` | the task from its beginning | its history |
    /// | `/ws/active-tasks` | | the tasks that have not ended |
    /// | `/api/v1/projects/{task_id}/progress` | the task, as [`EventData`] | its snapshot |
    ///
    /// [`EventData`]: crate::encoders::presets::EventData
    pub fn aliases(mut self) -> Self {
        self.settings.aliases = true;
        let (name, preset) = (presets::EventData::NAME, presets::EventData::default());
        self.settings.formats.insert_preset(name, preset);
        self
    }

    /// Sets whether there is a page at `/dashboard` (default yes): the live tasks, with what can be done
    /// about them. The page is the same for everybody and holds nothing; what it shows it asks for by
    /// the other routes, as whoever looks at it may. It takes the permission to list, and to watch
    /// the channel `_tasks`.
    pub fn dashboard(mut self, is_there: bool) -> Self {
        self.settings.dashboard = is_there;
        self
    }

    /// Makes the gateway. Within a tokio runtime its tracker joins the other nodes now, and not when somebody
    /// first asks for a task: a node that nobody watches ends the tasks of dead ones all the same.
    #[must_use]
    pub fn build(mut self) -> Gateway {
        let runtime = Handle::try_current().ok();
        if runtime.is_some() {
            self.tracker.connect();
        }
        if let Some(url) = &self.settings.http.base_url
            && let Some(origin) = url.origin()
        {
            self.settings.ladder.origins.add(origin);
        }
        let gateway = Gateway::assemble(self.tracker, self.settings);
        if let Some(runtime) = runtime {
            runtime.spawn(keep_current(gateway.downgrade()));
        }
        gateway
    }
}

/// As good as for ever, and a clock can still count to it.
pub(crate) const LONGEST: Duration = Duration::from_secs(10 * 365 * 24 * 3600);

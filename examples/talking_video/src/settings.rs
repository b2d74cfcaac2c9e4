//! What the server is set to.

use std::{
    net::{Ipv4Addr, SocketAddr},
    path::PathBuf,
    time::Duration,
};

use demo::multipart::UploadLimits;
use pipeline_gpu::{
    remote::{Renderer, Webhook},
    stages::IfNobody,
};
use progress_web::Network;

use crate::users::Users;

/// Bounds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of a picture (default 16 MiB).
    pub image: usize,
    /// Bytes of a voice (default 32 MiB).
    pub audio: usize,
    /// Uploads at a time, each of which is held in memory (default 4).
    pub uploads: usize,
    /// How long a client may send nothing (default 30 s).
    pub idle: Duration,
    /// How long a whole upload may take, however steadily it comes (default 120 s).
    pub upload_time: Duration,
    /// Uploads that wait for the pipeline (default 16).
    pub waiting: usize,
    /// How long a voice may be (default 60 s).
    pub longest_voice: Duration,
    /// How long a video may take (default 15 min).
    pub deadline: Duration,
    /// Renders in a row that fail by the renderer's fault until it is left alone (default 5).
    pub failures: u32,
    /// For how long it is (default 60 s). Then one render at a time tries it, and the first that goes well lets all to it again; one
    /// that takes longer than this makes room for another, and counts from then on only if it goes well.
    pub left_alone: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            image: 16 << 20,
            audio: 32 << 20,
            uploads: 4,
            idle: Duration::from_secs(30),
            upload_time: Duration::from_secs(120),
            waiting: 16,
            longest_voice: Duration::from_secs(60),
            deadline: Duration::from_secs(15 * 60),
            failures: 5,
            left_alone: Duration::from_secs(60),
        }
    }
}

impl Limits {
    /// The bounds as those of any upload.
    pub(crate) fn upload(&self) -> UploadLimits {
        UploadLimits {
            file: self.audio.max(self.image) as u64,
            request: self.request() as u64,
            files: 2,
            uploads: self.uploads,
            idle: self.idle,
        }
    }

    /// Both files, and what stands around them.
    pub(crate) fn request(&self) -> usize {
        self.image
            .saturating_add(self.audio)
            .saturating_add(64 << 10)
    }
}

/// Who renders.
#[derive(Debug, Clone)]
pub struct Rendering {
    /// The client.
    pub renderer: Renderer,
    /// Whether it is the [stand-in](crate::stand_in).
    pub is_stand_in: bool,
}

/// Settings of the server.
#[derive(Debug, Clone)]
#[must_use]
pub struct Settings {
    pub(crate) listen: SocketAddr,
    pub(crate) users: Users,
    pub(crate) rendering: Rendering,
    pub(crate) origins: Vec<String>,
    pub(crate) proxies: Vec<Network>,
    pub(crate) if_nobody: IfNobody,
    pub(crate) limits: Limits,
    pub(crate) retention: Duration,
    pub(crate) token_ttl: Duration,
    pub(crate) heartbeat: Duration,
    pub(crate) prior_file: Option<PathBuf>,
    pub(crate) webhook: Option<Webhook>,
    pub(crate) public_url: Option<String>,
}

impl Settings {
    /// Serves these users on 127.0.0.1:8080, with videos of this renderer.
    pub fn new(users: Users, rendering: Rendering) -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            users,
            rendering,
            origins: Vec::new(),
            proxies: Vec::new(),
            if_nobody: IfNobody::Fail,
            limits: Limits::default(),
            retention: Duration::from_secs(3_600),
            token_ttl: Duration::from_secs(2 * 3_600),
            heartbeat: Duration::from_secs(30),
            prior_file: None,
            webhook: None,
            public_url: None,
        }
    }

    /// Sets the address to listen on.
    pub fn listen(mut self, address: SocketAddr) -> Self {
        self.listen = address;
        self
    }

    /// Trusts the pages of another origin, such as `https://app.example.org` (default none).
    pub fn origin(mut self, origin: impl Into<String>) -> Self {
        self.origins.push(origin.into());
        self
    }

    /// Takes the word of the proxies of a network, in `X-Forwarded-For`, for whom they speak (default none). They have to set or
    /// append to that header, or every client chooses its address.
    pub fn trusted_proxy(mut self, network: Network) -> Self {
        self.proxies.push(network);
        self
    }

    /// Sets what is done about a picture in which nobody is found (default [`IfNobody::Fail`]).
    pub fn if_nobody(mut self, what: IfNobody) -> Self {
        self.if_nobody = what;
        self
    }

    /// Sets the bounds.
    pub fn limits(mut self, limits: Limits) -> Self {
        self.limits = limits;
        self
    }

    /// Sets for how long tasks that have ended, and their videos, are kept (default 1 h).
    pub fn retention(mut self, time: Duration) -> Self {
        self.retention = time;
        self
    }

    /// Sets for how long the token of a task counts (default 2 h).
    pub fn token_ttl(mut self, time: Duration) -> Self {
        self.token_ttl = time;
        self
    }

    /// Sets how often watchers get a heartbeat (default 30 s). One that says nothing for twice as long is dead, and removed.
    pub fn heartbeat(mut self, every: Duration) -> Self {
        self.heartbeat = every;
        self
    }

    /// Keeps in a file how long the stages took, for their weights and estimates after a restart (default: it is learned anew).
    pub fn prior_file(mut self, file: impl Into<PathBuf>) -> Self {
        self.prior_file = Some(file.into());
        self
    }

    /// Is told by the renderer that a job has ended, in messages that are signed as this has it (default: the renderer is only
    /// asked). What it is to post to comes with each job, if it is said at which `public_url` it reaches this server, such as
    /// `https://video.example.org`; else it has to know.
    pub fn webhook(mut self, webhook: Webhook, public_url: Option<String>) -> Self {
        self.webhook = Some(webhook);
        self.public_url = public_url;
        self
    }
}

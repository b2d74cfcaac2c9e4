//! A renderer to try the rest with: it speaks the part of D-ID's API that [`pipeline_gpu::remote`] uses, on this machine, and
//! what it renders is no talking head of a neural network. It moves the mouth of the picture, or a bar below it where no face is
//! known, as loud as the voice is, in an animated PNG without sound.

mod animate;
mod drive;
mod jobs;
mod messenger;
mod routes;

use std::{fmt, net::SocketAddr, sync::Arc};

use pipeline_gpu::remote::{ApiKey, RemoteError, Webhook};
use progress_core::TaskId;
use tokio::net::TcpListener;

pub use self::{
    animate::{AnimateError, animate},
    drive::Drive,
};
use self::{jobs::Jobs, messenger::Messenger};

/// The stand-in, bound and ready to serve.
#[derive(Debug)]
pub struct StandIn {
    listener: TcpListener,
    address: SocketAddr,
    key: Key,
    webhooks: Option<(Webhook, SocketAddr)>,
}

/// What its clients have to have: what stands behind `Basic`, which is how D-ID hands keys out.
#[derive(Clone)]
pub struct Key(Arc<str>);

impl Key {
    /// That of whoever set it.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.trim().into())
    }

    /// One that nobody else has.
    #[must_use]
    pub fn random() -> Self {
        Self(format!("{}{}", TaskId::random(), TaskId::random()).into())
    }

    /// As the client has it.
    ///
    /// # Errors
    ///
    /// [`RemoteError::Config`] if it is none.
    pub fn api_key(&self) -> Result<ApiKey, RemoteError> {
        ApiKey::encoded(&self.0)
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(..)")
    }
}

impl StandIn {
    /// Binds an address.
    ///
    /// # Errors
    ///
    /// What the system says if it cannot be had.
    ///
    /// # Cancel safety
    ///
    /// If the future is dropped, nothing listens.
    pub async fn bind(address: SocketAddr, key: Key) -> std::io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        Ok(Self {
            address: listener.local_addr()?,
            listener,
            key,
            webhooks: None,
        })
    }

    /// Posts the end of each job that names a webhook (default: it tells nobody), signed in `X-Signature`. The URL's path is asked
    /// for at this address, by http: jobs name URLs by https, and what has that certificate may be in front of the server, or
    /// nowhere yet. What is not taken is sent again, for 25 s.
    #[must_use]
    pub fn webhooks(mut self, webhook: Webhook, address: SocketAddr) -> Self {
        self.webhooks = Some((webhook, address));
        self
    }

    /// Returns its base URL.
    #[must_use]
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Serves until it is dropped.
    ///
    /// # Errors
    ///
    /// What the system says if there is no place for files.
    ///
    /// # Cancel safety
    ///
    /// Dropping the future takes no more connections. Those that are open are served to their end, jobs too, unless the runtime ends
    /// before; the files go with the last of them.
    pub async fn run(self) -> std::io::Result<()> {
        let url = self.url();
        let messenger = self
            .webhooks
            .map(|(webhook, address)| Messenger::new(webhook, address));
        let messenger = messenger.transpose().map_err(std::io::Error::other)?;
        let jobs = Jobs::new(url, self.key, messenger)?;
        axum::serve(self.listener, routes::routes(jobs)).await
    }
}

//! Tells a client that its job has ended.

use std::{net::SocketAddr, time::Duration};

use axum::http::{Uri, header};
use pipeline_gpu::remote::Webhook;
use reqwest::{Client, redirect::Policy};
use serde_json::Value;
use tokio::time::sleep;

pub(super) struct Messenger {
    webhook: Webhook,
    /// Who is told, whatever the URL names.
    address: SocketAddr,
    client: Client,
}

impl Messenger {
    pub(super) fn new(webhook: Webhook, address: SocketAddr) -> reqwest::Result<Self> {
        // Nobody's proxy is asked for what is here.
        let client = Client::builder().no_proxy().redirect(Policy::none());
        Ok(Self {
            webhook,
            address,
            client: client.timeout(LONGEST).build()?,
        })
    }

    /// Posts what is said of a job, until it is taken or was tried often enough.
    pub(super) async fn tell(&self, url: &Uri, talk: &Value) {
        let path = url.path_and_query().map_or("/", |path| path.as_str());
        let url = format!("http://{}{path}", self.address);
        let body = talk.to_string();
        let signature = self.webhook.sign(body.as_bytes());
        let mut delay = FIRST_DELAY;
        for attempt in 1..=TRIES {
            let message = self.client.post(&url).body(body.clone());
            let message = message
                .header(header::CONTENT_TYPE, "application/json")
                .header("x-signature", &signature);
            match message.send().await {
                Ok(answer) if answer.status().is_success() => return,
                Ok(answer) => tracing::debug!(status = %answer.status(), "a message is not taken"),
                Err(error) => tracing::debug!(%error, "a message does not arrive"),
            }
            if attempt < TRIES {
                sleep(delay).await;
                delay *= 2;
            }
        }
        tracing::warn!("nobody takes the message that a job has ended");
    }
}

/// Of one try.
const LONGEST: Duration = Duration::from_secs(10);
const TRIES: usize = 9;
/// It doubles: 25 s in all.
const FIRST_DELAY: Duration = Duration::from_millis(100);

//! The broker that several of these servers share.

use progress_core::TrackerBuilder;

use crate::settings::Settings;

/// Makes a tracker one node of those that share a Redis.
///
/// # Errors
///
/// If the URL or the prefix cannot be one.
#[cfg(feature = "redis")]
pub(crate) fn join(
    tracker: TrackerBuilder,
    url: &str,
    settings: &Settings,
) -> anyhow::Result<TrackerBuilder> {
    use anyhow::Context as _;
    use progress_redis::RedisTransport;

    let mut transport = RedisTransport::builder(url).retention(settings.retention);
    if let Some(prefix) = &settings.redis_prefix {
        transport = transport.prefix(prefix);
    }
    Ok(tracker.transport(transport.build().context("redis")?))
}

/// Refuses to: it was built without.
///
/// # Errors
///
/// Always.
#[cfg(not(feature = "redis"))]
pub(crate) fn join(_: TrackerBuilder, _: &str, _: &Settings) -> anyhow::Result<TrackerBuilder> {
    anyhow::bail!("redis: this server was built without its feature `redis`")
}

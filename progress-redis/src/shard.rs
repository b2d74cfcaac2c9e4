//! One Redis: two connections, kept up for ever.
//!
//! Commands go over the one and pushes come over the other, so that a reader that is slow, or that
//! Redis drops for it, holds up no writer. Everything that the transport asks goes through here;
//! a second shard, or one behind Sentinel, is another one of these.

use std::{
    collections::HashSet,
    convert::Infallible,
    future::pending,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use progress_core::transport::{NodeId, Topic, TransportError, TransportEvent, TransportHealth};
use redis::{Cmd, Pipeline, PushKind, Value};
use tokio::{
    sync::{Notify, watch},
    time::{Instant, MissedTickBehavior, interval, interval_at, sleep, timeout},
};

use crate::{
    arrivals::Arrivals,
    ask::{Ask, heard, load},
    client::{Connect, Connection, Failure, Known, Patience, Pushed},
    foreign::Services,
    functions,
    health::Pulse,
    keys::Keys,
};

#[derive(Debug)]
pub(crate) struct Shard {
    server: Box<dyn Connect>,
    keys: Keys,
    probe_every: Duration,
    state: watch::Sender<State>,
    /// The channels to be subscribed to, whatever happens to the connection.
    wanted: Mutex<HashSet<String>>,
    arrivals: Arrivals,
    /// On which this shard hears itself.
    probe: String,
    /// Workers in other languages are served by the functions alone, and by what is said here.
    services: Services,
    /// The newest probe that was heard.
    heard: AtomicU64,
    pulse: Pulse,
}

/// Whether Redis can be reached.
#[derive(Debug, Clone)]
enum State {
    /// It is being tried for the first time, or for the first time after it could be reached: that is
    /// worth waiting for.
    Tried,
    Up(Connected),
    Down(TransportError),
}

#[derive(Debug, Clone)]
struct Connected {
    commands: Connection,
    subscriber: Connection,
    lost: Arc<Lost>,
}

/// Whether one of a pair of connections is gone; what has to be said about former ones is not heard.
#[derive(Debug, Default)]
struct Lost {
    is: AtomicBool,
    notify: Notify,
}

impl Lost {
    fn set(&self) {
        self.is.store(true, Ordering::Release);
        self.notify.notify_one();
    }

    async fn wait(&self) -> Failure {
        while !self.is.load(Ordering::Acquire) {
            self.notify.notified().await;
        }
        Failure::Away(TransportError::new("disconnected"))
    }
}

impl Shard {
    pub(crate) fn new(
        server: impl Connect + 'static,
        keys: Keys,
        probe_every: Duration,
        arrivals: Arrivals,
        services: Services,
    ) -> Self {
        let probe = keys.probe(NodeId::random().as_str());
        Self {
            server: Box::new(server),
            keys,
            probe_every,
            state: watch::Sender::new(State::Tried),
            wanted: Mutex::default(),
            arrivals,
            probe,
            services,
            heard: AtomicU64::new(0),
            pulse: Pulse::new(probe_every),
        }
    }

    pub(crate) fn keys(&self) -> &Keys {
        &self.keys
    }

    pub(crate) fn health(&self) -> TransportHealth {
        let mut health = self.pulse.read();
        (health.dropped, health.malformed) = self.arrivals.counts();
        health
    }

    /// The connections, as soon as the first try has shown whether there are any.
    async fn connected(&self) -> Result<Connected, Failure> {
        let mut state = self.state.subscribe();
        let Patience { connect, answer } = self.server.patience();
        let known = timeout(
            connect + answer,
            state.wait_for(|state| !matches!(state, State::Tried)),
        );
        if let Ok(Ok(state)) = known.await {
            match &*state {
                State::Up(connected) => return Ok(connected.clone()),
                State::Down(error) => return Err(Failure::Away(error.clone())),
                State::Tried => {}
            }
        }
        Err(Failure::Away(TransportError::new("not connected yet")))
    }

    /// Does something, and does it once more on the next connection if this one breaks.
    async fn twice(&self, what: Ask<'_>) -> Result<Value, Failure> {
        let connected = self.connected().await?;
        match what.of(&connected.commands, &connected.subscriber).await {
            Err(Failure::Lost(_)) => {
                connected.lost.set();
                let mut state = self.state.subscribe();
                let other = state.wait_for(|state| match state {
                    State::Up(now) => now.commands.known() != connected.commands.known(),
                    State::Tried | State::Down(_) => true,
                });
                drop(timeout(self.server.patience().connect, other).await);
                let next = self.connected().await?;
                what.of(&next.commands, &next.subscriber).await
            }
            answer => answer,
        }
    }

    /// Has one command done that changes nothing when it is done again.
    pub(crate) async fn call(&self, command: &Cmd) -> Result<Value, Failure> {
        self.noted(self.twice(Ask::Call(command)).await)
    }

    /// Has a function called that changes nothing when it is called again.
    pub(crate) async fn function(&self, call: &Cmd) -> Result<Value, Failure> {
        self.noted(self.twice(Ask::Function(call)).await)
    }

    /// Has a function called, which may be done or not if there is no answer.
    pub(crate) async fn function_once(&self, call: &Cmd) -> Result<Value, Failure> {
        let now = self.connected().await?;
        self.noted(Ask::Function(call).of(&now.commands, &now.subscriber).await)
    }

    /// Has commands done as one; see [`Client::transact`](crate::client::Client::transact). None of them may be answered by an error
    /// because the library is missing: they are done once more then, and have to bear it.
    pub(crate) async fn transact(&self, commands: &Pipeline) -> Result<Vec<Value>, Failure> {
        let connection = self.connected().await?.commands;
        let answers = self.noted(connection.transact(commands).await)?;
        let missing = answers.iter().any(|answer| match answer {
            Value::ServerError(error) => functions::is_missing(&error.to_string()),
            _ => false,
        });
        if !missing {
            return Ok(answers);
        }
        load(&connection).await?;
        self.noted(connection.transact(commands).await)
    }

    /// Has a refusal shown to operators.
    fn noted<T>(&self, answer: Result<T, Failure>) -> Result<T, Failure> {
        if let Err(failure @ Failure::Refused(_)) = &answer {
            self.pulse.failed(failure);
        }
        heard(answer)
    }

    /// Subscribes to a channel from now on, also after an outage; confirmed when it returns.
    pub(crate) async fn subscribe(&self, channel: String) -> Result<(), Failure> {
        // Before the connection is asked for: one that is made meanwhile finds it.
        let is_new = self.wanted().insert(channel.clone());
        let channels = [channel];
        let subscribed = self.twice(Ask::Subscribe(&channels)).await;
        if subscribed.is_err() && is_new {
            self.wanted().remove(&channels[0]);
        }
        subscribed.map(drop)
    }

    pub(crate) fn is_wanted(&self, channel: &str) -> bool {
        self.wanted().contains(channel)
    }

    pub(crate) async fn unsubscribe(&self, channel: String) -> Result<(), Failure> {
        self.wanted().remove(&channel);
        let channels = [channel];
        self.twice(Ask::Unsubscribe(&channels)).await.map(drop)
    }

    fn wanted(&self) -> MutexGuard<'_, HashSet<String>> {
        self.wanted.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Has core look at a topic once more.
    pub(crate) fn resync(&self, topic: Topic) {
        self.arrivals.resync(topic);
    }

    /// Connects, and connects again, for ever.
    pub(crate) async fn supervise(self: Arc<Self>) {
        let mut before = Vec::new();
        let mut told_down = false;
        let mut pause = SHORTEST_PAUSE;
        loop {
            let began = Instant::now();
            let mut served = false;
            let error = match self.connect(&mut before).await {
                Ok(connected) => {
                    tracing::debug!("connected to Redis");
                    pause = SHORTEST_PAUSE;
                    self.pulse.connected();
                    self.state.send_replace(State::Up(connected.clone()));
                    if told_down {
                        told_down = false;
                        self.arrivals.event(TransportEvent::Up);
                    }
                    served = true;
                    let failure = self.serve(&connected).await;
                    connected.lost.set();
                    failure
                }
                Err(error) => error,
            };
            self.pulse.failed(&error);
            self.pulse.disconnected();
            let is_refusal = matches!(error, Failure::Refused(_));
            // One that has served for a while is worth a try at once, and a wait for what that brings.
            let at_once = served && began.elapsed() > LONGEST_PAUSE;
            self.state.send_replace(match at_once {
                true => State::Tried,
                false => State::Down(error.clone().into()),
            });
            if !told_down {
                told_down = true;
                // A refusal does not go away by itself: an access rule, a wrong version.
                if is_refusal {
                    tracing::error!(%error, "Redis refuses what is needed");
                } else {
                    tracing::warn!(%error, "Redis cannot be reached");
                }
                self.arrivals.event(TransportEvent::Down);
            }
            if !at_once {
                sleep(pause).await;
                pause = (pause * 2).min(LONGEST_PAUSE);
            }
        }
    }

    /// Does what is to be done as long as the connections are good.
    async fn serve(self: &Arc<Self>, connected: &Connected) -> Failure {
        let ingest = async {
            let (commands, subscriber) = (&connected.commands, &connected.subscriber);
            match &self.services.ingest {
                Some(ingest) => ingest.run(commands, subscriber, &self.arrivals).await,
                None => pending().await,
            }
        };
        tokio::select! {
            failure = self.watch_over(connected) => failure,
            never = self.look_after(connected) => match never {},
            never = ingest => match never {},
        }
    }

    /// Sees to it that others are served, at once and then now and then.
    async fn look_after(self: &Arc<Self>, connected: &Connected) -> Infallible {
        let mut ticks = interval(self.probe_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let (shard, commands) = (Arc::clone(self), connected.commands.clone());
            // By itself: what was taken from all nodes is to be told, though the connection break.
            let looked = tokio::spawn(async move {
                let Self { services, keys, .. } = &*shard;
                services.keep(&commands, keys, &shard.arrivals).await;
            });
            let _over = looked.await;
        }
    }

    /// Makes both connections, and subscribes to all that is wanted.
    async fn connect(self: &Arc<Self>, before: &mut Vec<Known>) -> Result<Connected, Failure> {
        let lost = Arc::<Lost>::default();
        let commands = self.server.connect(self.pushed(&lost)).await?;
        let subscriber = self.server.connect(self.pushed(&lost)).await?;
        // A command that was given up may still wait in a socket that Redis has not read. State that it
        // holds would be written over newer State: the connection goes before anything is written.
        for known in before.iter() {
            match commands.call(&known.kill()).await {
                Ok(_) => {}
                Err(Failure::Refused(error)) => {
                    tracing::error!(%error, "a former connection may still write");
                }
                Err(away) => return Err(away),
            }
        }
        before.clear();
        before.extend([commands.known().clone(), subscriber.known().clone()]);
        let mut wanted: Vec<_> = self.wanted().iter().cloned().collect();
        wanted.push(self.probe.clone());
        for channels in wanted.chunks(SUBSCRIBED_AT_ONCE) {
            subscriber.subscribe(channels).await?;
        }
        Ok(Connected {
            commands,
            subscriber,
            lost,
        })
    }

    /// What is done with a connection's pushes.
    fn pushed(self: &Arc<Self>, lost: &Arc<Lost>) -> Pushed {
        // Not strongly: a connection that outlives its shard tells nobody.
        let (shard, lost) = (Arc::downgrade(self), Arc::clone(lost));
        Box::new(move |push| {
            let Some(shard) = shard.upgrade() else {
                return;
            };
            match push.kind {
                PushKind::Disconnection => lost.set(),
                PushKind::Message => shard.message(push.data),
                // Of a connection that is over the next one tells as well.
                PushKind::PMessage if !lost.is.load(Ordering::Acquire) => shard.foreign(push.data),
                _ => {}
            }
        })
    }

    fn foreign(&self, data: Vec<Value>) {
        let mut data = data.into_iter().skip(1);
        if let (Some(ingest), Some(Value::BulkString(channel)), Some(Value::BulkString(payload))) =
            (&self.services.ingest, data.next(), data.next())
        {
            ingest.message(&channel, payload, &self.arrivals);
        }
    }

    fn message(&self, data: Vec<Value>) {
        let mut data = data.into_iter();
        let (Some(Value::BulkString(channel)), Some(Value::BulkString(payload))) =
            (data.next(), data.next())
        else {
            return;
        };
        if channel == self.probe.as_bytes() {
            let probe = std::str::from_utf8(&payload).ok();
            if let Some(probe) = probe.and_then(|probe| probe.parse().ok()) {
                self.heard.fetch_max(probe, Ordering::AcqRel);
                self.pulse.heard(probe);
            }
            return;
        }
        self.arrivals.message(&channel, payload);
    }

    /// Waits until the connections are no longer good. That a socket is alive does not say that what is
    /// published comes: so something is published, and has to come.
    async fn watch_over(&self, connected: &Connected) -> Failure {
        // Of a connection before this one, or of this one: then the next probe shows it.
        let mut sent = self.heard.load(Ordering::Acquire);
        let mut missed = 0;
        let mut ticks = interval_at(Instant::now() + self.probe_every, self.probe_every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                failure = connected.lost.wait() => return failure,
                _ = ticks.tick() => {}
            }
            if self.heard.load(Ordering::Acquire) < sent {
                missed += 1;
            } else {
                missed = 0;
            }
            if missed >= MISSED {
                let error = TransportError::new("what is published does not come");
                return Failure::Away(error);
            }
            sent += 1;
            self.pulse.sent(sent);
            let mut publish = redis::cmd("PUBLISH");
            publish.arg(&self.probe).arg(sent);
            // It need not be waited for here: what counts is that it comes.
            let (commands, patience) = (connected.commands.clone(), self.probe_every);
            tokio::select! {
                failure = connected.lost.wait() => return failure,
                answer = timeout(patience, commands.call(&publish)) => match answer {
                    Ok(Ok(_)) => self.pulse.answered(),
                    Ok(Err(failure @ Failure::Refused(_))) => return failure,
                    Ok(Err(_)) | Err(_) => {}
                }
            }
        }
    }
}

const SHORTEST_PAUSE: Duration = Duration::from_millis(50);
const LONGEST_PAUSE: Duration = Duration::from_millis(500);
/// Channels in one SUBSCRIBE.
const SUBSCRIBED_AT_ONCE: usize = 500;
/// Probes that may be missing before a connection is given up.
const MISSED: u32 = 2;

#[cfg(test)]
mod tests;

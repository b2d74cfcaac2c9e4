//! A tracker as one node of several: mirrors of tasks that run elsewhere.

use std::{
    future::poll_fn,
    sync::{Arc, atomic::Ordering},
    task::{Poll, ready},
};

use tokio::time::Instant;

use crate::{
    channel::{ChannelName, ChannelShared, Feeds},
    error::{CancelError, ChannelError, LookupError, RemoveError, StartError},
    event::Note,
    id::TaskId,
    link::{Link, Located, Outbox, WatchGuard},
    position::{Epoch, Position},
    subscription::{ChannelSubscription, ResetReason, SubscribeError, SubscribeOptions},
    task::{TaskShared, ask_descendants},
    time::Timestamp,
    tracker::{TaskFilter, TaskPage, TrackerShared},
    transport::{Claim, Page, Request, RequestError, Topic, TransportError},
};

impl TrackerShared {
    /// Connects a task that starts here with the channels and the broker.
    pub(super) fn connect(
        self: &Arc<Self>,
        task: &mut TaskShared,
        channels: Vec<ChannelName>,
        restart: bool,
        previous: Option<&Arc<TaskShared>>,
    ) -> Result<(), StartError> {
        let Some(link) = &self.link else {
            task.feeds = Some(self.feeds(&channels)?);
            return Ok(());
        };
        // The broker numbers the channels' events: the outbox copies them.
        let node = self.node.clone();
        let claim = if restart {
            Claim::Restart { node, channels }
        } else {
            Claim::Start { node, channels }
        };
        task.outbox = Some(Box::new(Outbox::new(claim, previous.cloned())));
        link.ensure_running(self);
        Ok(())
    }

    /// Where the events of a task go that is in these channels.
    fn feeds(&self, channels: &[ChannelName]) -> Result<Arc<Feeds>, ChannelError> {
        let make = || {
            let channels = channels.iter().map(|name| self.channel(name));
            let channels = channels.collect::<Result<_, _>>()?;
            let list = self.channel(&ChannelName::tasks())?;
            Ok(Arc::new(Feeds { list, channels }))
        };
        if !channels.is_empty() {
            return make();
        }
        let list_alone = &self.channels.list_alone;
        match list_alone.get() {
            Some(feeds) => Ok(Arc::clone(feeds)),
            None => make().map(|feeds| Arc::clone(list_alone.get_or_init(|| feeds))),
        }
    }

    /// Finds a channel or makes it.
    pub(crate) fn channel(&self, name: &ChannelName) -> Result<Arc<ChannelShared>, ChannelError> {
        let limit = self.limits.channels;
        self.channels
            .get_or_make(name, limit, || {
                // With a broker, its run is the one that counts, whatever the number.
                let epoch = match &self.link {
                    Some(_) => Epoch::FOREIGN,
                    None => self.next_epoch(),
                };
                (epoch, self.limits.channel_log.clone())
            })
            .ok_or(ChannelError::TooMany { limit })
    }

    pub(crate) fn subscribe_channel(
        self: &Arc<Self>,
        name: ChannelName,
        options: SubscribeOptions,
    ) -> ChannelSubscription {
        let permit = match self.subscription_permit() {
            Ok(permit) => permit,
            Err(error) => return ChannelSubscription::rejected(error),
        };
        if let Some(link) = &self.link {
            link.ensure_running(self);
            let watch = link.watch(Topic::Channel(name.clone()));
            return ChannelSubscription::sought(name, self, options, permit, watch);
        }
        match self.channel(&name) {
            Ok(channel) => ChannelSubscription::known(channel, self, &options, permit),
            Err(error) => ChannelSubscription::rejected(SubscribeError::Channel(error)),
        }
    }

    /// Takes over what the broker holds of a topic after a position. None if it has to be read once
    /// more: something has changed meanwhile.
    pub(crate) fn take_page(
        self: &Arc<Self>,
        topic: &Topic,
        page: &Page,
        after: Option<Position>,
    ) -> Option<Located> {
        match topic {
            Topic::Task(id) => self
                .take_task_page(id, page, after)
                .then_some(Located::Known),
            Topic::Channel(name) => match self.channel(name) {
                Ok(channel) => channel
                    .merge(page, after, || self.found_gap())
                    .then_some(Located::Known),
                Err(error) => {
                    tracing::warn!(channel = %name, %error, "channel not mirrored");
                    Some(Located::Unknown)
                }
            },
        }
    }

    /// Counts that something is lost for good which was to come here.
    pub(crate) fn found_gap(&self) {
        if let Some(link) = &self.link {
            link.counts.gaps.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn take_task_page(self: &Arc<Self>, id: &TaskId, page: &Page, after: Option<Position>) -> bool {
        let present = self.find(id);
        if let Some(task) = &present {
            // Two nodes may have minted the same number; the superseded one's is not the one meant.
            if task.epoch == page.epoch && !task.is_superseded() {
                return !task.is_mirror() || task.merge(page, after);
            }
            // An older run than this node's own: the claim is still on its way. Of a run that is
            // mirrored the broker has forgotten, and another holds that was minted before.
            if task.epoch > page.epoch && !task.is_superseded() && !task.is_mirror() {
                return true;
            }
        }
        let number = self.next_number();
        let mirror = Arc::new(TaskShared::new_mirror(id.clone(), page.epoch, number, self));
        if !mirror.merge(page, after) {
            return false;
        }
        let present = present.map(|task| task.number);
        let replaced = {
            let mut registry = self.registry.write();
            registry.replace(Arc::clone(&mirror), present)
        };
        let Some((wakers, replaced)) = replaced else {
            self.forgotten(&mirror);
            return false;
        };
        if mirror.is_ended() {
            self.task_ended(&mirror);
        }
        if let Some(task) = replaced {
            self.succeed(&task, &mirror);
        }
        drop(wakers.wake());
        self.sampler.ensure_running(self);
        true
    }

    /// Sends the readers of a run on to the one that took its place.
    fn succeed(&self, task: &Arc<TaskShared>, mirror: &Arc<TaskShared>) {
        if !task.is_mirror() && !task.end_is_told() {
            task.supersede();
        }
        // What has come to its end is read to it, unless that end does not count.
        let cut_off = mirror.is_ended() || mirror.is_before(task.epoch);
        let reason = if task.is_superseded() || (cut_off && !task.is_ended()) {
            ResetReason::Superseded
        } else {
            ResetReason::Restarted
        };
        self.forgotten(task);
        task.succeed(Arc::clone(mirror), reason);
        if self.registry.read().is_drained() {
            self.drained.notify_waiters();
        }
    }

    /// The broker knows nothing of a run of this node that was superseded: neither run is left. Its
    /// readers wait for an owner who tells of the one that counts once more.
    pub(crate) fn forget_superseded(&self, id: &TaskId) {
        let topic = Topic::Task(id.clone());
        if !self
            .link
            .as_ref()
            .is_some_and(|link| link.is_watched(&topic))
        {
            self.drop_watched(&topic);
        }
    }

    /// Keeps a task mirrored whose run that counts is elsewhere.
    pub(crate) fn watch_task(&self, task: &TaskShared) -> Option<WatchGuard> {
        let elsewhere = task.is_mirror() || task.is_superseded();
        let link = self.link.as_ref().filter(|_| elsewhere)?;
        Some(link.watch(Topic::Task(task.id.clone())))
    }

    /// The link, if other nodes may know more of a task than is known here: of one that is not
    /// known, and of one of this node that has ended, which may run again elsewhere.
    pub(super) fn link_to_ask(&self, known: Option<&TaskShared>) -> Option<&Arc<Link>> {
        let ask = known.is_none_or(|task| !task.is_mirror() && task.is_ended());
        self.link.as_ref().filter(|_| ask)
    }

    /// Finds a task here or, through the broker, elsewhere.
    pub(crate) async fn locate(
        self: &Arc<Self>,
        id: &TaskId,
    ) -> Result<Arc<TaskShared>, LookupError> {
        let Some(link) = self.link_to_ask(self.find(id).as_deref()) else {
            let task = self.find(id);
            return task.ok_or_else(|| LookupError::NotFound(id.clone()));
        };
        link.ensure_running(self);
        let mut watch = link.watch(Topic::Task(id.clone()));
        let found = poll_fn(|cx| {
            loop {
                let located = ready!(watch.poll_located(cx));
                match (self.find(id), located) {
                    (Some(task), _) => return Poll::Ready(Ok(task)),
                    // It was here and is no longer.
                    (None, Located::Known) => watch.look_again(),
                    (None, Located::Unknown) => return Poll::Ready(Err(None)),
                    (None, Located::Down) => {
                        let error = TransportError::new("the broker cannot be reached");
                        return Poll::Ready(Err(Some(error)));
                    }
                }
            }
        });
        found.await.map_err(|error| match error {
            Some(error) => LookupError::Unavailable(error),
            None => LookupError::NotFound(id.clone()),
        })
    }

    pub(super) async fn list_all(&self, filter: &TaskFilter) -> Result<TaskPage, LookupError> {
        let Some(link) = &self.link else {
            return Ok(self.list(filter));
        };
        let page = link.transport.tasks(filter).await;
        let mut page = page.map_err(LookupError::Unavailable)?;
        for snapshot in &mut page.tasks {
            // Of this node's own it knows more than the broker.
            if let Some(task) = self.find(&snapshot.task_id)
                && !task.is_mirror()
                && task.epoch >= snapshot.epoch
            {
                *snapshot = task.snapshot();
            }
        }
        Ok(page)
    }

    /// Asks the node that a task runs on to stop it.
    pub(crate) async fn ask_owner(
        &self,
        task: &TaskShared,
        reason: Option<Arc<str>>,
    ) -> Result<(), CancelError> {
        let not_found = || CancelError::Lookup(LookupError::NotFound(task.id.clone()));
        let link = self.link.as_ref().ok_or_else(not_found)?;
        let request = Request::Cancel { reason };
        link.transport
            .request(&task.id, request)
            .await
            .map_err(|error| match error {
                RequestError::Unknown => not_found(),
                RequestError::AlreadyComplete => CancelError::AlreadyComplete(task.id.clone()),
                RequestError::Unavailable(error) => {
                    CancelError::Lookup(LookupError::Unavailable(error))
                }
            })
    }

    pub(super) async fn forget_everywhere(&self, task: &TaskShared) -> Result<(), RemoveError> {
        if let Some(link) = &self.link {
            let removed = link.transport.remove(&Topic::Task(task.id.clone())).await;
            removed.map_err(|error| RemoveError::Lookup(LookupError::Unavailable(error)))?;
        }
        // The next run of the id has to be a later one, also within the same millisecond.
        self.seen_epoch(task.epoch);
        self.forget(task.number);
        Ok(())
    }

    /// Somebody has removed a task after this run: it is forgotten here too. Tells whether nothing is
    /// left to do: not if its end is not known here.
    pub(crate) fn removed(&self, id: &TaskId, up_to: Epoch) -> bool {
        self.seen_epoch(up_to);
        let Some(task) = self.find(id).filter(|task| task.epoch <= up_to) else {
            return true;
        };
        let over = task.is_ended() && !task.is_held();
        if over {
            self.forget(task.number);
        }
        over
    }

    pub(crate) fn now(&self) -> Timestamp {
        self.clock.at(Instant::now())
    }

    /// Does what another node asks of a task of this one.
    pub(crate) fn requested(&self, id: &TaskId, request: &Request) {
        let Request::Cancel { reason } = request;
        if let Some(task) = self.find(id).filter(|task| !task.is_mirror()) {
            let note = Note {
                reason: reason.clone(),
            };
            // An end that came first is an end.
            if task.ask_to_stop(&note).is_ok() {
                ask_descendants(&task, &note);
            }
        }
    }

    /// Lets go of a mirror that nobody watches, or of a superseded run. Called under the watches' lock:
    /// who watches it first and looks for it then finds either this mirror, which stays, or none.
    pub(crate) fn drop_watched(&self, topic: &Topic) {
        let id = match topic {
            Topic::Task(id) => id,
            Topic::Channel(name) => return self.channels.remove(name),
        };
        let dropped = {
            let mut registry = self.registry.write();
            let elsewhere = |task: &&Arc<TaskShared>| task.is_mirror() || task.is_superseded();
            let number = registry.get(id).filter(elsewhere).map(|task| task.number);
            number.and_then(|number| registry.remove(number))
        };
        if let Some(task) = dropped {
            self.forgotten(&task);
            if self.registry.read().is_drained() {
                self.drained.notify_waiters();
            }
        }
    }

    /// The run to go on with in the place of a mirror, or of a superseded run, once its topic is
    /// watched: the one that is kept up to date. A reader that comes late may come to one that was
    /// let go, and takes it back.
    pub(crate) fn take_back(&self, task: Arc<TaskShared>) -> Arc<TaskShared> {
        let superseded = task.is_superseded();
        if !(task.is_mirror() || superseded) || task.is_ended() {
            return task;
        }
        let wakers = {
            let mut registry = self.registry.write();
            if let Some(present) = registry.get(&task.id) {
                let newest = !superseded && present.epoch < task.epoch;
                let stays = newest || Arc::ptr_eq(present, &task);
                return if stays { task } else { Arc::clone(present) };
            }
            task.unforget();
            registry.insert(Arc::clone(&task))
        };
        drop(wakers.wake());
        task
    }

    /// The tasks that this node numbers.
    pub(crate) fn owned(&self) -> Vec<Arc<TaskShared>> {
        let mut owned = Vec::new();
        let mut before = u64::MAX;
        loop {
            let chunk = self
                .registry
                .read()
                .older(before, super::shared::LIST_CHUNK);
            let Some(last) = chunk.last() else {
                return owned;
            };
            before = last.number;
            owned.extend(chunk.into_iter().filter(|task| task.outbox.is_some()));
        }
    }

    pub(super) fn next_number(&self) -> u64 {
        self.last_number.fetch_add(1, Ordering::Relaxed) + 1
    }
}

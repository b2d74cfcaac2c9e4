//! How an item that is paused within a stage makes room for others.

use std::{convert::Infallible, sync::Arc};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::{item::Item, turnstile::Turn};
use crate::desk::Desk;

/// Room for items that are paused by themselves, of all stages and lines of a pipeline.
///
/// Those within stages have room of their own: an item between stages keeps its room until it is
/// taken, which may be when one within a stage has found some.
#[derive(Debug, Clone)]
pub(super) struct Aside {
    within: Arc<Semaphore>,
    between: Arc<Semaphore>,
}

impl Aside {
    /// Room for so many of either kind.
    pub(super) fn new(items: usize) -> Self {
        let [within, between] = [(); 2].map(|()| Arc::new(Semaphore::new(items)));
        Self { within, between }
    }
}

/// What a line and the stage behind it share. Of its semaphores none is ever closed.
#[derive(Debug)]
pub(super) struct Room {
    /// As many as the stage works on at a time.
    desks: Arc<Semaphore>,
    aside: Aside,
}

impl Room {
    pub(super) fn new(desks: usize, aside: &Aside) -> Self {
        Self {
            desks: Arc::new(Semaphore::new(desks)),
            aside: aside.clone(),
        }
    }

    /// A desk for one that is taken from the line: not while one that comes back waits for it.
    pub(super) fn try_desk(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.desks).try_acquire_owned().ok()
    }

    /// Waits for room for one that gives up its place in the line.
    pub(super) async fn between(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.aside.between).acquire_owned().await.ok()
    }

    async fn desk(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.desks).acquire_owned().await.ok()
    }

    async fn within(&self) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.aside.within).acquire_owned().await.ok()
    }
}

/// What an item has of the stage that works on it.
pub(super) struct Place {
    /// One of as many as the stage works on at a time.
    pub(super) permit: Option<OwnedSemaphorePermit>,
    /// None where nobody asks for an order, and after the item has let others pass.
    pub(super) turn: Option<Turn>,
    /// In return for both, for the time that it is paused.
    aside: Option<OwnedSemaphorePermit>,
}

impl Place {
    pub(super) fn new(permit: OwnedSemaphorePermit, turn: Option<Turn>) -> Self {
        Self {
            permit: Some(permit),
            turn,
            aside: None,
        }
    }

    /// Whenever the item is paused by itself and waits, sets it aside, if there is room; has
    /// `make_room` called then, and the item wait for a desk before it goes on.
    ///
    /// One that is paused with its whole pipeline keeps its place: nobody could take it.
    pub(super) async fn mind(
        &mut self,
        item: &Item,
        desk: &Desk,
        room: &Room,
        make_room: impl Fn(),
    ) -> Infallible {
        loop {
            desk.idle().await;
            let mut pauses = item.watch_pauses();
            if pauses.wait_for(|pauses| pauses.by_run).await.is_err() {
                // Nobody can pause it any more.
                std::future::pending::<()>().await;
            }
            self.aside = tokio::select! {
                biased;
                aside = room.within() => aside,
                _ = pauses.wait_for(|pauses| !pauses.by_run) => continue,
            };
            if !desk.leave() {
                self.aside = None;
                continue;
            }
            self.turn = None;
            self.permit = None;
            make_room();
            drop(pauses.wait_for(|pauses| !pauses.any()).await);
            // Before it waits: who has a desk may be waiting for this room. Since none is taken from
            // the line while one waits here, these are no more than the stage has desks.
            self.aside = None;
            self.permit = room.desk().await;
            desk.take();
        }
    }
}

//! The connections that are open: who they are, and what an operator does with them.

mod drain;
mod manage;
mod registry;

pub(crate) use self::{
    drain::{jitter, reconnect_after},
    registry::{Clients, Order, Place, Seat, draining},
};

//! The connections that are open: who they are, and what an operator does with them.

mod manage;
mod registry;

pub(crate) use self::registry::{Clients, Order, Place, Seat};

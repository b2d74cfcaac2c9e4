//! Tasks without an owner: whoever may publishes to them, and no handle ends them.
//!
//! A publisher sends [inputs](EventInput), which are read and checked, then
//! [authored](author::author): merged with the task as it stands into events that say the whole.
//! A tracker that stands alone numbers these itself, under the task's lock; with a transport the
//! broker does, and this node authors against what it has [just read](remote).

mod author;
mod foreign;
mod handle;
mod input;
mod message;
mod publish;
mod remote;
mod said;
mod seen;
mod start;
mod whole;

pub(crate) use self::{
    author::{Present, author},
    publish::publish,
    remote::cancel as cancel_elsewhere,
    said::{Said, check_envelope},
    seen::Seen,
    start::SharePlan,
};
pub use self::{
    handle::SharedTask,
    input::{EventInput, InvalidInput},
    message::InvalidMessage,
    publish::Published,
};

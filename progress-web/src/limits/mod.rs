//! What one client may have and do: whose request it is ([`client`], told by the peer or by
//! [`forwarded`] headers), how large its head ([`head`]) and
//! [`body`] may be, how many requests ([`rate`]) and
//! connections ([`connections`]) an address or a subject gets.

mod body;
mod client;
mod connections;
mod forwarded;
mod head;
mod network;
mod rate;
mod settings;

#[cfg(test)]
pub(crate) use self::body::Room;
pub(crate) use self::{
    body::{Held, Taken, read_body},
    client::AddressKey,
    connections::{ConnectionLimits, Scope, Shares},
    settings::{LimitSettings, Limits},
};
pub use self::{
    forwarded::ForwardedHeader,
    network::{InvalidNetwork, Network},
};

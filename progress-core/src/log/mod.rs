//! The compacting log: one writer, many cursors, no I/O and no clock.
//!
//! Items are numbered 1, 2, 3… A recent *window* holds them all; what leaves the window is kept
//! only if nothing newer supersedes it, which its [`Class`] decides:
//!
//! | Class | Superseded by | Below the window |
//! | --- | --- | --- |
//! | [`State`](Class::State) | a newer item of the same key | the newest of each key |
//! | [`Milestone`](Class::Milestone) | never | all, to a cap; past it the oldest goes and the *floor* rises |
//! | [`Log`](Class::Log) | never | a ring; the oldest goes and is counted |
//! | [`Terminal`](Class::Terminal) | never | it is the last item and never leaves the window |
//!
//! A [`Cursor`] is plain data that the log does not know of: reading costs the writer nothing, and
//! a reader that never comes back costs nobody anything. Each [`Delivery::Item`] stands for the
//! range `from..=seq`; what the range swallowed is superseded by an item at or after `seq`, or is a
//! dropped log line and counted. Whatever else is missing is declared by [`Delivery::Gap`].
//!
//! ```
//! use progress_core::log::{Class, Cursor, Delivery, Log, LogLimits, Start};
//!
//! let mut log = Log::new(LogLimits::default().window(2));
//! let mut cursor = Cursor::new(&log, Start::Beginning);
//! log.push(Class::Milestone, "started").unwrap();
//! for percent in ["10 %", "20 %", "30 %", "40 %"] {
//!     log.push(Class::State(0), percent).unwrap();
//! }
//!
//! let mut out = Vec::new();
//! log.read(&mut cursor, 64, &mut out).unwrap();
//! // "10 %" and "20 %" left the window after they had been superseded: 4 stands for 2..=4.
//! let seen: Vec<_> = out
//!     .iter()
//!     .map(|delivery| match delivery {
//!         Delivery::Item { item, from, seq, .. } => (*item, from.get(), seq.get()),
//!         _ => unreachable!("nothing was lost"),
//!     })
//!     .collect();
//! assert_eq!(seen, [("started", 1, 1), ("30 %", 2, 4), ("40 %", 5, 5)]);
//! ```

mod compact;
mod cursor;
mod keys;
mod limits;
mod receive;
mod refused;

pub(crate) use self::keys::Keys;
pub use self::{
    compact::{Class, Item, Log},
    cursor::{Cursor, Delivery, Gap, GapReason, Lagged, OnLag, Start},
    limits::LogLimits,
    refused::{PushError, PushErrorKind},
};

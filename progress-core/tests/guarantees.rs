//! The guarantees of `docs/guarantees.md`, as far as one process goes, each by its name.

mod common;

#[path = "guarantees/bounded.rs"]
mod bounded;
#[path = "guarantees/bounded_sizes.rs"]
mod bounded_sizes;
#[path = "guarantees/ends.rs"]
mod ends;
#[path = "guarantees/order.rs"]
mod order;
#[path = "guarantees/verdicts.rs"]
mod verdicts;

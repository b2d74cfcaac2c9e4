//! How pipelines behave, seen from outside.

mod batches;
mod breakers;
mod building;
mod cancelling;
mod closing;
mod common;
mod devices;
mod estimates;
mod model;
mod order;
mod parked;
mod parking;
mod pausing;
mod places;
mod retries;
mod returning;
mod stress;
mod tasks;
mod threads;

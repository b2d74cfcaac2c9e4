//! Tasks: the one owner's handle, reporters, stages and children.

pub(crate) mod builder;
mod children;
mod counter;
mod custom_keys;
mod handle;
mod inner;
mod lazy_fold;
mod publish;
mod reporter;
mod shared;
#[cfg(all(test, not(loom)))]
mod tests;
mod value;

pub use self::{
    builder::TaskBuilder,
    children::ChildPolicy,
    handle::{EndError, Task},
    reporter::Reporter,
};
pub(crate) use self::{
    children::{Family, Parent},
    inner::Inner,
    shared::TaskShared,
};

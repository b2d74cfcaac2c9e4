//! Tasks: the one owner's handle, reporters, stages and children.

pub(crate) mod builder;
mod children;
mod counter;
mod custom_keys;
mod handle;
mod inner;
mod life;
mod mirror;
mod publish;
mod reporter;
mod shared;
mod stop;
mod unowned;
mod value;

pub use self::{
    builder::TaskBuilder,
    children::ChildPolicy,
    handle::{EndError, Task},
    reporter::Reporter,
};
pub(crate) use self::{
    builder::check_stage_path,
    children::{Family, Parent},
    inner::Inner,
    life::ask_descendants,
    mirror::Received,
    reporter::shorten,
    shared::TaskShared,
    unowned::{Silence, update_of},
    value::{BELOW_DONE, round},
};

//! Tasks: the one owner's handle, reporters, stages and children.

pub(crate) mod builder;
mod children;
mod counter;
mod custom_keys;
mod eta;
mod handle;
mod inner;
mod lazy_fold;
mod life;
mod mirror;
mod publish;
mod rare;
mod reporter;
mod reset;
mod shared;
mod stop;
mod tell;
#[cfg(all(test, not(loom)))]
mod tests;
mod tree;
mod unowned;
mod value;
mod values;
mod weak;
mod work;

pub use self::{
    builder::TaskBuilder,
    children::ChildPolicy,
    handle::{EndError, Task},
    reporter::Reporter,
    weak::WeakReporter,
};
pub(crate) use self::{
    builder::check_stage_path,
    children::{Family, Parent},
    inner::Inner,
    life::ask_descendants,
    mirror::{Received, Successor},
    reporter::{shorten, to_custom},
    shared::TaskShared,
    tree::ancestors,
    unowned::{Silence, update_of},
    value::{BELOW_DONE, round, stage_percent},
};

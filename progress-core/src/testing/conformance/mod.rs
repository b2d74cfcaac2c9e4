//! The suite that every transport passes: what [`Transport`](crate::transport::Transport) says, one
//! behaviour a function.
//!
//! An adapter implements [`Bench`] for its broker and has one test made of each behaviour by
//! [`conformance_tests!`](crate::conformance_tests), or runs [`all`] in one. The names of
//! tasks, channels and nodes are random, so that behaviours can run beside each other on one
//! broker; those about leases look at what has expired, and want few others there.
//!
//! Every behaviour panics if it is not met.
//!
//! ```
//! use progress_core::testing::{MemoryBus, conformance};
//!
//! # tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build()?.block_on(async {
//! conformance::events_are_kept_in_their_order(&MemoryBus::new()).await;
//! # });
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
#![allow(
    clippy::missing_panics_doc,
    reason = "every behaviour panics if it is not met: said once above"
)]

mod append;
mod away;
mod bench;
mod channels;
mod claims;
mod ends;
mod leases;
mod lists;
mod node;
mod read;
mod requests;
mod submit;
mod watch;

pub use self::bench::Bench;

/// Makes a test of every behaviour of the [suite](crate::testing::conformance): the attributes of
/// each test, then an expression for its [`Bench`], in which
/// `.await` may stand.
///
/// ```
/// use progress_core::{conformance_tests, testing::MemoryBus};
///
/// conformance_tests! {
///     #[tokio::test(start_paused = true)]
///     MemoryBus::new()
/// }
/// ```
#[macro_export]
macro_rules! conformance_tests {
    ($(#[$attribute:meta])+ $bench:expr) => {
        $crate::__conformance_behaviours! {
            [$crate::__conformance_test]
            { $(#[$attribute])+ }
            { $bench }
        }
    };
}

#[macro_export]
#[doc(hidden)]
macro_rules! __conformance_test {
    ($attributes:tt $bench:tt $($module:ident { $($name:ident,)+ })+) => {
        $($($crate::__conformance_test! { @one $attributes $bench $name })+)+
    };
    (@one { $(#[$attribute:meta])+ } { $bench:expr } $name:ident) => {
        $(#[$attribute])+
        async fn $name() {
            let bench = $bench;
            $crate::testing::conformance::$name(&bench).await;
        }
    };
}

/// The one list of behaviours.
#[macro_export]
#[doc(hidden)]
macro_rules! __conformance_behaviours {
    ([$($then:tt)+] $($arguments:tt)*) => {
        $($then)+! {
            $($arguments)*
            claims {
                a_start_is_granted_under_the_generation_that_was_minted,
                a_start_is_refused_while_the_task_is_live,
                a_start_is_refused_while_an_end_is_retained,
                a_start_is_granted_again_when_the_end_is_forgotten,
                of_two_nodes_that_start_the_same_task_one_gets_it,
                a_claim_may_be_repeated,
                a_restart_is_refused_while_the_run_is_live,
                a_restart_follows_a_run_that_has_ended,
                a_restart_of_an_unknown_task_is_its_first_run,
                a_restart_below_the_run_before_is_refused,
                a_shared_task_is_joined_while_it_is_live,
                a_shared_claim_is_refused_while_the_task_has_an_owner,
                a_start_is_refused_while_the_task_is_shared,
                a_shared_run_follows_one_that_has_ended_only_if_it_may,
            }
            ends {
                a_dead_nodes_task_is_ended_by_one_of_two_that_race,
                an_end_that_was_claimed_may_be_claimed_again_by_the_same_node,
                an_end_holds_what_the_run_before_held,
                the_owner_of_a_run_that_was_ended_is_superseded,
                the_end_of_a_run_is_refused_while_its_owners_lease_lasts,
                the_end_of_a_run_that_has_ended_is_refused,
                the_end_of_another_run_is_refused,
                the_end_of_a_shared_run_is_refused,
                an_end_whose_claimer_died_is_ended_by_another,
            }
            append {
                events_are_kept_in_their_order,
                events_appended_again_change_nothing,
                an_event_of_a_superseded_run_is_refused,
                an_event_of_a_run_that_was_never_claimed_is_refused,
                nothing_follows_the_end,
                events_behind_a_failed_one_are_not_appended,
                numbers_may_be_missing,
                a_milestone_that_never_came_raises_the_floor,
                the_events_of_a_shared_task_are_not_appended,
            }
            submit {
                drafts_are_numbered_from_1_without_holes,
                drafts_of_many_publishers_are_numbered_without_holes,
                a_draft_with_a_known_id_is_answered_with_its_first_position,
                a_known_id_is_answered_also_after_the_end,
                a_draft_submitted_twice_at_once_is_appended_once,
                a_thousand_ids_are_remembered,
                a_draft_for_a_task_with_an_owner_is_refused,
                a_draft_for_an_unknown_task_is_refused,
                a_draft_after_the_end_is_refused,
                a_draft_that_is_refused_keeps_no_other_from_being_appended,
                log_lines_are_numbered,
                a_draft_knows_the_milestone_before_it,
            }
            read {
                an_unknown_task_is_none,
                all_that_is_kept_is_read_without_a_position,
                only_what_follows_a_position_is_read,
                all_that_is_kept_is_read_after_a_position_of_another_run,
                of_each_key_the_newest_state_is_kept_and_no_other,
                all_milestones_are_kept,
                past_their_cap_the_oldest_milestones_go_and_the_floor_rises,
                the_newest_log_lines_are_kept,
                the_end_is_kept,
                a_page_is_of_one_instant,
            }
            watch {
                nothing_is_lost_once_watch_has_returned,
                what_was_published_can_be_read,
                a_node_gets_what_it_writes_itself,
                only_what_is_watched_is_published,
                a_topic_is_watched_once_however_often_it_was_asked_for,
                the_end_of_a_dead_nodes_run_is_published,
                a_channel_is_published_to_who_watches_it,
            }
            channels {
                a_channel_is_there_when_it_is_asked_for,
                in_a_channel_the_state_of_a_task_has_one_key,
                the_end_of_a_task_retires_its_state_in_a_channel,
                an_event_is_copied_into_a_channel_once,
                a_late_copy_does_not_take_the_place_of_a_later_one,
                an_event_of_no_task_is_state_or_a_milestone,
                what_is_no_event_of_a_channel_is_refused,
                a_channel_that_was_removed_begins_again_later,
            }
            requests {
                a_request_is_handed_to_the_owner,
                a_request_is_stored_and_told_at_every_renewal,
                a_request_stands_on_the_page_of_a_shared_task,
                a_request_to_an_unknown_task_is_refused,
                a_request_after_the_end_is_refused,
                a_new_run_has_no_request,
            }
            leases {
                a_node_that_stops_renewing_expires,
                a_claim_gives_its_node_a_lease,
                a_node_that_renews_again_in_time_lives_on,
                a_task_that_has_ended_does_not_expire,
                expired_tasks_are_told_to_a_limit,
                a_silent_shared_task_is_quiet_until_it_is_stalled,
                a_request_to_stop_does_not_end_a_silence,
                a_shared_task_that_is_silent_for_long_is_to_be_ended,
                a_key_is_used_once_on_all_nodes,
                a_key_that_is_over_may_be_used_again,
            }
            lists {
                tasks_are_listed_the_newest_first_page_by_page,
                a_filter_lets_through_what_it_says,
                a_task_keeps_its_place_in_the_list_when_it_is_ended,
                a_removed_task_is_gone_and_its_id_free,
                a_removed_run_cannot_be_claimed_again,
                what_was_handed_over_is_there_after_a_flush,
            }
            away {
                every_call_fails_while_the_broker_is_away,
                what_was_watched_is_watched_when_the_broker_is_back,
                a_broker_that_forgot_is_told_again_under_the_same_ids,
                a_broker_that_forgot_a_channel_begins_a_later_run_of_it,
            }
        }
    };
}

macro_rules! suite {
    ($($module:ident { $($name:ident,)+ })+) => {
        $(pub use self::$module::{$($name),+};)+

        /// Has every behaviour of the suite shown, one after the other.
        ///
        /// # Panics
        ///
        /// If one is not met.
        pub async fn all(bench: &dyn Bench) {
            $($(
                tracing::info!(behaviour = stringify!($name));
                $name(bench).await;
            )+)+
        }
    };
}

__conformance_behaviours! { [suite] }

//! The list of rules, and what runs one of them.

use std::any::Any;
use std::fmt;
use std::panic::resume_unwind;
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::Duration;

use futures_util::future::BoxFuture;

use crate::Subject;

/// How long a rule may take before it counts as broken: far more than any honest store needs.
const LIMIT: Duration = Duration::from_secs(60);

/// A rule of a port: of the log, unless it says of which kind of subject.
pub struct Rule<S: ?Sized + 'static = dyn Subject> {
    /// What it is about: `append`, `stream`, and so on.
    pub group: &'static str,
    /// Its name, with the group before it: `append::refuses_a_stale_version`.
    pub name: &'static str,
    pub(crate) run: fn(&S) -> BoxFuture<'_, ()>,
}

/// How a store broke a rule.
#[derive(Debug)]
pub enum Broken {
    /// The rule says that it does not hold.
    Panicked(Box<dyn Any + Send>),
    /// It did not come to an end in time.
    TookTooLong,
}

impl<S: ?Sized + Send + Sync + 'static> Rule<S> {
    /// Runs the rule against an empty store, on a runtime and threads of its own.
    ///
    /// # Errors
    /// When the rule does not hold, or is not through by the time limit.
    pub fn run(&self, subject: Arc<S>, limit: Duration) -> Result<(), Broken> {
        let (said, says) = mpsc::channel();
        let run = self.run;
        // A store that blocks the runtime must not block the suite: the thread is left behind.
        let rule = thread::Builder::new().name(self.name.to_owned()).spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            let runtime = runtime.expect("a runtime can be built");
            runtime.block_on(run(&*subject));
            runtime.shutdown_background();
            drop(subject);
            let _nobody_waits = said.send(());
        });
        let rule = rule.expect("a thread can be started");
        match says.recv_timeout(limit) {
            Ok(()) => Ok(()),
            Err(mpsc::RecvTimeoutError::Timeout) => Err(Broken::TookTooLong),
            Err(mpsc::RecvTimeoutError::Disconnected) => rule.join().map_err(Broken::Panicked),
        }
    }

    /// Runs the rule of that name, and panics if it does not hold: what each test of a macro does.
    pub(crate) fn check(rules: &[Self], name: &str, subject: Arc<S>) {
        let rule = rules.iter().find(|rule| rule.name == name).expect("there is a rule of that name");
        match rule.run(subject, LIMIT) {
            Ok(()) => {}
            Err(Broken::Panicked(panic)) => resume_unwind(panic),
            Err(Broken::TookTooLong) => panic!("{name} is not through after {} seconds", LIMIT.as_secs()),
        }
    }
}

impl<S: ?Sized> fmt::Debug for Rule<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Rule({})", self.name)
    }
}

/// All rules of the log, group by group.
#[must_use]
pub fn rules() -> &'static [Rule] {
    RULES
}

/// Runs one rule of the log against an empty store, and panics if it does not hold: what each test of the macro does.
///
/// # Panics
/// When the rule does not hold, is not through after 60 seconds, or does not exist.
pub fn check(name: &str, subject: impl Subject) {
    Rule::check(RULES, name, Arc::new(subject));
}

/// Makes a test of every rule, each on a subject of its own.
///
/// Takes something to call that gives a [`Subject`]: `event_store_contract!(|| SqliteSubject::new())`.
/// Call it once in a file (or a module): the tests stand in modules named like the groups.
#[macro_export]
macro_rules! event_store_contract {
    ($subject:expr) => {
        fn event_store_contract_subject() -> impl $crate::Subject {
            $crate::made($subject)
        }
        $crate::for_each_rule!([$crate::contract_tests] check event_store_contract_subject);
    };
}

/// The tests of a contract: what checks a rule, what gives a subject, and the rules.
#[doc(hidden)]
#[macro_export]
macro_rules! contract_tests {
    ($check:ident $subject:ident $($group:ident { $($rule:ident)* })*) => {
        $(mod $group {
            $(#[test]
            fn $rule() {
                let name = concat!(stringify!($group), "::", stringify!($rule));
                $crate::$check(name, super::$subject());
            })*
        })*
    };
}

/// The same list as a static one, for a module that stands beside those of the groups.
macro_rules! table {
    ($list:ident [$subject:ty] $($group:ident { $($rule:ident)* })*) => {
        static $list: &[$crate::Rule<$subject>] = &[$($($crate::Rule {
            group: stringify!($group),
            name: concat!(stringify!($group), "::", stringify!($rule)),
            run: |subject| Box::pin(super::$group::$rule(subject)),
        },)*)*];
    };
}
pub(crate) use table;

/// The one list of all rules of the log. A rule that is written and not listed is dead code, which the build refuses.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_rule {
    ([$($then:tt)+] $($with:tt)+) => {
        $($then)+! {
            $($with)+
            append {
                answers_with_what_was_done
                goes_on_from_the_last_version
                refuses_a_stale_version
                refuses_a_version_ahead_of_the_stream
                refuses_an_existing_stream_where_none_is_expected
                refuses_a_missing_stream_where_one_is_expected
                takes_every_expectation_that_holds
                is_not_disturbed_by_other_streams
                expects_the_state_before_the_append
                looks_at_streams_that_receive_nothing
                refuses_all_when_one_of_many_streams_is_stale
                reports_the_first_conflict_in_the_order_given
                says_what_a_conflict_is_about
                says_of_a_refusal_that_nothing_was_committed
                keeps_interleaved_streams_in_their_order
                says_where_it_ends
                of_nothing_writes_nothing
                of_nothing_is_refused_like_any_other
                refuses_an_id_that_is_there_twice
                refuses_two_expectations_about_one_stream
                takes_a_thousand_events
                refuses_more_than_a_thousand_events
                refuses_more_than_four_mebibytes
                refuses_terms_without_end
                keeps_odd_payloads_as_their_bytes
                keeps_the_largest_payload
                keeps_metadata_as_it_was_given
                keeps_types_schemas_and_tags
                keeps_the_id_that_was_given
                gives_an_id_where_there_is_none
                loses_nothing_of_many_writers
                stays_together_while_others_write
                lets_one_of_many_rivals_win
                never_conflicts_without_a_rival
                is_whole_or_nothing_when_its_caller_goes_away
            }
            stream {
                comes_in_the_order_of_its_versions
                comes_backwards_when_asked
                has_the_events_that_the_log_has
                after_excludes_and_to_includes
                ends_where_it_ends
                that_never_was_has_no_version
                has_pages_of_the_limit
                says_whether_more_was_asked_for
                comes_whole_in_pages_of_any_size
                comes_whole_in_pages_read_backwards
                says_its_last_version_on_every_page
                has_pages_of_a_mebibyte_at_most
                is_told_apart_byte_by_byte
                has_dense_versions_while_many_write
                is_known_by_its_version_and_times
                is_listed_in_the_order_of_bytes
                is_listed_once_in_pages_of_any_size
                is_listed_by_its_category
                is_listed_with_what_is_known_of_it
                goes_on_after_reopening
            }
            log {
                has_dense_positions
                has_no_holes_where_appends_were_refused
                begins_empty
                after_excludes_and_until_includes
                has_pages_of_the_limit
                comes_whole_in_pages_of_any_size
                comes_whole_in_pages_read_backwards
                comes_whole_in_filtered_pages
                has_nothing_behind_its_head
                says_how_far_it_looked
                says_whether_it_came_to_the_end
                looks_only_so_far_for_one_page
                says_its_head_on_every_page
                has_pages_of_a_mebibyte_at_most
                takes_its_own_cursors_and_bare_positions
                refuses_a_cursor_of_another_epoch
                has_its_head_where_the_last_append_ended
                has_a_head_that_never_goes_back
                wakes_who_waits_for_it
                is_filtered_by_a_stream
                is_filtered_by_a_category
                is_filtered_by_the_beginning_of_a_name
                hides_system_streams_from_a_star
                shows_system_streams_without_a_filter
                is_filtered_by_types
                is_filtered_by_any_of_several
                is_filtered_by_all_parts_of_a_filter
                refuses_a_filter_without_end
                lets_nothing_turn_up_late
                is_the_same_for_every_reader
                has_its_events_under_their_ids
                has_times_that_never_go_backwards
                is_the_same_after_reopening
                goes_on_after_reopening
                keeps_its_epoch_when_reopened
            }
            question {
                finds_a_value_at_its_path
                follows_a_path_to_the_letter
                compares_numbers_by_their_value
                tells_kinds_of_values_apart
                finds_a_value_in_metadata
                comes_whole_in_answers_of_any_size
                has_answers_of_a_mebibyte_at_most
                looks_only_as_far_as_its_budget
                goes_on_when_its_time_is_up
                after_excludes_and_until_includes
                from_includes_and_to_excludes
                shows_nothing_that_does_not_pass
                counts_events_by_day_and_type
                refuses_to_count_more_than_its_budget
                refuses_to_count_when_its_time_is_up
                refuses_more_rows_than_an_answer_has
                lists_streams_by_their_silence
                lists_silent_streams_in_answers_of_any_size
                is_silent_by_its_very_last_event
                finds_streams_of_a_similar_mix
                breaks_ties_by_name
                is_like_others_only
                goes_by_the_head_that_it_says
                refuses_a_cursor_of_another_epoch
                refuses_what_has_no_end
            }
            follow {
                gives_history_and_says_where_it_ends
                has_caught_up_at_once_on_an_empty_log
                gives_what_arrives_and_says_caught_up_once
                wakes_when_something_is_appended
                goes_on_behind_a_cursor
                gives_everything_by_pages_of_one
                gives_only_what_passes_the_filter
                says_how_far_it_is_when_nothing_passes
                says_how_far_it_is_after_a_silence
                resets_a_cursor_of_another_epoch
                resets_a_cursor_that_stays_ahead
                waits_for_a_log_that_comes_to_its_cursor
                misses_nothing_across_the_change_to_live
                gives_a_stream_in_its_order_while_many_write
                goes_on_after_reopening
            }
            snapshot {
                comes_back_as_it_was_kept
                is_there_for_its_schema_only
                is_there_for_its_stream_only
                gives_way_to_a_newer_one
                gives_way_to_one_of_the_same_version
                does_not_give_way_to_an_older_one
                gives_way_to_another_schema
                is_not_kept_ahead_of_its_stream
                is_not_kept_when_it_is_too_large
                is_gone_when_thrown_away
                can_be_thrown_away_when_there_is_none
                never_changes_what_is_read
                is_there_after_reopening
            }
            condition {
                fails_by_the_first_event_that_matches
                looks_only_beyond_its_decision
                holds_when_nothing_matches
                needs_all_tags_of_an_item
                needs_one_of_the_types_of_an_item
                without_tags_matches_by_type_alone
                fails_by_any_of_its_items
                without_items_always_holds
                looks_at_every_stream
                does_not_look_at_its_own_events
                holds_beside_expectations
                counts_for_an_append_of_nothing
                lets_one_of_many_rivals_win
                never_fails_without_a_rival
                refuses_a_stale_decision
                refuses_another_epoch
                refuses_to_be_ahead_of_the_log
                takes_the_cursor_of_a_read
            }
            idempotency {
                answers_a_repeated_request_with_its_first_outcome
                answers_a_repeated_request_when_the_state_moved_on
                refuses_a_key_with_another_fingerprint
                keeps_the_keys_of_different_callers_apart
                remembers_an_append_of_nothing
                leaves_the_key_of_a_refused_append_free
                tells_what_was_done_under_a_key
                tells_nothing_for_another_fingerprint
                answers_known_ids_with_what_was_done
                answers_known_ids_when_the_state_moved_on
                refuses_a_known_id_with_other_content
                overlooks_what_the_server_adds
                refuses_an_append_of_which_half_is_known
                refuses_known_ids_in_another_order
                takes_an_id_once_in_the_whole_store
                looks_up_keys_before_ids
                does_a_request_once_when_it_comes_many_times_at_once
                does_known_ids_once_when_they_come_many_times_at_once
                refuses_all_but_one_of_different_uses_at_once
                remembers_keys_after_reopening
                remembers_ids_after_reopening
            }
            chain {
                begins_before_the_first_event
                links_every_event_to_the_one_before
                ends_with_the_hash_of_the_head
                never_has_a_hash_twice
                ends_between_two_appends
                is_whole_while_many_write
                goes_on_after_reopening
            }
            secret {
                is_the_same_for_everyone
                is_the_same_after_reopening
            }
            tag {
                finds_every_event_that_has_it
                finds_events_that_have_all_of_several
                is_told_apart_byte_by_byte
                is_kept_with_fifteen_others
                is_on_its_own_event_alone
                says_which_event_had_it_last
                that_nobody_has_finds_nothing
                is_found_however_long_ago
                comes_whole_in_pages
                finds_its_events_after_reopening
            }
        }
    };
}

for_each_rule!([table] RULES [dyn Subject]);

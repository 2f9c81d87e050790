//! The list of the rules of views.

use std::sync::Arc;

use crate::Rule;
use crate::rules::table;
use crate::view::ViewSubject;

/// All rules of views, group by group.
#[must_use]
pub fn view_rules() -> &'static [Rule<dyn ViewSubject>] {
    RULES
}

/// Runs one rule of views against an empty store, and panics if it does not hold: what each test of the macro does.
///
/// # Panics
/// When the rule does not hold, is not through after 60 seconds, or does not exist.
pub fn check_view(name: &str, subject: impl ViewSubject) {
    Rule::check(RULES, name, Arc::new(subject));
}

/// Makes a test of every rule of views, each on a subject of its own.
///
/// Takes something to call that gives a [`ViewSubject`](crate::ViewSubject): `view_store_contract!(|| SqliteSubject::new())`.
/// Call it once in a file (or a module), beside [`event_store_contract`](crate::event_store_contract) or by itself: the tests stand
/// in modules named like the groups.
#[macro_export]
macro_rules! view_store_contract {
    ($subject:expr) => {
        fn view_store_contract_subject() -> impl $crate::ViewSubject {
            $crate::made($subject)
        }
        $crate::for_each_view_rule!([$crate::contract_tests] check_view view_store_contract_subject);
    };
}

/// The one list of all rules of views. A rule that is written and not listed is dead code, which the build refuses.
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_view_rule {
    ([$($then:tt)+] $($with:tt)+) => {
        $($then)+! {
            $($with)+
            generation {
                begins_before_the_first_event
                is_found_when_it_is_there
                is_made_once_by_many_at_once
                is_refused_when_its_plan_changed_under_its_number
                is_refused_with_a_table_of_another_view
                is_listed_by_view_number_and_build
                is_built_again_beside_the_one_before
                that_is_unfinished_is_begun_again
                built_again_leaves_out_the_same
                is_not_seen_in_another
                is_gone_when_thrown_away
                that_serves_is_thrown_away_like_any_other
                leaves_the_names_of_its_tables_when_thrown_away
                begins_anew_after_it_was_thrown_away
                says_for_how_long_nobody_wanted_it
                is_found_as_it_was_after_reopening
                goes_on_after_reopening
            }
            lease {
                is_had_by_one_of_many
                is_kept_by_asking_again
                is_nobody_elses_until_it_has_run_out
                is_free_when_given_back
                has_a_token_that_rises
                given_back_late_stays_where_it_is
                is_of_one_generation
                is_good_until_someone_else_has_it
                that_someone_else_has_is_good_for_nothing
                of_what_is_not_there_is_refused
                has_a_token_that_rises_over_reopening
                has_a_token_that_rises_over_throwing_away
            }
            row {
                comes_back_with_its_values
                comes_back_with_its_texts
                comes_back_with_its_lists
                comes_back_with_its_json_as_written
                is_known_by_a_key_of_any_kind
                is_told_apart_byte_by_byte
                is_found_by_the_beginning_of_its_key
                comes_once_however_often_it_is_asked_for
                that_is_not_there_does_not_come
                comes_among_five_thousand
            }
            work {
                puts_rows_and_moves_the_checkpoint
                of_no_rows_moves_the_checkpoint
                puts_a_row_over_the_one_before
                removes_rows
                takes_a_halt_off
                changes_several_tables
                is_refused_by_another_token
                is_refused_from_another_checkpoint
                is_refused_when_only_one_of_both_has_begun
                is_taken_once_when_it_comes_many_times_at_once
                is_seen_whole_by_whoever_asks
                is_whole_or_nothing_when_its_caller_goes_away
                may_be_large_while_nobody_sees_it
                may_be_as_large_as_the_limit_says
            }
            takeover {
                makes_it_ready_and_lets_it_serve
                lets_a_higher_number_serve
                leaves_a_lower_number_to_its_own
                throws_earlier_builds_away
                lets_a_further_build_serve
                of_a_lower_number_does_not_serve
                waits_while_the_one_before_is_ahead
                waits_for_one_that_has_halted
                does_not_wait_for_one_that_has_diverged
                is_one_step_for_whoever_asks
            }
            mark {
                keeps_why_it_has_halted
                leaves_what_was_folded_when_it_has_halted
                pauses_and_resumes
                resumes_what_has_halted
                skips_for_good
                skips_only_where_it_stands
                skips_nothing_where_no_event_is_to_blame
                of_what_is_not_there_is_refused
            }
            ask {
                is_answered_by_the_number_asked_for
                is_answered_by_what_serves_before_its_number_is_ready
                of_what_is_not_ready_is_refused
                of_an_unknown_view_is_refused
                says_how_far_and_by_which_generation
                is_about_one_table
                has_pages_of_the_limit
                comes_whole_in_pages_of_any_size
                comes_whole_in_pages_of_some_rows
                sees_every_row_once_while_others_come_and_go
                refuses_what_is_not_there
                refuses_what_a_column_cannot_be_asked
                refuses_a_cursor_of_another_query
                refuses_more_than_a_query_may_ask
                takes_all_that_a_query_may_ask
            }
            filter {
                finds_what_is_equal
                finds_what_is_less_or_more
                finds_one_of_several
                finds_what_is_in_a_list
                finds_nothing_and_something
                is_never_so_of_nothing
                must_all_be_so
            }
            order {
                is_by_key_when_none_was_asked_for
                of_texts_is_by_their_bytes
                of_other_kinds_is_their_own
                has_nothing_before_everything
                of_like_rows_is_by_their_key
                is_by_several_columns
                follows_what_rows_say_now
            }
            search {
                finds_words_in_any_case
                needs_all_words
                finds_whole_words_only
                finds_words_by_their_beginning
                finds_words_of_lists
                finds_what_rows_say_now
                finds_no_rows_that_are_gone
                finds_words_of_every_script
                finds_words_however_they_were_typed
                finds_long_words
                finds_words_that_mean_something_elsewhere
                looks_only_into_what_is_searched
                goes_with_conditions_order_and_pages
                refuses_where_nothing_is_searched
                finds_nothing_of_another_generation
                finds_words_after_reopening
            }
            visible {
                are_streams_that_are_named
                are_streams_of_a_category
                are_streams_that_begin_alike
                is_nothing_for_who_may_see_nothing
                are_streams_of_the_system_only_when_named
                are_tables_of_no_streams_to_who_may_see_all
                goes_with_conditions_words_and_pages
                are_streams_of_two_hundred_patterns
            }
            inline {
                folds_before_an_append_is_answered
                folds_all_events_of_an_append
                folds_only_what_it_reads
                halts_a_view_whose_fold_fails
                halts_before_what_is_not_known
                overlooks_what_it_does_not_read
                leaves_other_views_alone_when_one_fails
                goes_on_once_it_has_caught_up
                waits_while_it_is_paused
                goes_on_behind_what_it_was_told_to_leave_out
                folds_nothing_of_what_was_not_appended
                takes_the_place_of_what_was_asked_before
                is_seen_whole_while_many_append
                goes_on_after_reopening
            }
        }
    };
}

for_each_view_rule!([table] RULES [dyn ViewSubject]);

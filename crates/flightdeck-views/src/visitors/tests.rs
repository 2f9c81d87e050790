//! Sets of visitors: exact while small, near enough when large, the same in whatever order.

use std::collections::BTreeSet;

use super::{ERROR_PERCENT_MAX, Mark, NOBODY, Union, count, with};
use crate::ground::Chance;

const EXACT_MAX: usize = 200;

fn set(visitors: impl IntoIterator<Item = u64>) -> String {
    let mut set = NOBODY.to_owned();
    for visitor in visitors {
        if let Some(more) = with(&set, Mark::of(&visitor.to_string()), EXACT_MAX) {
            set = more;
        }
    }
    set
}

#[track_caller]
fn near(found: i64, real: u64, percent: f64) {
    let off = (found as f64 / real as f64 - 1.0).abs() * 100.0;
    assert!(off <= percent, "{found} in place of {real} is off by {off:.2} %");
}

#[test]
fn letters_sort_as_their_values_do_and_are_read_back() {
    assert!(super::LETTERS.is_sorted_by(|one, other| one < other));
    for (at, letter) in super::LETTERS.iter().enumerate() {
        assert_eq!(usize::from(super::value(*letter)), at);
    }
}

#[test]
fn it_is_exact_up_to_the_size_that_is_stated() {
    for many in [0, 1, 2, 17, 199, 200] {
        let twice = (0..many).chain(0..many).rev();
        assert_eq!(count(&set(twice)), (i64::try_from(many).unwrap(), true));
    }
    assert!(!count(&set(0..201)).1);
}

#[test]
fn the_order_does_not_matter() {
    let mut chance = Chance(1);
    for many in [150, 400, 5_000] {
        let mut visitors: Vec<u64> = (0..many).collect();
        let straight = set(visitors.iter().copied());
        for at in (1..visitors.len()).rev() {
            visitors.swap(at, usize::try_from(chance.below(at as u64 + 1)).unwrap());
        }
        assert_eq!(set(visitors), straight);
    }
}

#[test]
fn a_sketch_of_few_and_of_many_is_within_its_error() {
    let mut squares = Vec::new();
    for many in [201, 1_000, 3_000, 10_000, 30_000, 100_000, 300_000, 1_000_000] {
        let rounds = (100_000 / many).clamp(1, 60);
        for round in 0..rounds {
            let first = 10_000_000 * (round + 1);
            let (found, exact) = count(&set(first..first + many));
            assert!(!exact);
            near(found, many, f64::from(ERROR_PERCENT_MAX));
            squares.push((found as f64 / many as f64 - 1.0).powi(2));
        }
    }
    // The standard error that is stated is 2.3 %; some 200 sketches tell it to a tenth or so.
    let deviation = (squares.iter().sum::<f64>() / squares.len() as f64).sqrt() * 100.0;
    assert!((1.0..=2.7).contains(&deviation), "{deviation:.2} % over {}", squares.len());
}

#[test]
fn exact_sets_together_are_exact_however_many_that_makes() {
    let mut union = Union::default();
    for round in 0..50 {
        union.add(&set(100 * round..100 * round + 200));
    }
    assert_eq!(union.count(), (5_100, true));
    assert_eq!(Union::default().count(), (0, true));
}

#[test]
fn sets_together_are_as_if_all_had_come_to_one() {
    let mut chance = Chance(2);
    for _ in 0..20 {
        let (mut union, mut all) = (Union::default(), BTreeSet::new());
        for _ in 0..1 + chance.below(6) {
            let (first, many) = (chance.below(3_000), 1 + chance.below(1_500));
            union.add(&set(first..first + many));
            all.extend(first..first + many);
        }
        let exact = union.registers.is_none();
        let (together, at_once) = (union.count(), set(all.iter().copied()));
        match exact {
            true => assert_eq!(together, (i64::try_from(all.len()).unwrap(), true)),
            false => assert_eq!(together, (count(&at_once).0, false)),
        }
    }
}

#[test]
fn one_set_that_is_no_longer_exact_makes_the_union_an_estimate() {
    let mut union = Union::default();
    union.add(&set(0..10));
    union.add(&set(0..2_000));
    union.add(&set(1_990..2_010));
    let (found, exact) = union.count();
    assert!(!exact);
    near(found, 2_010, f64::from(ERROR_PERCENT_MAX));
}

#[test]
fn nobody_is_named_in_a_set() {
    let visitor = "7f3ac0de7f3ac0de";
    let set = with(NOBODY, Mark::of(visitor), EXACT_MAX).unwrap();
    assert!(!set.contains(visitor) && set.len() == 11);
}

#[test]
fn sets_together_hold_no_more_than_twice_what_is_in_them() {
    let mut union = Union::default();
    for round in 0..2_000 {
        union.add(&set(round % 50..round % 50 + 200));
        assert!(union.marks.len() <= super::MARKS_BEFORE + 200, "{} marks", union.marks.len());
    }
    assert_eq!(union.count(), (249, true));
    let mut union = Union::default();
    union.add(&set(0..2_000));
    for round in 0..2_000 {
        union.add(&set(round..round + 200));
        assert_eq!(union.marks.len(), 0, "what is no longer exact needs no marks");
    }
    near(union.count().0, 2_199, f64::from(ERROR_PERCENT_MAX));
}

#[test]
fn who_knows_an_id_can_tell_that_it_is_in_an_exact_set() {
    let set = set([7, 8, 9]);
    let knows = |visitor: &str| with(&set, Mark::of(visitor), EXACT_MAX).is_none();
    assert_eq!([knows("8"), knows("10")], [true, false]);
}

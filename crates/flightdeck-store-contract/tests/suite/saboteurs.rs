//! Each saboteur is caught by the rules that the table names, and each rule catches one: of the log, and of views.

use std::collections::HashSet;
use std::fmt::Debug;
use std::hash::Hash;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Once};
use std::thread;
use std::time::Duration;

use flightdeck_store_contract::saboteur::{Sabotage, Saboteur, ViewSabotage, ViewSaboteur};
use flightdeck_store_contract::{Rule, event_store_contract, rules, view_rules, view_store_contract};

use crate::table::TABLE;
use crate::view_table::VIEW_TABLE;

/// Longer than any of these rules takes on a store in memory; what takes longer hangs.
const HANGS_AFTER: Duration = Duration::from_secs(3);
/// A race that is lost is only likely. How often it is tried before the rule counts as blind.
const ATTEMPTS_MAX: usize = 5;

mod honest {
    //! Behind the same wrapping, but with no sabotage, every rule holds.
    use super::{Saboteur, ViewSaboteur, event_store_contract, view_store_contract};

    event_store_contract!(Saboteur::honest);
    view_store_contract!(ViewSaboteur::honest);
}

/// Rules are expected to panic here: they do so on threads that are named like them.
fn be_quiet_about_rules() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let of_a_rule = thread::current().name().is_none_or(|name| {
                name.starts_with("tokio")
                    || names(rules()).contains(&name)
                    || names(view_rules()).contains(&name)
            });
            if !of_a_rule {
                loud(panic);
            }
        }));
    });
}

fn names<S: ?Sized>(rules: &[Rule<S>]) -> Vec<&'static str> {
    rules.iter().map(|rule| rule.name).collect()
}

/// The pairs of a table of which the rule does not see the sabotage.
fn blind<By, S>(
    table: &[(By, &[&str])],
    rules: &[Rule<S>],
    saboteur: impl Fn(By) -> Arc<S> + Sync,
) -> Vec<String>
where
    By: Copy + Debug + Sync,
    S: ?Sized + Send + Sync + 'static,
{
    be_quiet_about_rules();
    let rule = |name: &str| {
        let found = rules.iter().find(|rule| rule.name == name);
        found.unwrap_or_else(|| panic!("the table names {name}, which is no rule"))
    };
    let pairs: Vec<_> =
        table.iter().flat_map(|(by, names)| names.iter().map(|name| (*by, rule(name)))).collect();
    let (next, blind) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    let goes_red =
        |rule: &Rule<S>, by: By| (0..ATTEMPTS_MAX).any(|_| rule.run(saboteur(by), HANGS_AFTER).is_err());
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((by, rule)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if !goes_red(rule, *by) {
                        let what = format!("{} does not see that a store {by:?}", rule.name);
                        blind.lock().unwrap().push(what);
                    }
                }
            });
        }
    });
    blind.into_inner().unwrap()
}

/// The rules that no sabotage of a table turns red.
fn untested<By, S: ?Sized>(table: &[(By, &[&str])], rules: &[Rule<S>]) -> Vec<&'static str> {
    let caught: HashSet<_> = table.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    names(rules).into_iter().filter(|name| !caught.contains(name)).collect()
}

/// The kinds of sabotage that no rule of a table catches, where none stands in it twice.
fn free<By: Copy + Eq + Hash>(table: &[(By, &[&str])], all: &[By]) -> Vec<By> {
    assert_eq!(table.len(), all.len(), "a sabotage stands in the table twice, or not at all");
    let listed: HashSet<_> =
        table.iter().filter(|(_, names)| !names.is_empty()).map(|(sabotage, _)| *sabotage).collect();
    all.iter().copied().filter(|sabotage| !listed.contains(sabotage)).collect()
}

#[test]
fn every_sabotage_turns_its_rules_red() {
    let blind = blind(TABLE, rules(), |by| Arc::new(Saboteur::of(by)));
    assert!(blind.is_empty(), "{}", blind.join("\n"));
}

#[test]
fn every_sabotage_of_views_turns_its_rules_red() {
    let blind = blind(VIEW_TABLE, view_rules(), |by| Arc::new(ViewSaboteur::of(by)));
    assert!(blind.is_empty(), "{}", blind.join("\n"));
}

#[test]
fn every_rule_has_a_saboteur() {
    let untested = [untested(TABLE, rules()), untested(VIEW_TABLE, view_rules())].concat();
    assert!(untested.is_empty(), "nothing shows that these can go red: {untested:?}");
}

#[test]
fn every_saboteur_is_caught() {
    let free = (free(TABLE, Sabotage::ALL), free(VIEW_TABLE, ViewSabotage::ALL));
    assert_eq!(free, (vec![], vec![]), "no rule is named that catches these");
}

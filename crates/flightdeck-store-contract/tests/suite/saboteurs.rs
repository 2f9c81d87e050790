//! Each saboteur is caught by the rules that the table names, and each rule catches one.

use std::collections::HashSet;
use std::panic;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, Once};
use std::thread;
use std::time::Duration;

use flightdeck_store_contract::saboteur::{Sabotage, Saboteur};
use flightdeck_store_contract::{Rule, event_store_contract, rules};

use crate::table::TABLE;

/// Longer than any of these rules takes on a store in memory; what takes longer hangs.
const HANGS_AFTER: Duration = Duration::from_secs(3);
/// A race that is lost is only likely. How often it is tried before the rule counts as blind.
const ATTEMPTS_MAX: usize = 5;

mod honest {
    //! Behind the same wrapping, but with no sabotage, every rule holds.
    use super::{Saboteur, event_store_contract};

    event_store_contract!(Saboteur::honest);
}

/// Rules are expected to panic here: they do so on threads that are named like them.
fn be_quiet_about_rules() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let loud = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            let of_a_rule = thread::current()
                .name()
                .is_none_or(|name| name.starts_with("tokio") || rules().iter().any(|rule| rule.name == name));
            if !of_a_rule {
                loud(panic);
            }
        }));
    });
}

fn rule(name: &str) -> &'static Rule {
    rules()
        .iter()
        .find(|rule| rule.name == name)
        .unwrap_or_else(|| panic!("the table names {name}, which is no rule"))
}

fn goes_red(rule: &Rule, sabotage: Sabotage) -> bool {
    (0..ATTEMPTS_MAX).any(|_| rule.run(Saboteur::of(sabotage), HANGS_AFTER).is_err())
}

#[test]
fn every_sabotage_turns_its_rules_red() {
    be_quiet_about_rules();
    let pairs: Vec<_> =
        TABLE.iter().flat_map(|(by, names)| names.iter().map(|name| (*by, rule(name)))).collect();
    let (next, blind) = (AtomicUsize::new(0), Mutex::new(Vec::new()));
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while let Some((sabotage, rule)) = pairs.get(next.fetch_add(1, Ordering::Relaxed)) {
                    if !goes_red(rule, *sabotage) {
                        blind
                            .lock()
                            .unwrap()
                            .push(format!("{} does not see that a store {sabotage:?}", rule.name));
                    }
                }
            });
        }
    });
    let blind = blind.into_inner().unwrap();
    assert!(blind.is_empty(), "{}", blind.join("\n"));
}

#[test]
fn every_rule_has_a_saboteur() {
    let caught: HashSet<_> = TABLE.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    let untested: Vec<_> =
        rules().iter().map(|rule| rule.name).filter(|name| !caught.contains(name)).collect();
    assert!(untested.is_empty(), "nothing shows that these can go red: {untested:?}");
}

#[test]
fn every_saboteur_is_caught() {
    let listed: HashSet<_> =
        TABLE.iter().filter(|(_, names)| !names.is_empty()).map(|(sabotage, _)| *sabotage).collect();
    let free: Vec<_> = Sabotage::ALL.iter().filter(|sabotage| !listed.contains(sabotage)).collect();
    assert!(free.is_empty(), "no rule is named that catches these: {free:?}");
    assert_eq!(TABLE.len(), Sabotage::ALL.len(), "a sabotage stands in the table twice");
}

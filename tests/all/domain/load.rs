//! Many at once who want the same few things, from two nodes: at every position of the log the rules hold.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use flightdeck_core::{Decider, StoredEvents, StreamId};
use flightdeck_domain::content::{self, Command, Content};
use flightdeck_domain::user::{self, Role, User};
use flightdeck_server::Desk;
use flightdeck_store::{HandleError, Recorded};
use flightdeck_tests::whole_log;

use super::{Ground, ask, ask_user, becomes, change, create, on_every_store, register};

const TASKS: u64 = 8;
const COMMANDS: u64 = 40;

/// A number that follows from where it is drawn: the same test gives the same commands, if not the same order.
fn drawn(task: u64, step: u64, of: u64) -> u64 {
    let mut mixed = (task << 32 | step).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^= mixed >> 29;
    mixed = mixed.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (mixed ^ mixed >> 32) % of
}

/// The events of an aggregate, in the order of the log.
fn events<D: Decider>(log: &[Recorded]) -> impl Iterator<Item = (&StreamId, D::Event)>
where
    D::Event: StoredEvents,
{
    log.iter().map(|event| {
        let understood = D::Event::from_stored(event.event_type.as_str(), event.schema, event.data_bytes());
        (&event.stream, understood.unwrap().unwrap())
    })
}

#[test]
fn no_two_contents_ever_have_one_slug() {
    on_every_store(async |ground: &Ground| {
        let tasks = (0..TASKS).map(|task| {
            let desk = Desk::new(Arc::clone(&ground.nodes[usize::try_from(task % 2).unwrap()]));
            tokio::spawn(async move {
                let (mut won, mut lost) = (0, 0);
                for step in 0..COMMANDS {
                    let id = format!("c{}", drawn(task, step * 3, 12));
                    let slug = format!("s{}", drawn(task, step * 3 + 1, 3));
                    let command = match drawn(task, step * 3 + 2, 8) {
                        0..=2 => create(&id, &slug),
                        3..=5 => change(&id, &format!("{{\"slug\":\"{slug}\"}}")),
                        6 => change(&id, r#"{"slug":null}"#),
                        _ => Command::Delete,
                    };
                    match ask(&desk, &id, command).await {
                        Ok(_) => won += 1,
                        Err(HandleError::Refused(content::Error::SlugTaken { by, .. })) => {
                            assert_ne!(by.as_str(), id);
                            lost += 1;
                        }
                        Err(HandleError::Refused(_)) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
                (won, lost)
            })
        });
        let (mut won, mut lost) = (0, 0);
        for task in tasks.collect::<Vec<_>>() {
            let (more_won, more_lost) = task.await.unwrap();
            (won, lost) = (won + more_won, lost + more_lost);
        }
        let log = whole_log(&*ground.nodes[0]).await;
        let mut slugs: BTreeMap<StreamId, Option<String>> = BTreeMap::new();
        for (stream, event) in events::<Content>(&log) {
            match event {
                content::Event::Created(new) => {
                    drop(slugs.insert(stream.clone(), new.slug.map(|slug| slug.to_string())))
                }
                content::Event::Updated(change) if !change.slug.is_keep() => {
                    slugs.insert(stream.clone(), change.slug.value().map(ToString::to_string));
                }
                content::Event::Updated(_) => {}
                content::Event::Deleted(_) => drop(slugs.remove(stream)),
            }
            let taken: Vec<&String> = slugs.values().flatten().collect();
            let different: BTreeSet<&&String> = taken.iter().collect();
            assert_eq!(taken.len(), different.len(), "{}: {slugs:?}", ground.name);
        }
        assert!(won > 20 && lost > 20, "{}: {won} won and {lost} lost: that is no race", ground.name);
    });
}

#[test]
fn there_always_is_an_admin() {
    on_every_store(async |ground: &Ground| {
        let first = Desk::new(Arc::clone(&ground.nodes[0]));
        for number in 0..4 {
            let id = format!("u{number}");
            ask_user(&first, &id, register(&id, &format!("{id}@x"))).await.unwrap();
            ask_user(&first, &id, becomes(Role::Admin)).await.unwrap();
        }
        let tasks = (0..TASKS).map(|task| {
            let desk = Desk::new(Arc::clone(&ground.nodes[usize::try_from(task % 2).unwrap()]));
            tokio::spawn(async move {
                let mut refused = 0;
                for step in 0..COMMANDS {
                    let id = format!("u{}", drawn(task, step * 2, 4));
                    let role = [Role::Admin, Role::Editor, Role::Viewer, Role::Viewer]
                        [usize::try_from(drawn(task, step * 2 + 1, 4)).unwrap()];
                    match ask_user(&desk, &id, becomes(role)).await {
                        Ok(_) => {}
                        Err(HandleError::Refused(user::Error::LastAdmin)) => refused += 1,
                        // Everybody wants the same mark: who was overtaken again and again gives up, and has done nothing.
                        Err(HandleError::Append(flightdeck_store::AppendError::ConditionFailed {
                            ..
                        })) => {}
                        Err(other) => panic!("{other}"),
                    }
                }
                refused
            })
        });
        let mut refused = 0;
        for task in tasks.collect::<Vec<_>>() {
            refused += task.await.unwrap();
        }
        let log = whole_log(&*ground.nodes[0]).await;
        let (mut admins, mut changes) = (BTreeSet::new(), 0);
        for (stream, event) in events::<User>(&log) {
            let user::Event::RoleChanged(change) = event else { continue };
            match change.role {
                Role::Admin => drop(admins.insert(stream.clone())),
                Role::Editor | Role::Viewer => drop(admins.remove(stream)),
            }
            changes += 1;
            assert!(!admins.is_empty(), "{}: nobody is an Admin", ground.name);
        }
        assert!(
            changes > 40 && refused > 0,
            "{}: {changes} changes, {refused} refused: that is no race",
            ground.name
        );
    });
}

//! Who wins when two want the same, step by step: red without the condition on marks, green with it.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use flightdeck_domain::content::{self, Command, Error};
use flightdeck_domain::user::{self, Role};
use flightdeck_server::Desk;
use flightdeck_store::{EventStore, HandleError};
use flightdeck_tests::held::Held;

use super::{Ground, ask, ask_user, becomes, change, create, on_every_store, register};

/// Two desks on two nodes; the appends of the first can be held.
struct Two {
    held: Arc<Held>,
    one: Arc<Desk>,
    other: Desk,
    name: &'static str,
}

impl Two {
    fn on(ground: &Ground) -> Self {
        let held = Held::new(Arc::clone(&ground.nodes[0]));
        let one = Arc::new(Desk::new(Arc::clone(&held) as Arc<dyn EventStore>));
        Self { held, one, other: Desk::new(Arc::clone(&ground.nodes[1])), name: ground.name }
    }

    /// The first node decides `first` and is held before it appends; the other one does `second`; then the first goes on.
    async fn overtaken(&self, first: (&'static str, Command), second: (&str, Command)) -> Result<(), Error> {
        let hand = self.held.hold();
        let desk = Arc::clone(&self.one);
        let first = tokio::spawn(async move { ask(&desk, first.0, first.1).await });
        hand.came.await.unwrap();
        ask(&self.other, second.0, second.1).await.unwrap();
        hand.go.send(()).unwrap();
        match first.await.unwrap() {
            Ok(_) => Ok(()),
            Err(HandleError::Refused(error)) => Err(error),
            Err(other) => panic!("{}: {other}", self.name),
        }
    }

    async fn users_overtaken(
        &self,
        first: (&'static str, user::Command),
        second: (&str, user::Command),
    ) -> Result<(), user::Error> {
        let hand = self.held.hold();
        let desk = Arc::clone(&self.one);
        let first = tokio::spawn(async move { ask_user(&desk, first.0, first.1).await });
        hand.came.await.unwrap();
        ask_user(&self.other, second.0, second.1).await.unwrap();
        hand.go.send(()).unwrap();
        match first.await.unwrap() {
            Ok(_) => Ok(()),
            Err(HandleError::Refused(error)) => Err(error),
            Err(other) => panic!("{}: {other}", self.name),
        }
    }

    /// Those of these contents that are there with that slug.
    async fn owners(&self, slug: &str, ids: &[&'static str]) -> Vec<&'static str> {
        let mut owners = Vec::new();
        for id in ids {
            let loaded = self.other.contents.load(&super::content_stream(id)).await.unwrap();
            if let content::State::Live(page) = loaded.state
                && page.now.slug.is_some_and(|own| own.as_str() == slug)
            {
                owners.push(*id);
            }
        }
        owners
    }

    async fn admins(&self, ids: &[&'static str]) -> Vec<&'static str> {
        let mut admins = Vec::new();
        for id in ids {
            let loaded = self.other.users.load(&super::user_stream(id)).await.unwrap();
            if let user::State::Registered(person) = loaded.state
                && person.role == Role::Admin
            {
                admins.push(*id);
            }
        }
        admins
    }
}

/// That the slug belongs to someone else.
fn taken(by: &str) -> impl Fn(&Result<(), Error>) -> bool {
    move |outcome| matches!(outcome, Err(Error::SlugTaken { by: owner, .. }) if owner.as_str() == by)
}

#[test]
fn of_two_that_create_one_slug_one_wins_and_the_other_hears_its_id() {
    on_every_store(async |ground: &Ground| {
        let two = Two::on(ground);
        let outcome = two.overtaken(("a", create("a", "hello")), ("b", create("b", "hello"))).await;
        assert!(taken("b")(&outcome), "{}: {outcome:?}", two.name);
        assert_eq!(two.owners("hello", &["a", "b"]).await, ["b"], "{}", two.name);
        // The same when a slug is changed to, and when it was given up and taken again in between.
        ask(&two.one, "c", create("c", "other")).await.unwrap();
        let outcome = two
            .overtaken(("c", change("c", r#"{"slug":"new"}"#)), ("b", change("b", r#"{"slug":"new"}"#)))
            .await;
        assert!(taken("b")(&outcome), "{}: {outcome:?}", two.name);
        assert_eq!(two.owners("new", &["a", "b", "c"]).await, ["b"], "{}", two.name);
    });
}

#[test]
fn without_the_condition_two_would_have_one_slug() {
    on_every_store(async |ground: &Ground| {
        let two = Two::on(ground);
        two.held.forgets_conditions.store(true, Ordering::SeqCst);
        let outcome = two.overtaken(("a", create("a", "hello")), ("b", create("b", "hello"))).await;
        assert_eq!(outcome, Ok(()), "the script does not see the race");
        assert_eq!(two.owners("hello", &["a", "b"]).await, ["a", "b"], "{}", two.name);
    });
}

#[test]
fn a_slug_that_is_given_up_in_between_can_be_had() {
    on_every_store(async |ground: &Ground| {
        let two = Two::on(ground);
        for (owner, gives_up) in [
            ("a", change("a", r#"{"slug":"a-2"}"#)),
            ("b", change("b", r#"{"slug":null}"#)),
            ("c", Command::Delete),
        ] {
            let next = format!("after-{owner}");
            ask(&two.one, owner, create(owner, "hello")).await.unwrap();
            let refused = ask(&two.one, &next, create(&next, "hello")).await;
            assert!(
                matches!(refused, Err(HandleError::Refused(Error::SlugTaken { by, .. })) if by.as_str() == owner)
            );
            ask(&two.other, owner, gives_up).await.unwrap();
            ask(&two.one, &next, create(&next, "hello")).await.unwrap();
            // Who gave it up can't have it back; who is there lets go of it by deletion.
            if owner != "c" {
                let back = ask(&two.other, owner, change(owner, r#"{"slug":"hello"}"#)).await;
                assert!(
                    matches!(back, Err(HandleError::Refused(Error::SlugTaken { by, .. })) if by.as_str() == next)
                );
            }
            ask(&two.other, &next, Command::Delete).await.unwrap();
        }
        // One who decides while the slug is about to be freed loses nothing by deciding again.
        ask(&two.one, "d", create("d", "fresh")).await.unwrap();
        let outcome =
            two.overtaken(("e", create("e", "free")), ("d", change("d", r#"{"slug":"gone"}"#))).await;
        assert_eq!(outcome, Ok(()), "{}", two.name);
        assert_eq!(two.owners("free", &["d", "e"]).await, ["e"]);
    });
}

#[test]
fn a_slug_that_was_taken_and_given_up_in_between_is_looked_at_again() {
    on_every_store(async |ground: &Ground| {
        let two = Two::on(ground);
        let hand = two.held.hold();
        let desk = Arc::clone(&two.one);
        let first = tokio::spawn(async move { ask(&desk, "a", create("a", "hello")).await });
        hand.came.await.unwrap();
        ask(&two.other, "b", create("b", "hello")).await.unwrap();
        ask(&two.other, "b", Command::Delete).await.unwrap();
        hand.go.send(()).unwrap();
        first.await.unwrap().unwrap();
        assert_eq!(two.owners("hello", &["a", "b"]).await, ["a"], "{}", two.name);
    });
}

#[test]
fn of_two_that_register_one_address_one_wins_whatever_its_case() {
    on_every_store(async |ground: &Ground| {
        let two = Two::on(ground);
        let outcome = two.users_overtaken(("a", register("a", "Ada@X")), ("b", register("b", "ada@x"))).await;
        let by_b = |outcome: &Result<(), user::Error>| matches!(outcome, Err(user::Error::EmailTaken { by }) if by.as_str() == "b");
        assert!(by_b(&outcome), "{}: {outcome:?}", two.name);
        let to = |id: &str, email: &str| {
            let patch = super::json(&format!(r#"{{"email":"{email}"}}"#));
            let id = flightdeck_domain::UserId::new(id).unwrap();
            user::Command::ChangeProfile(user::ChangeProfile::read(id, &patch).unwrap())
        };
        ask_user(&two.one, "c", register("c", "c@x")).await.unwrap();
        let outcome = two.users_overtaken(("c", to("c", "NEW@x")), ("b", to("b", "new@X"))).await;
        assert!(by_b(&outcome), "{}: {outcome:?}", two.name);
        // The old one is free again; another case of one's own is no other address.
        ask_user(&two.one, "d", register("d", "ADA@x")).await.unwrap();
        ask_user(&two.one, "d", to("d", "ada@X")).await.unwrap();
        let refused = ask_user(&two.other, "b", to("b", "aDa@x")).await;
        let by_d = |by: &flightdeck_domain::UserId| by.as_str() == "d";
        assert!(matches!(refused, Err(HandleError::Refused(user::Error::EmailTaken { by })) if by_d(&by)));
    });
}

/// Two Admins.
async fn two_admins(two: &Two) {
    for id in ["a", "b"] {
        ask_user(&two.one, id, register(id, &format!("{id}@x"))).await.unwrap();
        ask_user(&two.one, id, becomes(Role::Admin)).await.unwrap();
    }
}

#[test]
fn of_two_admins_that_demote_each_other_at_once_one_stays() {
    on_every_store(async |ground: &Ground| {
        let two = Two::on(ground);
        two_admins(&two).await;
        let outcome = two.users_overtaken(("b", becomes(Role::Viewer)), ("a", becomes(Role::Editor))).await;
        assert_eq!(outcome, Err(user::Error::LastAdmin), "{}", two.name);
        assert_eq!(two.admins(&["a", "b"]).await, ["b"], "{}", two.name);
        let alone = ask_user(&two.other, "b", becomes(Role::Viewer)).await;
        assert!(matches!(alone, Err(HandleError::Refused(user::Error::LastAdmin))), "{alone:?}");
        // With another one, it may go.
        ask_user(&two.one, "a", becomes(Role::Admin)).await.unwrap();
        ask_user(&two.other, "b", becomes(Role::Viewer)).await.unwrap();
        assert_eq!(two.admins(&["a", "b"]).await, ["a"], "{}", two.name);
    });
}

#[test]
fn without_the_condition_no_admin_would_be_left() {
    on_every_store(async |ground: &Ground| {
        let two = Two::on(ground);
        two_admins(&two).await;
        two.held.forgets_conditions.store(true, Ordering::SeqCst);
        let outcome = two.users_overtaken(("b", becomes(Role::Viewer)), ("a", becomes(Role::Editor))).await;
        assert_eq!(outcome, Ok(()), "the script does not see the race");
        assert_eq!(two.admins(&["a", "b"]).await, [""; 0], "{}", two.name);
    });
}

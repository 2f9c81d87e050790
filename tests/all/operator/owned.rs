//! What belongs to an aggregate: nobody writes it by hand, and what is carried in is of the shape that its type has.

use flightdeck_core::{EventType, Json};
use flightdeck_store::{Append, EventStore, NewEvent};
use flightdeck_store_sqlite::{Options, SqliteStore};

use super::{Desk, Kind, done, is_there, refused, run};
use crate::victim::block_on;

const VIEWED: &str = r#"{"visitorId":"v","timestamp":"2026-11-21T09:30:00Z","pageId":"/"}"#;
const DELETED: &str = r#"{"contentId":"1"}"#;

#[test]
fn nobody_writes_by_hand_what_commands_write() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let desk = Desk::new();
        let store = desk.store(&kind, "store.db");
        for (arguments, why) in [
            (&["append", "content-1", "ContentDeleted", "--data", DELETED][..], "the category content"),
            (&["append", "visitor-v", "PageViewed", "--data", VIEWED][..], "the category visitor"),
            (&["append", "user-1", "Anything"][..], "the category user"),
            (&["append", "presentation-1", "Anything"][..], "the category presentation"),
            (&["append", "$token-1", "Anything"][..], "the category $token"),
            (&["append", "order-1", "Opened", "--tag", "slug:hello"][..], "tags such as slug:hello"),
            (&["append", "order-1", "Opened", "--tag", "role:admin"][..], "tags such as role:admin"),
            (&["append", "order-1", "Opened", "--tag", "email:x"][..], "tags such as email:x"),
            (
                &["append", "order-1", "PageViewed", "--data", "{}"][..],
                "PageViewed is not of its shape: missing field",
            ),
            (&["append", "order-1", "PageViewed", "--data", VIEWED, "--schema", "2"][..], "knows up to 1"),
        ] {
            let said = refused(arguments, &store, 1);
            assert!(said.contains(why) && said.contains("nothing was written"), "{said}");
        }
        assert!(
            !matches!(kind, Kind::Sqlite) || !is_there(&desk.file("store.db")),
            "not even the file was made"
        );
        // A file of events goes through the same door, and not even its good lines come in.
        let good = r#"{"streamId":"order-1","eventType":"Opened","data":1}"#;
        let bad =
            format!("{{\"streamId\":\"content-1\",\"eventType\":\"ContentDeleted\",\"data\":{DELETED}}}");
        std::fs::write(desk.file("lines"), format!("{good}\n{bad}\n")).unwrap();
        let said = refused(&["append", "--ndjson", &desk.path("lines")], &store, 1);
        assert!(said.contains("line 2") && said.contains("the category content"), "{said}");
        // What is nobody's comes in: a foreign type of any shape, and a namesake of ours of its shape.
        done(&["append", "order-1", "Opened", "--data", "{\"any\":\"thing\"}", "--tag", "order:1"], &store);
        done(&["append", "order-1", "PageViewed", "--data", VIEWED], &store);
        assert_eq!(done(&["read", "--json"], &store).lines().count(), 2);
    }
}

#[test]
fn what_belongs_to_an_aggregate_is_carried_as_it_is_or_not_at_all() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let desk = Desk::new();
        // A log with events of an aggregate, as its commands write them.
        let path = desk.file("store.db");
        let opened = SqliteStore::open(&path, Options::default()).unwrap();
        block_on(async {
            let opened = std::sync::Arc::new(opened);
            let users = flightdeck_store::Handler::<flightdeck_domain::user::User>::new(opened.clone());
            let id = flightdeck_domain::UserId::new("1").unwrap();
            let body = Json::new(r#"{"email":"ada@x","displayName":"Ada"}"#, 1_024).unwrap();
            let register = flightdeck_domain::user::Register::read(id.clone(), &body).unwrap();
            let command = flightdeck_domain::user::Command::Register(register);
            users.handle(&id.stream("user").unwrap(), command, &Default::default()).await.unwrap();
            opened.close().await;
        });
        let store = desk.store(&Kind::Sqlite, "store.db");
        done(&["export", &desk.path("export")], &store);
        // Appended afresh, its tags would be hidden by a secret that the other log does not have.
        let other = desk.store(&kind, "other.db");
        let said = refused(&["import", "--as-new", &desk.path("export")], &other, 1);
        assert!(said.contains("line 2") && said.contains("the category user"), "{said}");
        // As it is, it goes in, and is the same log.
        let again = desk.store(&kind, "again.db");
        done(&["import", &desk.path("export")], &again);
        let copied = desk.store(&kind, "copied.db");
        done(&["copy", "--from", &store, "--to", &copied], "");
        super::same(&desk.export(&again), &desk.export(&store), "imported");
        super::same(&desk.export(&copied), &desk.export(&store), "copied");
    }
}

/// A log that a program without this door has written: its third event is no content.
fn damaged(desk: &Desk) -> String {
    let store = SqliteStore::open(desk.file("damaged.db"), Options::default()).unwrap();
    let event = |stream: &str, name: &str, data: &str| {
        let stream = flightdeck_core::StreamId::new(stream).unwrap();
        NewEvent::new(stream, EventType::new(name).unwrap(), Json::new(data.to_owned(), 1_024).unwrap())
    };
    block_on(async {
        let events = [
            event("a-1", "A", "1"),
            event("a-1", "ContentDeleted", "1"),
            event("content-1", "ContentDeleted", "1"),
        ];
        store.append(Append::of(events)).await.unwrap();
        store.close().await;
    });
    desk.store(&Kind::Sqlite, "damaged.db")
}

#[test]
fn what_is_not_of_its_shape_is_not_carried_on_but_a_backup_always_comes_back() {
    for kind in [Kind::Sqlite, Kind::Postgres] {
        let desk = Desk::new();
        let store = damaged(&desk);
        let target = desk.store(&kind, "copied.db");
        let said = refused(&["copy", "--from", &store, "--to", &target], "", 1);
        assert!(said.contains("position 3") && said.contains("ContentDeleted is not of its shape"), "{said}");
        done(&["export", &desk.path("export")], &store);
        let said = refused(&["import", &desk.path("export")], &desk.store(&kind, "imported.db"), 1);
        assert!(said.contains("line 4") && said.contains("ContentDeleted is not of its shape"), "{said}");
        assert_ne!(run(&["read"], &desk.store(&kind, "imported.db")).code, Some(0), "nothing was begun");
        // At night nobody asks what shape it is of.
        done(&["restore", &desk.path("export")], &desk.store(&kind, "restored.db"));
    }
}

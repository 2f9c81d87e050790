//! The view `users`, event by event, and against the decider.

use flightdeck_core::{Decider, Timestamp};
use flightdeck_domain::user::{Event, LoggedIn, ProfileChanged, Registered, Role, RoleChanged, State, User};
use flightdeck_domain::words::UserId;
use flightdeck_projections::kit::Kit;
use flightdeck_store::view::{Compare, HaltKind, Row, Value, ViewName, ViewQuery};
use proptest::prelude::*;

use super::{NAME, UsersView};

const ADA: &str = r#"{"userId":"auth0|ada","email":"Ada@example.org","displayName":"Ada Lovelace"}"#;
const STREAM: &str = "user-auth0|ada";

fn kit() -> Kit {
    let mut kit = Kit::of(UsersView);
    kit.emit_json(STREAM, "UserRegistered", ADA);
    kit
}

fn emit(kit: &mut Kit, event_type: &str, data: &str) -> Row {
    kit.emit_json(STREAM, event_type, &format!("{{\"userId\":\"auth0|ada\",{data}}}"));
    ada(kit)
}

fn ada(kit: &Kit) -> Row {
    kit.row(NAME, "auth0|ada").unwrap()
}

fn time(text: &str) -> Timestamp {
    text.parse().unwrap()
}

#[test]
fn one_that_was_registered_is_a_viewer_who_never_logged_in() {
    let kit = kit();
    let row = ada(&kit);
    let text = |column: &str| row.text(column).unwrap_or("nothing").to_owned();
    let found = ["email", "display_name", "role"].map(text);
    assert_eq!(found, ["Ada@example.org", "Ada Lovelace", "Viewer"]);
    let then = Value::Time(kit.recorded(1));
    assert_eq!((row.get("registered_at"), row.get("updated_at")), (&then, &then));
    assert_eq!(row.get("last_login_at"), &Value::Null);
}

#[test]
fn a_change_changes_what_it_names_and_nothing_else() {
    for (event_type, patch, column, now) in [
        ("UserProfileChanged", "\"email\":\"a@b\"", "email", "a@b"),
        ("UserProfileChanged", "\"displayName\":\"A\"", "display_name", "A"),
        ("UserRoleChanged", "\"role\":\"Editor\"", "role", "Editor"),
        ("UserRoleChanged", "\"role\":\"Admin\"", "role", "Admin"),
    ] {
        let mut kit = kit();
        let before = ada(&kit);
        let after = emit(&mut kit, event_type, patch);
        for (at, known) in before.table().columns().iter().enumerate() {
            let expected = match known.name.as_str() {
                name if name == column => now.into(),
                "updated_at" => Value::Time(kit.recorded(2)),
                _ => before.values()[at].clone(),
            };
            assert_eq!(after.values()[at], expected, "{patch}: {}", known.name);
        }
    }
}

#[test]
fn the_latest_login_counts_and_is_no_change_of_the_user() {
    let (early, late) = ("2026-11-21T09:30:00.000000Z", "2026-11-22T09:30:00.000000Z");
    let mut kit = kit();
    let row = emit(&mut kit, "UserLoggedIn", &format!("\"loginTimestamp\":\"{late}\""));
    assert_eq!(
        (row.time("last_login_at"), row.time("updated_at")),
        (Some(time(late)), Some(kit.recorded(1)))
    );
    let row = emit(&mut kit, "UserLoggedIn", &format!("\"loginTimestamp\":\"{early}\""));
    assert_eq!(row.time("last_login_at"), Some(time(late)));
}

#[test]
fn what_can_not_follow_changes_nothing() {
    let mut kit = kit();
    let before = kit.rows(NAME);
    kit.emit_json(STREAM, "UserRegistered", &ADA.replace("Lovelace", "Again"));
    kit.emit_json("user-bob", "UserRoleChanged", "{\"userId\":\"bob\",\"role\":\"Admin\"}");
    kit.emit_json("user-bob", "UserProfileChanged", "{\"userId\":\"bob\",\"email\":\"b@c\"}");
    emit(&mut kit, "UserRoleChanged", "\"role\":\"Viewer\"");
    assert_eq!(kit.rows(NAME), before);
}

#[test]
fn two_with_one_address_are_both_shown() {
    let mut kit = kit();
    kit.emit_json("user-bob", "UserRegistered", &ADA.replace("auth0|ada", "bob"));
    assert_eq!(kit.rows(NAME).len(), 2);
}

#[test]
fn a_namesake_in_another_stream_is_not_read() {
    let mut kit = kit();
    kit.emit_json("other-1", "UserRegistered", "\"no user at all\"");
    assert_eq!(kit.rows(NAME).len(), 1);
}

#[test]
fn what_is_not_of_its_shape_or_of_a_newer_one_stops_it() {
    let mut kit = kit();
    assert_eq!(kit.refuses(STREAM, "UserRoleChanged", 1, "{\"role\":\"King\"}").kind, HaltKind::Poison);
    assert_eq!(kit.refuses(STREAM, "UserRoleChanged", 2, "{}").kind, HaltKind::NeedsUpgrade);
}

#[test]
fn one_is_found_by_address_role_and_words() {
    let kit = kit();
    let ask = || ViewQuery::of(ViewName::new("users").unwrap(), 1, NAME);
    let found = |query: ViewQuery| kit.live().ask(&query).unwrap().rows.len();
    assert_eq!(found(ask().filter("email", Compare::Equal("Ada@example.org".into()))), 1);
    assert_eq!(found(ask().filter("role", Compare::Equal("Admin".into()))), 0);
    assert_eq!(found(ask().text("lovel*")), 1);
    assert_eq!(found(ask().text("ada example org")), 1);
    assert_eq!(found(ask().text("bob")), 0);
}

/// Anything that may stand in the stream of a user, whether a command would have made it or not.
fn any_event() -> impl Strategy<Value = Event> {
    (0..10_u8, 0..3_u8, 0..4_i64).prop_map(|(what, word, moment)| {
        let user_id = UserId::new("u").unwrap();
        let email = format!("\"{word}@x\"");
        let name = format!("\"N{word}\"");
        let (email, name) = (serde_json::from_str(&email).unwrap(), serde_json::from_str(&name).unwrap());
        match what {
            0..=2 => Event::Registered(Registered { user_id, email, display_name: name }),
            3..=4 => {
                let login_timestamp = Timestamp::from_micros(moment).unwrap();
                Event::LoggedIn(LoggedIn { user_id, login_timestamp })
            }
            5..=7 => {
                let (email, display_name) =
                    (Some(email).filter(|_| moment > 1), Some(name).filter(|_| moment < 3));
                Event::ProfileChanged(ProfileChanged { user_id, email, display_name })
            }
            _ => {
                let role = [Role::Admin, Role::Editor, Role::Viewer][usize::from(word)];
                Event::RoleChanged(RoleChanged { user_id, role })
            }
        }
    })
}

/// The row that the decider's state comes to; when it was registered and changed last.
fn expected(id: &str, state: &State, (registered, updated): (Timestamp, Timestamp)) -> Option<Vec<Value>> {
    let State::Registered(person) = state else { return None };
    Some(vec![
        id.into(),
        person.now.email.as_str().into(),
        person.now.display_name.as_str().into(),
        serde_json::to_value(person.role).unwrap().as_str().unwrap().into(),
        registered.into(),
        person.last_login.into(),
        updated.into(),
    ])
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happened_the_rows_are_what_the_decider_knows(
        happened in proptest::collection::vec((0..2_usize, any_event()), 20..=30),
    ) {
        let ids = ["u", "u1"];
        let mut kit = Kit::of(UsersView);
        let mut known = [(State::Absent, None), (State::Absent, None)];
        for (at, (which, event)) in happened.iter().enumerate() {
            kit.emit(&format!("user-{}", ids[*which]), event);
            let now = kit.recorded(at + 1);
            let (state, since) = &mut known[*which];
            let next = User::evolve(state.clone(), event);
            if next != *state && !matches!(event, Event::LoggedIn(_)) {
                *since = Some((since.map_or(now, |(registered, _)| registered), now));
            }
            *state = next;
            let rows: Vec<Vec<Value>> = kit.rows(NAME).iter().map(|row| row.values().to_vec()).collect();
            let model = known.iter().zip(ids);
            let model: Vec<Vec<Value>> = model.filter_map(|((state, since), id)| expected(id, state, (*since)?)).collect();
            prop_assert_eq!(rows, model);
        }
    }
}

#[test]
fn an_event_whose_data_is_gone_leaves_a_user_as_it_was() {
    let mut kit = kit();
    let before = kit.rows("users");
    for event_type in ["UserLoggedIn", "UserProfileChanged", "UserRoleChanged", "UserRegistered"] {
        kit.emit_gone(STREAM, event_type, 1);
        assert_eq!(kit.rows("users"), before, "{event_type}");
    }
    assert_eq!(emit(&mut kit, "UserRoleChanged", r#""role":"Admin""#).text("role"), Some("Admin"));
    // Of one that nobody knows who it is there is no row, and what follows changes nothing.
    kit.emit_gone("user-bob", "UserRegistered", 1);
    kit.emit_json("user-bob", "UserRoleChanged", r#"{"userId":"bob","role":"Editor"}"#);
    assert_eq!(kit.rows("users").len(), 1);
}

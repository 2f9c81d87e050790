//! Users: every command in every state, who has an address, who is an Admin, and what must hold whatever anyone asks.

use std::collections::BTreeSet;

use flightdeck_core::kit::{World, given};
use flightdeck_core::{Decider, Json, Mark, Question, StreamId, Timestamp};
use proptest::prelude::*;

use super::{
    ChangeProfile, ChangeRole, Command, Error, Event, LoggedIn, Person, ProfileChanged, Register, Registered,
    Role, RoleChanged, State, User,
};
use crate::words::{Email, UserId};

fn id(text: &str) -> UserId {
    UserId::new(text).unwrap()
}

fn json(text: &str) -> Json {
    Json::new(text.to_owned(), 1 << 20).unwrap()
}

fn at(second: i64) -> Timestamp {
    Timestamp::from_micros(second * 1_000_000).unwrap()
}

const ADA: &str = r#"{"email":"Ada@Example.org","displayName":"Ada"}"#;

fn register(id: UserId, body: &str) -> Register {
    Register::read(id, &json(body)).unwrap()
}

fn profile(id: UserId, patch: &str) -> ChangeProfile {
    ChangeProfile::read(id, &json(patch)).unwrap()
}

fn registered() -> Event {
    Event::Registered(register(id("1"), ADA).new)
}

fn logged_in(second: i64) -> Event {
    Event::LoggedIn(LoggedIn { user_id: id("1"), login_timestamp: at(second) })
}

fn changed(patch: &str) -> Event {
    Event::ProfileChanged(profile(id("1"), patch).to)
}

fn role(who: &str, role: Role) -> Event {
    Event::RoleChanged(RoleChanged { user_id: id(who), role })
}

/// Every state that a user can be in, by the way there: none, a Viewer who never logged in, an Editor who did, and an Admin.
fn states() -> [Vec<Event>; 4] {
    [
        vec![],
        vec![registered()],
        vec![registered(), logged_in(5), role("1", Role::Editor)],
        vec![registered(), role("1", Role::Admin)],
    ]
}

/// What each command comes to when there is no user, a Viewer, an Editor who logged in, and an Admin.
#[rustfmt::skip]
const TABLE: [(&str, [&str; 4]); 19] = [
    ("register",              ["UserRegistered", "nothing", "nothing", "nothing"]),
    ("register another",      ["UserRegistered", "Exists", "Exists", "Exists"]),
    ("register, taken",       ["EmailTaken by 2", "nothing", "nothing", "nothing"]),
    ("register, one's own",   ["UserRegistered", "nothing", "nothing", "nothing"]),
    ("log in",                ["NeverWas", "login 5", "nothing", "login 5"]),
    ("log in before",         ["NeverWas", "login 4", "nothing", "login 4"]),
    ("log in later",          ["NeverWas", "login 6", "login 6", "login 6"]),
    ("change nothing",        ["NeverWas", "nothing", "nothing", "nothing"]),
    ("change to the same",    ["NeverWas", "nothing", "nothing", "nothing"]),
    ("change the name",       ["NeverWas", r#"{"displayName":"A"}"#, r#"{"displayName":"A"}"#, r#"{"displayName":"A"}"#]),
    ("change the case",       ["NeverWas", r#"{"email":"ada@example.org"}"#, r#"{"email":"ada@example.org"}"#, r#"{"email":"ada@example.org"}"#]),
    ("change the address",    ["NeverWas", r#"{"email":"a@b"}"#, r#"{"email":"a@b"}"#, r#"{"email":"a@b"}"#]),
    ("take an address",       ["NeverWas", "EmailTaken by 2", "EmailTaken by 2", "EmailTaken by 2"]),
    ("become Admin",          ["NeverWas", "Admin", "Admin", "nothing"]),
    ("become Editor",         ["NeverWas", "Editor", "nothing", "LastAdmin"]),
    ("become Viewer",         ["NeverWas", "nothing", "Viewer", "LastAdmin"]),
    ("become Viewer, alone",  ["NeverWas", "nothing", "Viewer", "LastAdmin"]),
    ("become Viewer, others", ["NeverWas", "nothing", "Viewer", "Viewer"]),
    ("become Editor, others", ["NeverWas", "Editor", "nothing", "Editor"]),
];

fn command(name: &str) -> Command {
    let owned =
        |by: &str| Command::Register(Register { email_owner: Some(id(by)), ..register(id("1"), ADA) });
    let becomes = |role: Role, admins: &[&str]| {
        Command::ChangeRole(ChangeRole { role, admins: admins.iter().map(|admin| id(admin)).collect() })
    };
    match name {
        "register" => Command::Register(register(id("1"), ADA)),
        "register another" => Command::Register(register(id("1"), &ADA.replace("\"Ada\"", "\"Eve\""))),
        "register, taken" => owned("2"),
        "register, one's own" => owned("1"),
        "log in" => Command::LogIn(at(5)),
        "log in before" => Command::LogIn(at(4)),
        "log in later" => Command::LogIn(at(6)),
        "change nothing" => Command::ChangeProfile(profile(id("1"), "{}")),
        "change to the same" => {
            Command::ChangeProfile(ChangeProfile { email_owner: Some(id("2")), ..profile(id("1"), ADA) })
        }
        "change the name" => {
            Command::ChangeProfile(profile(id("1"), r#"{"displayName":"A","email":"Ada@Example.org"}"#))
        }
        "change the case" => Command::ChangeProfile(ChangeProfile {
            email_owner: Some(id("1")),
            ..profile(id("1"), r#"{"email":"ada@example.org"}"#)
        }),
        "change the address" => Command::ChangeProfile(profile(id("1"), r#"{"email":"a@b"}"#)),
        "take an address" => Command::ChangeProfile(ChangeProfile {
            email_owner: Some(id("2")),
            ..profile(id("1"), r#"{"email":"a@b","displayName":"A"}"#)
        }),
        "become Admin" => becomes(Role::Admin, &[]),
        "become Editor" => becomes(Role::Editor, &[]),
        "become Viewer" => becomes(Role::Viewer, &[]),
        "become Viewer, alone" => becomes(Role::Viewer, &["1"]),
        "become Viewer, others" => becomes(Role::Viewer, &["1", "2"]),
        "become Editor, others" => becomes(Role::Editor, &["2"]),
        other => panic!("{other} is no command"),
    }
}

/// An outcome as the table has it.
fn told(outcome: &Result<Vec<Event>, Error>) -> String {
    match outcome.as_deref() {
        Ok([]) => "nothing".into(),
        Ok([Event::Registered(_)]) => "UserRegistered".into(),
        Ok([Event::LoggedIn(login)]) => format!("login {}", login.login_timestamp.micros() / 1_000_000),
        Ok([Event::ProfileChanged(change)]) => {
            serde_json::to_string(change).unwrap().replace(r#""userId":"1","#, "")
        }
        Ok([Event::RoleChanged(change)]) => format!("{:?}", change.role),
        Ok(more) => panic!("{more:?}"),
        Err(Error::Exists) => "Exists".into(),
        Err(Error::NeverWas) => "NeverWas".into(),
        Err(Error::EmailTaken { by }) => format!("EmailTaken by {by}"),
        Err(Error::LastAdmin) => "LastAdmin".into(),
    }
}

/// A new command does not compile before it has a row.
fn row(command: &Command) -> usize {
    match command {
        Command::Register(_) => 0,
        Command::LogIn(_) => 4,
        Command::ChangeProfile(_) => 7,
        Command::ChangeRole(_) => 13,
    }
}

fn fold(events: &[Event]) -> State {
    events.iter().fold(State::Absent, User::evolve)
}

#[test]
fn every_command_in_every_state() {
    assert!([0, 4, 7, 13].iter().all(|place| row(&command(TABLE[*place].0)) == *place));
    for (name, expected) in TABLE {
        for (events, expected) in states().iter().zip(expected) {
            let state = fold(events);
            assert_eq!(told(&User::decide(&state, command(name))), expected, "{name} in {state:?}");
        }
    }
}

#[test]
fn a_command_names_its_user() {
    let stream = |command: &Command| User::stream(command).map(|stream| stream.unwrap().to_string());
    for name in ["register", "change the name"] {
        assert_eq!(stream(&command(name)).as_deref(), Some("user-1"), "{name}");
    }
    for name in ["log in", "become Admin"] {
        assert_eq!(stream(&command(name)), None, "{name}");
    }
}

#[test]
fn what_happened_is_what_is_known() {
    let person = |events: &[Event]| match fold(events) {
        State::Registered(person) => person,
        State::Absent => panic!("no user"),
    };
    let new = register(id("1"), ADA).new;
    assert_eq!(person(&[registered()]), Person { now: new.clone(), role: Role::Viewer, last_login: None });
    let all = [
        registered(),
        logged_in(9),
        logged_in(5),
        role("1", Role::Editor),
        changed(r#"{"email":"a@b","displayName":"A"}"#),
    ];
    let now = Registered {
        email: Email::new("a@b").unwrap(),
        display_name: crate::words::DisplayName::new("A").unwrap(),
        ..new
    };
    assert_eq!(person(&all), Person { now, role: Role::Editor, last_login: Some(at(9)) });
    // What can't follow changes nothing.
    assert_eq!(fold(&all[1..]), State::Absent);
    let other = Event::Registered(register(id("1"), r#"{"email":"x@y","displayName":"X"}"#).new);
    assert_eq!(fold(&[registered(), other]), fold(&[registered()]));
}

#[test]
fn whoever_takes_or_gives_up_an_address_or_the_rule_marks_it() {
    let marks = |events: &[Event], event: Event| User::marks(&fold(events), &event);
    let ada = Mark::hidden("email", "ada@example.org");
    let (new, admin) = (Mark::hidden("email", "a@b"), Mark::open("role", "admin").unwrap());
    let [absent, viewer, editor, administrator] = states();
    assert_eq!(marks(&absent, registered()), vec![ada.clone()]);
    assert_eq!(marks(&viewer, changed(r#"{"email":"A@b"}"#)), [new, ada.clone()]);
    assert_eq!(marks(&viewer, changed(r#"{"email":"ADA@example.org"}"#)), [ada]);
    assert_eq!(marks(&viewer, changed(r#"{"displayName":"A"}"#)), []);
    assert_eq!(marks(&viewer, logged_in(1)), []);
    assert_eq!(marks(&viewer, role("1", Role::Editor)), []);
    assert_eq!(marks(&editor, role("1", Role::Viewer)), []);
    assert_eq!(marks(&editor, role("1", Role::Admin)), vec![admin.clone()]);
    assert_eq!(marks(&administrator, role("1", Role::Editor)), vec![admin.clone()]);
    assert_eq!(marks(&administrator, role("1", Role::Viewer)), [admin]);
    given::<User>([])
        .when(command("register"))
        .marked(&[&[Mark::hidden("email", "ada@example.org")]])
        .then([registered()]);
}

#[test]
fn only_what_matters_is_asked_for() {
    let asks = |events: &[Event], name: &str| User::asks(&fold(events), &command(name));
    let [absent, viewer, editor, admin] = states();
    let last = |address: &str| vec![Question::Last(Mark::hidden("email", address))];
    let every = vec![Question::Every(Mark::open("role", "admin").unwrap())];
    assert_eq!(asks(&absent, "register"), last("ada@example.org"));
    assert_eq!(asks(&viewer, "change the address"), last("a@b"));
    assert_eq!(asks(&viewer, "change the case"), last("ada@example.org"));
    assert_eq!(asks(&admin, "become Viewer"), every);
    assert_eq!(asks(&admin, "become Editor"), every);
    for (state, name) in [
        (&viewer, "register"),
        (&viewer, "log in"),
        (&absent, "log in"),
        (&viewer, "change the name"),
        (&absent, "change the address"),
        (&viewer, "change to the same"),
        (&admin, "become Admin"),
        (&viewer, "become Admin"),
        (&editor, "become Viewer"),
        (&absent, "become Admin"),
    ] {
        assert_eq!(asks(state, name), [], "{name}");
    }
}

#[test]
fn the_answers_say_who_has_an_address_and_who_is_an_admin() {
    let stream = StreamId::new("user-2").unwrap();
    let told = |name: &str, events: Vec<Event>| {
        // An Admin's events are in its own stream, and those of whoever owns an address in the second user's.
        let of = |event: &Event| match event {
            Event::RoleChanged(change) => change.user_id.stream("user").unwrap(),
            Event::Registered(_) | Event::LoggedIn(_) | Event::ProfileChanged(_) => stream.clone(),
        };
        let answer = events.into_iter().map(|event| (of(&event), event)).collect();
        User::told(command(name), &[answer])
    };
    let owner = |name: &str, last: Option<Event>| match told(name, last.into_iter().collect()) {
        Command::Register(register) => register.email_owner,
        Command::ChangeProfile(change) => change.email_owner,
        Command::LogIn(_) | Command::ChangeRole(_) => panic!("{name}"),
    };
    let of_2 = |body: &str| Event::Registered(register(id("2"), body).new);
    let changed_2 = |patch: &str| Event::ProfileChanged(profile(id("2"), patch).to);
    assert_eq!(owner("register", None), None);
    assert_eq!(
        owner("register", Some(of_2(r#"{"email":"ADA@EXAMPLE.ORG","displayName":"x"}"#))),
        Some(id("2"))
    );
    assert_eq!(owner("register", Some(changed_2(r#"{"email":"ada@example.ORG"}"#))), Some(id("2")));
    assert_eq!(owner("change the address", Some(changed_2(r#"{"email":"A@B"}"#))), Some(id("2")));
    // Given up for another one.
    assert_eq!(owner("register", Some(changed_2(r#"{"email":"a@b"}"#))), None);
    assert_eq!(owner("register", Some(changed_2(r#"{"displayName":"x"}"#))), None);
    assert_eq!(owner("register", Some(logged_in(1))), None);
    let admins = |events: Vec<Event>| match told("become Viewer", events) {
        Command::ChangeRole(change) => change.admins,
        other => panic!("{other:?}"),
    };
    let all = vec![
        role("1", Role::Admin),
        role("2", Role::Admin),
        role("3", Role::Admin),
        role("2", Role::Editor),
        role("3", Role::Viewer),
        role("4", Role::Editor),
        logged_in(1),
        role("3", Role::Admin),
    ];
    assert_eq!(admins(all), BTreeSet::from([id("1"), id("3")]));
    assert_eq!(told("log in", vec![]), command("log in"));
    let answer = vec![
        (id("1").stream("user").unwrap(), role("1", Role::Admin)),
        (stream.clone(), role("2", Role::Admin)),
    ];
    given::<User>(states()[3].clone())
        .when_told(command("become Viewer"), &[answer])
        .then([role("1", Role::Viewer)]);
}

#[test]
fn everything_that_is_wrong_is_told_at_once() {
    let wrong = Register::read(id("1"), &json(r#"{"email":"ada","role":"Admin"}"#)).unwrap_err();
    assert_eq!(wrong.missing, ["displayName"]);
    assert_eq!(wrong.invalid.keys().collect::<Vec<_>>(), ["email", "role"]);
    let wrong = ChangeProfile::read(id("1"), &json(r#"{"email":null,"displayName":" "}"#)).unwrap_err();
    assert_eq!(wrong.invalid.keys().collect::<Vec<_>>(), ["displayName", "email"]);
    assert_eq!(ChangeRole::read(&json("{}")).unwrap_err().missing, ["role"]);
    assert_eq!(ChangeRole::read(&json(r#"{"role":"Editor"}"#)).unwrap().role, Role::Editor);
    assert!(ChangeRole::read(&json(r#"{"role":"editor"}"#)).is_err());
    let unchanged = ProfileChanged { user_id: id("1"), email: None, display_name: None };
    assert_eq!(profile(id("1"), "{}").to, unchanged);
}

/// A command to one of four users, who want one of three addresses.
fn any_command() -> impl Strategy<Value = (UserId, Command)> {
    (0..4_u8, 0..12_u8, 0..6_u8, 0..3_u8).prop_map(|(number, what, address, name)| {
        let id = id(&number.to_string());
        let address = ["a@x", "A@X", "b@x", "B@x", "c@x", "C@X"][usize::from(address)];
        let roles = [Role::Admin, Role::Editor, Role::Viewer];
        let command = match what {
            0..=3 => Command::Register(register(
                id.clone(),
                &format!(r#"{{"email":"{address}","displayName":"N{name}"}}"#),
            )),
            4 => Command::LogIn(at(i64::from(name))),
            5..=6 => Command::ChangeProfile(profile(id.clone(), &format!(r#"{{"email":"{address}"}}"#))),
            7 => Command::ChangeProfile(profile(id.clone(), &format!(r#"{{"displayName":"N{name}"}}"#))),
            _ => Command::ChangeRole(ChangeRole { role: roles[usize::from(name)], admins: BTreeSet::new() }),
        };
        (id, command)
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1_000, ..ProptestConfig::default() })]

    // 1,000 cases of 100 steps and more.
    #[test]
    fn whatever_is_asked_the_rules_hold(commands in proptest::collection::vec(any_command(), 100..=110)) {
        let mut world = World::<User>::default();
        let streams: Vec<StreamId> = (0..4).map(|n| id(&n.to_string()).stream("user").unwrap()).collect();
        let mut there_was_an_admin = false;
        for (user, command) in commands {
            let stream = user.stream("user").unwrap();
            let before = world.state(&stream);
            let outcome = world.handle(&stream, command.clone());
            let after = world.state(&stream);
            prop_assert_eq!(outcome.as_ref().is_ok_and(|events| !events.is_empty()), before != after);
            if outcome.is_ok() {
                prop_assert!(world.handle(&stream, command).is_ok_and(|events| events.is_empty()));
            }
            let people: Vec<Person> = streams.iter().filter_map(|stream| match world.state(stream) {
                State::Registered(person) => Some(person),
                State::Absent => None,
            }).collect();
            // No two have the same address.
            let addresses: BTreeSet<String> = people.iter().map(|person| person.now.email.folded()).collect();
            prop_assert_eq!(addresses.len(), people.len());
            // Once there is an Admin, there always is one.
            let admins = people.iter().filter(|person| person.role == Role::Admin).count();
            prop_assert!(admins > 0 || !there_was_an_admin);
            there_was_an_admin |= admins > 0;
        }
    }
}

//! `/api/users`: users, what they were, and what can be asked of them.

use flightdeck_core::Decider as _;
use flightdeck_domain::UserId;
use flightdeck_domain::user::{self, ChangeProfile, ChangeRole, Command, Register, State, User};
use flightdeck_store::view::{Compare, Row, ViewQuery};
use flightdeck_store::{Handler, Recorded};
use flightdeck_views::users as view;
use flightdeck_wire::user as wire;
use flightdeck_wire::user::UserSort;

use super::thing::{self, MERGE_PATCH, MomentParam, Resource, Stamp};
use crate::authorise::{Action, Object};
use crate::call::{Body, Call, unkept};
use crate::desk::Desk;
use crate::operation::{Answer, JSON, Operation};
use crate::page::{self, Cells as _, ListMoment, Listed, WordsParam};
use crate::problem::{Code, Problem, sentence};

pub(super) fn operations() -> Vec<Operation> {
    [collection(), one(), past()].into_iter().flatten().collect()
}

fn collection() -> Vec<Operation> {
    vec![
        Operation::get("/api/users", "listUsers", "The users, by name.")
            .query::<wire::Role>("role", "Only users with this role.")
            .query::<WordsParam>("q", "Only users with all of these words in name or address; a `*` behind one stands for whatever goes on from there.")
            .query::<UserSort>("sort", "In which order.")
            .query::<ListMoment>("at", "As they were: at a cursor, or a time.")
            .page()
            .min_position()
            .answers::<wire::Users>(200, "A page of them.")
            .with(&["Link"])
            .refuses(&[410, 422])
            .to(list),
        Operation::post("/api/users", "registerUser", "Registers a user. It is a Viewer.")
            .takes::<wire::NewUser>(JSON)
            .answers::<wire::User>(201, "It is registered.")
            .with(&["ETag", "Location", "FlightDeck-Position", "FlightDeck-Duplicate"])
            .refuses(&[412])
            .to(register),
        Operation::get("/api/users/me", "getMe", "The user who is asking.")
            .min_position()
            .answers::<wire::User>(200, "It is registered.")
            .with(&["ETag", "Cache-Control"])
            .refuses(&[404])
            .to(me),
    ]
}

fn one() -> Vec<Operation> {
    let written = &["ETag", "FlightDeck-Position", "FlightDeck-Duplicate"];
    vec![
        Operation::get("/api/users/{id}", "getUser", "One user, as it is or as it was.")
            .path::<UserId>("id", "Its id.")
            .query::<MomentParam>("at", "As it was: at a version such as `v3`, a cursor, or a time.")
            .min_position()
            .answers::<wire::User>(200, "It is registered.")
            .with(&["ETag"])
            .refuses(&[404, 410, 422])
            .to(thing::get::<User>),
        Operation::patch("/api/users/{id}", "changeUser", "Changes the address or the name of a user.")
            .path::<UserId>("id", "Its id.")
            .takes::<wire::UserPatch>(MERGE_PATCH)
            .takes::<wire::UserPatch>(JSON)
            .if_match()
            .answers::<wire::User>(200, "It is so.")
            .with(written)
            .refuses(&[404])
            .to(change),
        Operation::post("/api/users/{id}/logins", "logUserIn", "Takes down that a user logs in, now.")
            .path::<UserId>("id", "Its id.")
            .if_match()
            .answers::<wire::User>(200, "It is taken down.")
            .with(written)
            .refuses(&[404])
            .to(log_in),
        Operation::put(
            "/api/users/{id}/role",
            "changeUserRole",
            "Has a user do other things. One Admin always stays.",
        )
        .path::<UserId>("id", "Its id.")
        .takes::<wire::UserRole>(JSON)
        .if_match()
        .answers::<wire::User>(200, "It is so.")
        .with(written)
        .refuses(&[404])
        .to(change_role),
    ]
}

fn past() -> Vec<Operation> {
    vec![
        thing::history_of("/api/users/{id}/history", "getUserHistory")
            .path::<UserId>("id", "Its id.")
            .to(thing::history::<User>),
        thing::diff_of("/api/users/{id}/diff", "compareUser")
            .path::<UserId>("id", "Its id.")
            .to(thing::diff::<User>),
    ]
}

impl From<user::Error> for Problem {
    fn from(error: user::Error) -> Self {
        let detail = sentence(&error);
        match error {
            user::Error::Exists => Self::new(Code::Exists, detail),
            user::Error::NeverWas => Self::not_found("user"),
            // Who has it is not for just anyone to know.
            user::Error::EmailTaken { .. } => Self::new(Code::Taken, detail),
            user::Error::LastAdmin => Self::new(Code::Refused, detail),
        }
    }
}

impl Resource for User {
    type Id = UserId;
    type Shown = wire::User;
    const WHAT: &'static str = "user";
    const PATH: &'static str = "/api/users";

    fn handler(desk: &Desk) -> &Handler<Self> {
        &desk.users
    }

    fn shown(state: &State, stamp: Stamp) -> Result<wire::User, Problem> {
        let State::Registered(person) = state else { return Err(user::Error::NeverWas.into()) };
        let user::Registered { user_id, email, display_name } = &person.now;
        Ok(wire::User {
            id: user_id.to_string(),
            email: email.to_string(),
            display_name: display_name.to_string(),
            role: match person.role {
                user::Role::Admin => wire::Role::Admin,
                user::Role::Editor => wire::Role::Editor,
                user::Role::Viewer => wire::Role::Viewer,
            },
            last_login_at: person.last_login,
            version: Some(stamp.version),
            created_at: stamp.created,
            updated_at: stamp.updated,
        })
    }

    /// That it logged in is told by a field of its own, as in the view.
    fn is_change(event: &Recorded) -> bool {
        event.event_type.as_str() != "UserLoggedIn"
    }
}

/// A user of the view.
fn listed(row: &Row) -> Result<wire::User, Problem> {
    Ok(wire::User {
        id: row.needed_text("id")?,
        email: row.needed_text("email")?,
        display_name: row.needed_text("display_name")?,
        role: row.word("role")?,
        last_login_at: row.time("last_login_at"),
        version: None,
        created_at: row.needed_time("registered_at")?,
        updated_at: row.needed_time("updated_at")?,
    })
}

async fn list(call: Call) -> Answer {
    let mut params = call.params();
    let (role, words) = (params.word_in_view::<wire::Role>("role"), params.text("q"));
    let sort = params.word::<UserSort>("sort").unwrap_or_default();
    let (at, after, limit) = (params.list_moment(), params.list_cursor(), params.limit());
    params.finish()?;
    call.may(Action::Read, Object::Category(User::CATEGORY))?;
    let (column, descending) = match sort {
        UserSort::Name => ("display_name", false),
        UserSort::NameBackwards => ("display_name", true),
        UserSort::Email => ("email", false),
        UserSort::EmailBackwards => ("email", true),
        UserSort::Created => ("registered_at", false),
        UserSort::CreatedLast => ("registered_at", true),
        UserSort::Updated => ("updated_at", false),
        UserSort::UpdatedLast => ("updated_at", true),
        UserSort::LoggedIn => ("last_login_at", false),
        UserSort::LoggedInLast => ("last_login_at", true),
    };
    let mut query = call
        .query(view::NAME, view::NUMBER, view::NAME)?
        .text(words.as_deref().unwrap_or_default())
        .sorted(column, descending);
    if let Some(role) = role {
        query = query.filter("role", Compare::Equal(role));
    }
    let query = ViewQuery { after, limit, ..query };
    let Listed { rows, next } = page::list(&call, query, at.as_ref()).await?;
    let items = rows.into_iter().map(|row| listed(&row)).collect::<Result<_, _>>()?;
    let told = wire::Users { items, next };
    Ok(page::linked(&call, told.next.as_deref(), &told))
}

async fn register(call: Call, body: Body) -> Answer {
    call.no_params()?;
    let (id, stream) = thing::unnamed::<User>(&call)?;
    let body = body.json(&call).await?;
    let command = Command::Register(Register::read(id, &body)?);
    thing::create::<User>(&call, &stream, command, &body).await
}

async fn me(call: Call) -> Answer {
    call.no_params()?;
    let Some(actor) = call.principal().actor.as_ref() else {
        return Err(Problem::new(Code::Unauthenticated, "Nobody in particular is asking."));
    };
    // Whoever can't be a user's id never was one.
    let id = UserId::new(actor).map_err(|_| Problem::not_found(User::WHAT))?;
    let stream = id.stream(User::CATEGORY)?;
    call.may(Action::Read, Object::Stream(&stream))?;
    thing::show::<User>(&call, &stream, None).await.map(unkept)
}

async fn change(call: Call, body: Body) -> Answer {
    call.no_params()?;
    let stream = thing::named::<User>(&call, Action::Write)?;
    let patch = thing::patch(&call, body).await?;
    let command = Command::ChangeProfile(ChangeProfile::read(call.path("id")?, &patch)?);
    thing::change::<User>(&call, &stream, command, patch.as_bytes()).await
}

async fn log_in(call: Call, body: Body) -> Answer {
    let now = call.clock.now();
    thing::order::<User>(call, body, Command::LogIn(now)).await
}

async fn change_role(call: Call, body: Body) -> Answer {
    call.no_params()?;
    let stream = thing::named::<User>(&call, Action::Administer)?;
    let body = body.json(&call).await?;
    let command = Command::ChangeRole(ChangeRole::read(&body)?);
    thing::change::<User>(&call, &stream, command, body.as_bytes()).await
}

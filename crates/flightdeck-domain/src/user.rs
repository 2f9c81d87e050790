//! A user: an address that no other has, a name, a role. One Admin always stays.

use std::collections::BTreeSet;

use flightdeck_core::form::Form;
use flightdeck_core::{
    Answer, Decider, Invalid, Json, Mark, Question, SchemaNumber, Shape, StoredEvents, StoredType, StreamId,
    Timestamp, WordError, edit,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use thiserror::Error;

use crate::words::{DisplayName, Email, UserId};

/// After how many events a snapshot of a user is kept: every time it logs in is one.
pub const SNAPSHOT_EVENTS: i64 = 100;
/// The shape of [`State`] in a snapshot. A new shape wants the next number.
pub const SNAPSHOT_SCHEMA: SchemaNumber = SchemaNumber::FIRST;

/// What happened to a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "eventType", content = "data")]
pub enum Event {
    /// It was registered, as a Viewer.
    #[serde(rename = "UserRegistered")]
    Registered(Registered),
    /// It logged in.
    #[serde(rename = "UserLoggedIn")]
    LoggedIn(LoggedIn),
    /// It has another address or name.
    #[serde(rename = "UserProfileChanged")]
    ProfileChanged(ProfileChanged),
    /// It may do other things.
    #[serde(rename = "UserRoleChanged")]
    RoleChanged(RoleChanged),
}

/// A user was registered, as a Viewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Registered {
    /// The user.
    pub user_id: UserId,
    /// Its address, which no other user has, whatever the case of its letters.
    pub email: Email,
    /// What it wants to be called.
    pub display_name: DisplayName,
}

/// A user logged in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct LoggedIn {
    /// The user.
    pub user_id: UserId,
    /// When, by the clock of the node that let it in.
    pub login_timestamp: Timestamp,
}

/// A user has another address or name: what is absent is as it was.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct ProfileChanged {
    /// The user.
    pub user_id: UserId,
    /// Its address from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Email")]
    pub email: Option<Email>,
    /// What it wants to be called from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(with = "DisplayName")]
    pub display_name: Option<DisplayName>,
}

/// A user may do other things from here on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct RoleChanged {
    /// The user.
    pub user_id: UserId,
    /// What it is from here on.
    pub role: Role,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Role {
    /// Everything.
    Admin,
    /// Read and write.
    Editor,
    /// Read.
    Viewer,
}

impl StoredEvents for Event {
    const TYPES: &'static [StoredType] = &[
        StoredType::new("UserRegistered").personal(&["/userId", "/email", "/displayName"]),
        StoredType::new("UserLoggedIn").personal(&["/userId", "/loginTimestamp"]),
        StoredType::new("UserProfileChanged").personal(&["/userId", "/email", "/displayName"]),
        StoredType::new("UserRoleChanged").personal(&["/userId"]),
    ];
}

/// Every shape that these events have or had.
pub const SHAPES: &[Shape] = &[
    Shape::of::<Registered>("UserRegistered", 1),
    Shape::of::<LoggedIn>("UserLoggedIn", 1),
    Shape::of::<ProfileChanged>("UserProfileChanged", 1),
    Shape::of::<RoleChanged>("UserRoleChanged", 1),
];

/// What can be asked of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Register it.
    Register(Register),
    /// It logs in, at that time.
    LogIn(Timestamp),
    /// Change its address or name.
    ChangeProfile(ChangeProfile),
    /// Change what it may do.
    ChangeRole(ChangeRole),
}

/// Register a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Register {
    /// What it shall be.
    pub new: Registered,
    /// Who has the address that is asked for: told by whoever handles the command.
    pub email_owner: Option<UserId>,
}

/// Change the address or the name of a user.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeProfile {
    /// What shall be so from here on.
    pub to: ProfileChanged,
    /// Who has the address that is asked for: told by whoever handles the command.
    pub email_owner: Option<UserId>,
}

/// Change what a user may do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChangeRole {
    /// What it shall be.
    pub role: Role,
    /// All Admins: told by whoever handles the command, where it matters.
    pub admins: BTreeSet<UserId>,
}

impl Register {
    /// Reads what a client sends: `email` and `displayName`.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn read(id: UserId, body: &Json) -> Result<Self, Invalid> {
        let mut form = Form::of(body);
        let (email, display_name) = (form.required("email"), form.required("displayName"));
        let all = email.zip(display_name);
        let new = all.map(|(email, display_name)| Registered { user_id: id, email, display_name });
        Ok(Self { new: form.finish(new)?, email_owner: None })
    }
}

impl ChangeProfile {
    /// Reads the merge patch that a client sends: absent leaves; neither field can be cleared.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn read(id: UserId, patch: &Json) -> Result<Self, Invalid> {
        let mut form = Form::of(patch);
        let (email, display_name) = (form.change("email"), form.change("displayName"));
        let to = ProfileChanged { user_id: id, email, display_name };
        Ok(Self { to: form.finish(Some(to))?, email_owner: None })
    }
}

impl ChangeRole {
    /// Reads what a client sends: `role`.
    ///
    /// # Errors
    /// With everything that is wrong with it.
    pub fn read(body: &Json) -> Result<Self, Invalid> {
        let mut form = Form::of(body);
        let role = form.required("role");
        Ok(Self { role: form.finish(role)?, admins: BTreeSet::new() })
    }
}

/// Why a command is refused.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum Error {
    /// There is one with that id, and it is not what is asked for.
    #[error("there is a user with that id already")]
    Exists,
    /// There is no such user.
    #[error("there is no such user")]
    NeverWas,
    /// Another user has the address. It is not named to just anyone.
    #[error("the address belongs to another user")]
    EmailTaken {
        /// Who has it.
        by: UserId,
    },
    /// There would be no Admin left.
    #[error("the last Admin stays one: make another user an Admin first")]
    LastAdmin,
}

/// What is known of a user.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize)]
pub enum State {
    /// There never was one.
    #[default]
    Absent,
    /// There is one.
    Registered(Person),
}

/// A user that is there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Its id, address and name.
    pub now: Registered,
    /// What it may do.
    pub role: Role,
    /// When it last logged in: the latest time, in whatever order they came.
    pub last_login: Option<Timestamp>,
}

/// The decider of users.
pub struct User;

impl Decider for User {
    const CATEGORY: &'static str = "user";
    const MARK_KEYS: &'static [&'static str] = &["email", "role"];
    type Command = Command;
    type Event = Event;
    type State = State;
    type Error = Error;

    fn initial() -> State {
        State::Absent
    }

    fn evolve(state: State, event: &Event) -> State {
        match (state, event) {
            (State::Absent, Event::Registered(new)) => {
                State::Registered(Person { now: new.clone(), role: Role::Viewer, last_login: None })
            }
            (State::Registered(person), Event::LoggedIn(login)) => {
                let last_login = person.last_login.max(Some(login.login_timestamp));
                State::Registered(Person { last_login, ..person })
            }
            (State::Registered(person), Event::ProfileChanged(change)) => {
                State::Registered(person.with(change))
            }
            (State::Registered(person), Event::RoleChanged(change)) => {
                State::Registered(Person { role: change.role, ..person })
            }
            // What can't follow changes nothing.
            (state @ State::Registered(_), Event::Registered(_))
            | (
                state @ State::Absent,
                Event::LoggedIn(_) | Event::ProfileChanged(_) | Event::RoleChanged(_),
            ) => state,
        }
    }

    fn decide(state: &State, command: Command) -> Result<Vec<Event>, Error> {
        match (state, command) {
            (State::Absent, Command::Register(Register { new, email_owner })) => {
                free(email_owner, &new.user_id)?;
                Ok(vec![Event::Registered(new)])
            }
            (State::Registered(person), Command::Register(Register { new, .. })) if person.now == new => {
                Ok(vec![])
            }
            (State::Registered(_), Command::Register(_)) => Err(Error::Exists),
            // Repeated, or overtaken by a later one: when it last logged in is known already.
            (State::Registered(person), Command::LogIn(at)) if person.last_login >= Some(at) => Ok(vec![]),
            (State::Registered(person), Command::LogIn(login_timestamp)) => {
                Ok(vec![Event::LoggedIn(LoggedIn { user_id: person.id(), login_timestamp })])
            }
            (State::Registered(person), Command::ChangeProfile(ChangeProfile { to, email_owner })) => {
                person.change(to, email_owner)
            }
            (State::Registered(person), Command::ChangeRole(ChangeRole { role, admins })) => {
                person.change_role(role, &admins)
            }
            (State::Absent, Command::LogIn(_) | Command::ChangeProfile(_) | Command::ChangeRole(_)) => {
                Err(Error::NeverWas)
            }
        }
    }

    fn stream(command: &Command) -> Option<Result<StreamId, WordError>> {
        match command {
            Command::Register(register) => Some(register.new.user_id.stream(Self::CATEGORY)),
            Command::ChangeProfile(change) => Some(change.to.user_id.stream(Self::CATEGORY)),
            Command::LogIn(_) | Command::ChangeRole(_) => None,
        }
    }

    fn marks(before: &State, event: &Event) -> Vec<Mark> {
        let now = match before {
            State::Registered(person) => Some(person),
            State::Absent => None,
        };
        match event {
            Event::Registered(new) => vec![address(&new.email)],
            Event::LoggedIn(_) | Event::ProfileChanged(ProfileChanged { email: None, .. }) => vec![],
            Event::ProfileChanged(ProfileChanged { email: Some(email), .. }) => {
                let mut marks = vec![address(email)];
                marks.extend(now.map(|person| address(&person.now.email)).filter(|old| *old != marks[0]));
                marks
            }
            Event::RoleChanged(change) => {
                let gained_or_lost =
                    change.role == Role::Admin || now.is_some_and(|person| person.role == Role::Admin);
                admin().ok().filter(|_| gained_or_lost).into_iter().collect()
            }
        }
    }

    fn asks(state: &State, command: &Command) -> Vec<Question> {
        match (state, command) {
            (State::Absent, Command::Register(register)) => {
                vec![Question::Last(address(&register.new.email))]
            }
            (State::Registered(person), Command::ChangeProfile(change)) => {
                let new = change.to.email.as_ref().filter(|email| **email != person.now.email);
                new.map(|email| Question::Last(address(email))).into_iter().collect()
            }
            (State::Registered(person), Command::ChangeRole(change)) => {
                let loses = person.role == Role::Admin && change.role != Role::Admin;
                admin().ok().filter(|_| loses).map(Question::Every).into_iter().collect()
            }
            (State::Registered(_), Command::Register(_))
            | (State::Absent, Command::ChangeProfile(_) | Command::ChangeRole(_))
            | (_, Command::LogIn(_)) => vec![],
        }
    }

    fn told(command: Command, answers: &[Answer<Event>]) -> Command {
        let answer = answers.first().map_or(&[][..], Vec::as_slice);
        match command {
            Command::Register(register) => {
                let email_owner = owner(&register.new.email, answer);
                Command::Register(Register { email_owner, ..register })
            }
            Command::ChangeProfile(change) => {
                let email_owner = change.to.email.as_ref().and_then(|email| owner(email, answer));
                Command::ChangeProfile(ChangeProfile { email_owner, ..change })
            }
            Command::ChangeRole(change) => {
                Command::ChangeRole(ChangeRole { admins: admins(answer), ..change })
            }
            same @ Command::LogIn(_) => same,
        }
    }
}

/// What an address is found by: hidden, for the tags of an event are read by more people than its data.
fn address(email: &Email) -> Mark {
    Mark::hidden("email", email.folded())
}

/// What every event carries that makes someone an Admin, or an Admin something else.
fn admin() -> Result<Mark, WordError> {
    Mark::open("role", "admin")
}

/// Who has the address, as the last event with its mark says.
fn owner(email: &Email, answer: &[(StreamId, Event)]) -> Option<UserId> {
    let (stream, last) = answer.last()?;
    let left_with = match last {
        Event::Registered(new) => Some(&new.email),
        Event::ProfileChanged(change) => change.email.as_ref(),
        Event::LoggedIn(_) | Event::RoleChanged(_) => None,
    };
    UserId::of(stream, User::CATEGORY).filter(|_| left_with.is_some_and(|has| has.folded() == email.folded()))
}

/// All Admins: the fold of every event with the mark.
fn admins(answer: &[(StreamId, Event)]) -> BTreeSet<UserId> {
    let mut admins = BTreeSet::new();
    for (stream, event) in answer {
        let role = match event {
            Event::RoleChanged(change) => change.role,
            Event::Registered(_) | Event::LoggedIn(_) | Event::ProfileChanged(_) => continue,
        };
        let Some(user) = UserId::of(stream, User::CATEGORY) else { continue };
        match role {
            Role::Admin => admins.insert(user),
            Role::Editor | Role::Viewer => admins.remove(&user),
        };
    }
    admins
}

/// Refuses an address that someone else has.
fn free(owner: Option<UserId>, own: &UserId) -> Result<(), Error> {
    match owner {
        Some(by) if by != *own => Err(Error::EmailTaken { by }),
        Some(_) | None => Ok(()),
    }
}

impl Person {
    fn id(&self) -> UserId {
        self.now.user_id.clone()
    }

    fn with(mut self, change: &ProfileChanged) -> Self {
        let ProfileChanged { user_id: _, email, display_name } = change.clone();
        self.now.email = email.unwrap_or(self.now.email);
        self.now.display_name = display_name.unwrap_or(self.now.display_name);
        self
    }

    fn change(&self, to: ProfileChanged, email_owner: Option<UserId>) -> Result<Vec<Event>, Error> {
        let new = ProfileChanged {
            user_id: self.id(),
            email: to.email.filter(|email| *email != self.now.email),
            display_name: to.display_name.filter(|name| *name != self.now.display_name),
        };
        if new.email.is_some() {
            free(email_owner, &self.now.user_id)?;
        }
        let nothing = new.email.is_none() && new.display_name.is_none();
        Ok(if nothing { vec![] } else { vec![Event::ProfileChanged(new)] })
    }

    fn change_role(&self, role: Role, admins: &BTreeSet<UserId>) -> Result<Vec<Event>, Error> {
        if role == self.role {
            return Ok(vec![]);
        }
        if self.role == Role::Admin && admins.iter().all(|admin| *admin == self.now.user_id) {
            return Err(Error::LastAdmin);
        }
        Ok(vec![Event::RoleChanged(RoleChanged { user_id: self.id(), role })])
    }
}

#[cfg(test)]
mod tests;

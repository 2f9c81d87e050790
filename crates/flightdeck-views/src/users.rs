//! The view `users`: one row for each user, as it is now.
//!
//! A user is never gone: the domain has no event yet by which one is deleted or erased. Addresses and names stand here as they are
//! in the events, so that this is for whoever may read the streams of users.

use flightdeck_core::Timestamp;
use flightdeck_domain::user::{Event, LoggedIn, ProfileChanged, Registered, Role, User};
use flightdeck_projections::{Projection, Reads};
use flightdeck_store::Recorded;
use flightdeck_store::view::{FoldError, Key, Kind, Row, Rows, Table, Value};

use crate::subject::{happened, subject};

/// The name of the view, and of its one table.
pub const NAME: &str = "users";
/// The number of this projection. Whatever changes what is read, kept or folded takes the next one.
pub const NUMBER: u32 = 1;

/// The projection of the view `users`.
#[derive(Debug, Clone, Copy, Default)]
pub struct UsersView;

impl Projection for UsersView {
    fn name(&self) -> &'static str {
        NAME
    }

    fn number(&self) -> u32 {
        NUMBER
    }

    fn reads(&self) -> Reads {
        Reads::events_of::<User>()
    }

    fn tables(&self) -> Vec<Table> {
        vec![
            Table::named(NAME)
                .key("id", Kind::Text)
                .column("email", Kind::Text)
                .column("display_name", Kind::Text)
                .column("role", Kind::Text)
                .column("registered_at", Kind::Time)
                .nullable("last_login_at", Kind::Time)
                // Of the address, the name or the role; when it logged in has a column of its own.
                .column("updated_at", Kind::Time)
                // Unique by the commands' own rule; a view never refuses what has happened.
                .index(&["email"])
                .index(&["display_name"])
                .index(&["role", "display_name"])
                .index(&["registered_at"])
                .index(&["last_login_at"])
                .index(&["updated_at"])
                .search(&["display_name", "email"])
                .of_stream("user", "id"),
        ]
    }

    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        Ok(vec![Key::of(NAME, subject(event)?)])
    }

    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        let (id, at) = (subject(event)?, event.recorded_at);
        let Some(happened) = happened(event, None)? else { return Ok(()) };
        match (happened, rows.get(NAME, id).cloned()) {
            (Event::Registered(new), None) => rows.put(NAME, registered(id, &new, at)),
            (Event::LoggedIn(login), Some(user)) => rows.put_row(logged_in(user, &login)?),
            (Event::ProfileChanged(change), Some(user)) => {
                let now = with_profile(user.clone(), &change)?;
                touch(rows, &user, now, at)
            }
            (Event::RoleChanged(change), Some(user)) => {
                let mut now = user.clone();
                now.set("role", role(change.role))?;
                touch(rows, &user, now, at)
            }
            // As the decider has it: what can't follow changes nothing.
            (Event::Registered(_), Some(_))
            | (Event::LoggedIn(_) | Event::ProfileChanged(_) | Event::RoleChanged(_), None) => Ok(()),
        }
    }
}

fn registered(id: &str, new: &Registered, at: Timestamp) -> [Value; 7] {
    [
        id.into(),
        new.email.as_str().into(),
        new.display_name.as_str().into(),
        role(Role::Viewer).into(),
        at.into(),
        Value::Null,
        at.into(),
    ]
}

/// The latest time counts, in whatever order they came.
fn logged_in(mut user: Row, login: &LoggedIn) -> Result<Row, FoldError> {
    let latest = user.time("last_login_at").max(Some(login.login_timestamp));
    user.set("last_login_at", latest)?;
    Ok(user)
}

fn with_profile(mut user: Row, change: &ProfileChanged) -> Result<Row, FoldError> {
    let ProfileChanged { user_id: _, email, display_name } = change;
    if let Some(email) = email {
        user.set("email", email.as_str())?;
    }
    if let Some(display_name) = display_name {
        user.set("display_name", display_name.as_str())?;
    }
    Ok(user)
}

/// Puts a user that is not as it was.
fn touch(rows: &mut Rows<'_>, before: &Row, mut now: Row, at: Timestamp) -> Result<(), FoldError> {
    if now == *before {
        return Ok(());
    }
    now.set("updated_at", at)?;
    rows.put_row(now)
}

/// As it is stored in events, too.
const fn role(role: Role) -> &'static str {
    match role {
        Role::Admin => "Admin",
        Role::Editor => "Editor",
        Role::Viewer => "Viewer",
    }
}

#[cfg(test)]
mod tests;

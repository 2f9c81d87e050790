//! The parameters of a request, read one by one, so that whoever sent them hears of everything that is wrong with them at once.

use std::fmt::Display;
use std::str::FromStr;
use std::time::Duration;

use flightdeck_core::limits::PAGE_EVENTS_MAX;
use flightdeck_core::{Cursor, Invalid, Position};
use flightdeck_store::{After, Limit};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};

use crate::caps::{Cap, Caps};
use crate::problem::Problem;

/// How many of a list come when nobody says.
const LIMIT: usize = 50;
/// Parameters of one request: no route has half as many.
const PARAMS_MAX: usize = 64;

/// The parameters of one request.
#[derive(Debug)]
pub struct Params {
    given: Vec<(String, String)>,
    wrong: Invalid,
    limit_max: usize,
    met: Option<Cap>,
}

impl Params {
    /// Reads a query string.
    #[must_use]
    pub fn of(query: &str) -> Self {
        let mut wrong = Invalid::default();
        let given = actix_web::web::Query::<Vec<(String, String)>>::from_query(query);
        let mut given = given.map(actix_web::web::Query::into_inner).unwrap_or_else(|_| {
            wrong.extend(Invalid::field("", "of the query can't be read"));
            Vec::new()
        });
        if given.len() > PARAMS_MAX {
            let problem = format!("has {} parameters, and {PARAMS_MAX} is the most", given.len());
            (given, wrong) = (Vec::new(), Invalid::field("", problem));
        }
        for (place, (name, value)) in given.iter().enumerate() {
            if given[..place].iter().any(|(before, _)| before == name) {
                wrong.extend(Invalid::field(name, "is there twice"));
            } else if value.contains('\0') {
                wrong.extend(Invalid::field(name, "has a NUL character"));
            }
        }
        Self { given, wrong, limit_max: PAGE_EVENTS_MAX, met: None }
    }

    /// The same, where a page has no more than that.
    #[must_use]
    pub fn at_most(self, limit_max: usize) -> Self {
        Self { limit_max, ..self }
    }

    /// Whether a parameter is there, and was not read yet.
    #[must_use]
    pub fn is_there(&self, name: &str) -> bool {
        self.given.iter().any(|(own, _)| own == name)
    }

    /// A parameter as text, if it is there; it is still to be read.
    #[must_use]
    pub fn peek(&self, name: &str) -> Option<&str> {
        self.given.iter().find(|(own, _)| own == name).map(|(_, value)| value.as_str())
    }

    /// A parameter as text, if it is there.
    pub fn text(&mut self, name: &str) -> Option<String> {
        let place = self.given.iter().position(|(own, _)| own == name)?;
        let (_, value) = self.given.swap_remove(place);
        self.given.retain(|(own, _)| own != name);
        Some(value)
    }

    /// A parameter read by `read`, if it is there.
    pub fn read<T, E: Display>(&mut self, name: &str, read: impl FnOnce(&str) -> Result<T, E>) -> Option<T> {
        let text = self.text(name)?;
        match read(&text) {
            Ok(value) => Some(value),
            Err(error) => {
                self.refuse(name, error.to_string());
                None
            }
        }
    }

    /// A parameter of a type that says itself how it is read.
    pub fn parse<T: FromStr<Err: Display>>(&mut self, name: &str) -> Option<T> {
        self.read(name, str::parse)
    }

    /// `true` or `false`; `false` when it is not there.
    pub fn flag(&mut self, name: &str) -> bool {
        let read = |text: &str| text.parse::<bool>().map_err(|_| "is not true or false");
        self.read(name, read).unwrap_or(false)
    }

    /// A list with commas between its items; empty when it is not there.
    pub fn list<T, E: Display>(&mut self, name: &str, read: impl Fn(&str) -> Result<T, E>) -> Vec<T> {
        let all = |text: &str| text.split(',').map(&read).collect::<Result<Vec<T>, E>>();
        self.read(name, all).unwrap_or_default()
    }

    /// `limit`: how many at most.
    pub fn limit(&mut self) -> Limit {
        let (most, mut is_more) = (self.limit_max, false);
        let read = |text: &str| match text.parse::<usize>() {
            Ok(limit) if (1..=most).contains(&limit) => Limit::new(limit).map_err(|error| error.to_string()),
            told => {
                is_more = told.is_ok_and(|limit| limit > most);
                Err(format!("is not between 1 and {most}"))
            }
        };
        let read = self.read("limit", read);
        self.met = self.met.or(is_more.then_some(Cap::PageEvents));
        read.or_else(|| Limit::new(LIMIT.min(most)).ok()).unwrap_or_default()
    }

    /// A place in the log: a cursor, or a bare position.
    pub fn place(&mut self, name: &str) -> Option<After> {
        self.read(name, place)
    }

    /// How long to wait, such as `20s`, up to a limit that is told in seconds; not at all when it is not there.
    pub fn time(&mut self, name: &str, cap: Cap, caps: &Caps) -> Duration {
        let (most, mut is_more) = (caps.time(cap), false);
        let read = |text: &str| {
            let digits =
                text.strip_suffix('s').filter(|digits| digits.bytes().all(|byte| byte.is_ascii_digit()));
            let time = digits.and_then(|digits| digits.parse().ok()).map(Duration::from_secs);
            is_more = time.is_some_and(|time| time > most);
            time.filter(|time| *time <= most)
                .ok_or_else(|| format!("is not between 0s and {}s", most.as_secs()))
        };
        let time = self.read(name, read).unwrap_or_default();
        self.met = self.met.or(is_more.then_some(cap));
        time
    }

    /// Notes that a parameter is wrong.
    pub fn refuse(&mut self, name: &str, problem: impl Into<String>) {
        self.wrong.extend(Invalid::field(name, problem));
    }

    /// Ends it.
    ///
    /// # Errors
    /// When something was wrong, or a parameter is left that the route does not know.
    pub fn finish(mut self) -> Result<(), Problem> {
        for (name, _) in std::mem::take(&mut self.given) {
            let name: String = name.chars().take(80).collect();
            self.refuse(&name, "is not a parameter here");
        }
        if self.wrong.is_empty() {
            return Ok(());
        }
        let problem = Problem::from(self.wrong);
        Err(self.met.into_iter().fold(problem, Problem::met))
    }
}

/// Reads a place in the log.
///
/// # Errors
/// When it is neither a cursor nor a position.
pub fn place(text: &str) -> Result<After, String> {
    let wrong = || "is neither a cursor nor a position".to_owned();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        let position = text.parse().map_err(|_| wrong())?;
        return Position::new(position).map(After::Position).map_err(|error| error.problem().to_owned());
    }
    text.parse::<Cursor>().map(After::Cursor).map_err(|_| wrong())
}

/// Makes what describes a parameter by a pattern.
macro_rules! pattern_param {
    ($(#[$doc:meta])* $name:ident, $pattern:expr) => {
        $(#[$doc])*
        pub(crate) struct $name;

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }
            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "pattern": $pattern })
            }
        }
    };
}
pub(crate) use pattern_param;

/// Describes `limit`.
pub struct LimitParam;

impl JsonSchema for LimitParam {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Limit".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "integer", "minimum": 1, "maximum": PAGE_EVENTS_MAX, "default": LIMIT })
    }
}

/// Describes a place in the log.
pub struct PlaceParam;

impl JsonSchema for PlaceParam {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Place".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "pattern": "^([a-z0-9]{1,12}-)?(0|[1-9][0-9]{0,14})$", "examples": ["0"] })
    }
}

pattern_param! {
    /// Describes the `next` of a page: nobody can tell by its letters whether it is one.
    NextParam, "^[A-Za-z0-9_-]+$"
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{Cap, Caps, Params};

    #[test]
    fn all_that_is_wrong_is_told_at_once() {
        let mut params = Params::of("limit=0&after=x&what=1&backward=perhaps&a%00b=1");
        params.limit();
        params.place("after");
        params.flag("backward");
        let problem = params.finish().unwrap_err();
        let wrong: Vec<&str> = problem.told().invalid.keys().map(String::as_str).collect();
        assert_eq!(wrong, ["a\0b", "after", "backward", "limit", "what"]);
    }

    #[test]
    fn a_wait_has_an_end() {
        let wait = |text: &str| {
            let mut params = Params::of(&format!("wait={text}"));
            let time = params.time("wait", Cap::WaitSeconds, &Caps::default());
            params.finish().map(|()| time)
        };
        assert_eq!(wait("20s").unwrap(), Duration::from_secs(20));
        for bad in ["", "s", "20", "61s", "-1s", "1.5s", "99999999999999999999s", "%2B1s"] {
            let problem = wait(bad).unwrap_err();
            assert_eq!(problem.is_met(Cap::WaitSeconds), bad == "61s", "{bad}");
        }
    }

    #[test]
    fn a_parameter_is_there_once() {
        let mut params = Params::of("limit=2&limit=3");
        params.limit();
        assert!(params.finish().is_err());
    }

    #[test]
    fn so_many_parameters_are_those_of_no_route() {
        let query: Vec<String> = (0..65).map(|number| format!("p{number}=1")).collect();
        let problem = Params::of(&query.join("&")).finish().unwrap_err();
        assert_eq!(problem.told().invalid[""], "has 65 parameters, and 64 is the most");
        assert!(Params::of(&query[1..].join("&")).finish().unwrap_err().told().invalid.len() == 64);
    }

    #[test]
    fn a_place_is_a_cursor_or_a_position() {
        for good in ["0", "17", "e-17", "k3f9-0"] {
            assert!(super::place(good).is_ok(), "{good}");
        }
        for bad in ["", "-1", "e-", "E-1", "1.5", "e-01", "9007199254740992", "head"] {
            assert!(super::place(bad).is_err(), "{bad}");
        }
    }
}

//! Lists: pages of views, as they are now or were at a moment, and where they go on.

use actix_web::HttpResponse;
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use flightdeck_core::Timestamp;
use flightdeck_projections::as_of::{Beyond, Moment, Past};
use flightdeck_projections::{AsOfError, Defined};
use flightdeck_store::view::{Compare, InvalidQuery, Row, Value, ViewCursor, ViewPage, ViewQuery};
use flightdeck_store::{After, Limit};
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde::de::value::{Error as Unknown, StrDeserializer};

use crate::authorise::{Action, Object};
use crate::call::{Call, json};
use crate::caps::{Cap, Met};
use crate::next_link;
use crate::params::{Params, pattern_param, place};
use crate::problem::{Code, Problem};
use crate::trace;

/// Rows that are asked for at first, when it is not known how large they are,
const ROWS_AT_FIRST: usize = 3;
/// and at once at the most.
const ROWS_AT_ONCE: usize = 100;

impl Params {
    /// `after`: behind where the page of a list before ended.
    pub fn list_cursor(&mut self) -> Option<ViewCursor> {
        self.read("after", |text| {
            let wrong = || "is not the `next` of such a list";
            let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
            let text = String::from_utf8(bytes).map_err(|_| wrong())?;
            ViewCursor::from_text(&text).map_err(|_| wrong())
        })
    }

    /// `at`: the moment that a list is asked for.
    pub fn list_moment(&mut self) -> Option<Moment> {
        self.read("at", |text| match (text.parse::<Timestamp>(), place(text)) {
            (Ok(time), _) => Ok(Moment::Time(time)),
            (Err(_), Ok(After::Position(position))) => Ok(Moment::Position(position)),
            (Err(_), Ok(After::Cursor(cursor))) => Ok(Moment::Cursor(cursor)),
            (Err(_), Err(_)) => Err("is neither a cursor nor a time such as 2026-11-21T09:30:00Z"),
        })
    }

    /// A parameter that is one of a few words.
    pub fn word<T: DeserializeOwned + JsonSchema>(&mut self, name: &str) -> Option<T> {
        self.read(name, |text| {
            let read = T::deserialize(StrDeserializer::<Unknown>::new(text));
            read.map_err(|_| format!("is none of {}", words_of::<T>().join(", ")))
        })
    }

    /// The same, as the view has it: views call things as the API does.
    pub fn word_in_view<T: DeserializeOwned + JsonSchema>(&mut self, name: &str) -> Option<Value> {
        self.read(name, |text| {
            let words = words_of::<T>();
            let found = words.iter().find(|word| *word == text).map(|word| Value::from(word.as_str()));
            found.ok_or_else(|| format!("is none of {}", words.join(", ")))
        })
    }
}

/// What stands in a row, for whoever knows that it does.
pub trait Cells {
    /// The text of a column that always has one.
    ///
    /// # Errors
    /// When it has none, which is a fault of ours.
    fn needed_text(&self, column: &str) -> Result<String, Problem>;

    /// The moment in a column that always has one.
    ///
    /// # Errors
    /// When it has none, which is a fault of ours.
    fn needed_time(&self, column: &str) -> Result<Timestamp, Problem>;

    /// The word in a column that always has one.
    ///
    /// # Errors
    /// When it has none, which is a fault of ours.
    fn word<T: DeserializeOwned>(&self, column: &str) -> Result<T, Problem>;

    /// The text of a column, if it has one.
    fn some_text(&self, column: &str) -> Option<String>;

    /// The texts of a list.
    fn texts(&self, column: &str) -> Vec<String>;
}

impl Cells for Row {
    fn needed_text(&self, column: &str) -> Result<String, Problem> {
        self.some_text(column).ok_or_else(|| lacks(self, column))
    }

    fn needed_time(&self, column: &str) -> Result<Timestamp, Problem> {
        self.time(column).ok_or_else(|| lacks(self, column))
    }

    fn word<T: DeserializeOwned>(&self, column: &str) -> Result<T, Problem> {
        let text = self.text(column).unwrap_or_default();
        T::deserialize(StrDeserializer::<Unknown>::new(text)).map_err(|_| lacks(self, column))
    }

    fn some_text(&self, column: &str) -> Option<String> {
        self.text(column).map(str::to_owned)
    }

    fn texts(&self, column: &str) -> Vec<String> {
        match self.get(column) {
            Value::List(texts) => texts.iter().map(ToString::to_string).collect(),
            _ => Vec::new(),
        }
    }
}

fn lacks(row: &Row, column: &str) -> Problem {
    let problem =
        Problem::new(Code::Internal, "The view has a row that can't be told; the server's log says which.");
    problem.because(&std::io::Error::other(format!(
        "{} has a row without {column}: {:?}",
        row.table().name(),
        row.key()
    )))
}

/// The words that a type can be, as its schema has them.
fn words_of<T: JsonSchema>() -> Vec<String> {
    let schema = T::json_schema(&mut SchemaGenerator::default());
    let listed = |name: &str| schema.get(name).and_then(|list| list.as_array()).into_iter().flatten();
    let alone = listed("oneOf").filter_map(|one| one.get("const"));
    let words = listed("enum").chain(alone);
    words.filter_map(|word| word.as_str()).map(str::to_owned).collect()
}

/// A page of a list.
#[derive(Debug)]
pub struct Listed {
    /// Its rows.
    pub rows: Vec<Row>,
    /// What to ask for next; `None` at the end.
    pub next: Option<String>,
}

/// A page of a view: as it is now, and then not before `FlightDeck-Min-Position` is there; or as it was at a moment.
///
/// # Errors
/// When the query is none, the view can't be asked, or that is too much to be folded for one answer.
pub async fn list(call: &Call, query: ViewQuery, at: Option<&Moment>) -> Result<Listed, Problem> {
    let view = call.view(query.view.as_str())?;
    // Before anything is waited for, or folded.
    if let Some((_, table)) = view.plan().table(&query.table) {
        query.check(table).map_err(refused)?;
    }
    let bytes_max = call.caps().get(Cap::PageBytes);
    match at {
        None => {
            call.wait_for(view).await?;
            page(query, bytes_max, &call.met, async |query| {
                Ok(trace::part("ask view", call.views.ask(query)).await?)
            })
            .await
        }
        Some(moment) => {
            call.wait_for_log().await?;
            let past = call.as_of.at(view, moment, Beyond::Refuse).await?;
            let listed = page(query, bytes_max, &call.met, async |query| asked(&past, query).await).await;
            past.end().await;
            listed
        }
    }
}

async fn asked(past: &Past, query: &ViewQuery) -> Result<ViewPage, Problem> {
    past.ask(query).await.map_err(AsOfError::into)
}

async fn page(
    query: ViewQuery,
    bytes_max: usize,
    met: &Met,
    ask: impl AsyncFn(&ViewQuery) -> Result<ViewPage, Problem>,
) -> Result<Listed, Problem> {
    let (mut left, mut bytes, mut rows) = (query.limit.get(), 0, Vec::new());
    let mut query = query;
    let mut at_once = ROWS_AT_FIRST;
    loop {
        query.limit = Limit::new(left.min(at_once)).unwrap_or_default();
        let mut some = ask(&query).await?;
        left -= some.rows.len().min(left);
        bytes += some.rows.iter().map(Row::bytes).sum::<usize>();
        // As many as fit, if they are like those that have come.
        let each = (bytes / (rows.len() + some.rows.len()).max(1)).max(1);
        at_once = (bytes_max.saturating_sub(bytes) / each).clamp(1, ROWS_AT_ONCE);
        rows.append(&mut some.rows);
        match some.next {
            Some(next) if left > 0 && bytes < bytes_max => query.after = Some(next),
            next => {
                if next.is_some() && left > 0 {
                    met.note(Cap::PageBytes);
                }
                let next = next.map(|next| URL_SAFE_NO_PAD.encode(next.to_text()));
                return Ok(Listed { rows, next });
            }
        }
    }
}

fn refused(wrong: InvalidQuery) -> Problem {
    match wrong {
        InvalidQuery::Cursor => Problem::field("after", "is the `next` of another list"),
        wrong => Problem::field("", wrong.to_string()),
    }
}

/// Answers with a page of a list, and where the next one is found.
#[must_use]
pub fn linked<T: Serialize>(call: &Call, next: Option<&str>, page: &T) -> HttpResponse {
    next_link::linked(json(200, page), call.request(), next)
}

impl Call {
    /// The projection of a view.
    ///
    /// # Errors
    /// When it is not run here.
    pub fn view(&self, view: &str) -> Result<&Defined, Problem> {
        self.host().projection(view).ok_or_else(|| {
            let problem = Problem::new(Code::ViewUnavailable, "The view is not folded here.");
            problem.retry_after(1).with(|told| told.view = Some(view.to_owned()))
        })
    }

    /// A question to the table of a view of things of a category, some of which everyone may see: whoever may read none of their streams
    /// gets the rows for which `public` is so, as they are now.
    ///
    /// # Errors
    /// When the view is not folded here, or the caller may not ask for what was.
    pub fn query_of(
        &self,
        category: &str,
        view: &str,
        number: u32,
        at: Option<&Moment>,
        public: impl FnOnce() -> (&'static str, Value),
    ) -> Result<ViewQuery, Problem> {
        let query = self.query(view, number, view)?;
        match (self.may(Action::Read, Object::Category(category)), at) {
            (Ok(()), _) => Ok(query),
            (Err(_), None) => {
                let (column, value) = public();
                Ok(ViewQuery { streams: None, ..query }.filter(column, Compare::Equal(value)))
            }
            (Err(refused), Some(_)) => Err(refused),
        }
    }

    /// A question to a table of a view: for all rows that the caller may see.
    ///
    /// # Errors
    /// When the view is not folded here.
    pub fn query(&self, view: &str, number: u32, table: &str) -> Result<ViewQuery, Problem> {
        let view = self.view(view)?.plan().view().clone();
        Ok(ViewQuery { streams: self.readable(), ..ViewQuery::of(view, number, table) })
    }
}

pattern_param! {
    /// Describes the words that something is found by: so many that a view surely takes them.
    WordsParam, "^[^\\u0000]{0,60}$"
}

/// Describes the moment of a list.
pub struct ListMoment;

impl JsonSchema for ListMoment {
    fn inline_schema() -> bool {
        true
    }
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "ListMoment".into()
    }
    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "anyOf": [
            { "format": "date-time" },
            { "pattern": "^([a-z0-9]{1,12}-)?(0|[1-9][0-9]{0,14})$" },
        ] })
    }
}

#[cfg(test)]
mod tests {
    use flightdeck_wire::content::{ContentSort, Status};

    use super::words_of;
    use crate::params::Params;

    #[test]
    fn whoever_asks_for_another_word_hears_which_there_are() {
        assert_eq!(words_of::<Status>(), ["Draft", "Published", "Archived"]);
        assert_eq!(words_of::<ContentSort>(), ["updatedAt", "-updatedAt"]);
        let mut params = Params::of("status=Gone&sort=-updatedAt");
        assert_eq!(params.word::<Status>("status"), None);
        assert_eq!(params.word("sort"), Some(ContentSort::UpdatedLast));
        let told = params.finish().unwrap_err();
        assert_eq!(told.told().invalid["status"], "is none of Draft, Published, Archived");
    }

    #[test]
    fn a_list_is_asked_for_as_of_a_cursor_or_a_time_and_of_nothing_else() {
        for (text, good) in [
            ("e-42", true),
            ("42", true),
            ("2026-11-21T09:30:00Z", true),
            ("2026-11-21T09:30:00%2B01:00", true),
            ("v3", false),
            ("yesterday", false),
            ("", false),
        ] {
            let mut params = Params::of(&format!("at={text}"));
            assert_eq!(params.list_moment().is_some(), good, "{text}");
        }
        assert!(Params::of("after=W10").list_cursor().is_some());
        assert!(Params::of("after=W1").list_cursor().is_none());
    }
}

//! The SQL that a question to a view becomes, and its answer.

use std::sync::Arc;

use flightdeck_store::view::search::words_of;
use flightdeck_store::view::{
    Compare, GenerationState, InvalidQuery, Table, Term, Value, ViewError, ViewPage, ViewQuery, Visible,
    answering,
};
use rusqlite::{Connection, params_from_iter};

use crate::generations::{self, NotDone};
use crate::tables::{self, Bound, Tables, names};

/// Answers a question, within the read transaction that is open: rows and checkpoint are of one moment.
pub(crate) fn ask(conn: &Connection, query: &ViewQuery) -> Result<ViewPage, NotDone> {
    // For how long nobody has wanted a generation is of no interest here.
    let now = flightdeck_core::Timestamp::from_micros(0).map_err(|_| ViewError::Unknown(String::new()))?;
    let stored = generations::of_view(conn, &query.view, now)?;
    let states: Vec<GenerationState> = stored.iter().map(|stored| stored.state.clone()).collect();
    let Some(state) = answering(&states, &query.view, query.number) else {
        return Err(match states.is_empty() {
            true => ViewError::Unknown(query.view.to_string()).into(),
            false => ViewError::NotReady(query.view.clone()).into(),
        });
    };
    let id = stored.iter().find(|stored| stored.state.of == state.of).map_or(0, |stored| stored.id);
    let (place, table) = state
        .plan
        .table(&query.table)
        .ok_or_else(|| ViewError::from(InvalidQuery::Table(query.table.clone())))?;
    let order = query.check(table).map_err(ViewError::from)?;
    let tables = Tables::of(id, &state.plan, state.serving);
    // The index of words is a little behind the rows: each row that it may be wrong about is looked at, and read words decide.
    let exact = query.terms.is_empty();
    let worded = if exact { 0 } else { tables.worded(conn, place)? };
    let mut sql = Sql::default();
    let words = Words { index: tables.words(place), todo: tables.todo(place), worded };
    sql.conditions(query, table, &tables.name(place), &words);
    let parts = query.after.as_ref().map_or(vec![Part::All], |after| Part::behind(table, &after.0, &order));
    let most = query.limit.get() + 1;
    let mut rows = Vec::new();
    for part in parts {
        if rows.len() == most {
            break;
        }
        let mut sql = sql.clone();
        sql.part(part, &order);
        // The text differs from question to question: it must not push out what is asked all the time.
        let limit = exact.then_some(most - rows.len());
        let mut statement = conn.prepare(&sql.text(table, &tables.name(place), &order, limit))?;
        let mut found = statement.query(params_from_iter(sql.values.iter().map(Bound)))?;
        while rows.len() < most
            && let Some(row) = found.next()?
        {
            let row = tables::read(table, row, 0)?;
            if exact || query.has_terms(words_of(table, &row).as_deref()) {
                rows.push(row);
            }
        }
    }
    Ok(ViewPage::cut(rows, query.limit, &order, state.checkpoint, state.of.clone()))
}

/// Where the words of a table are: in their index, but for rows that changed since, and those that have never been looked at.
struct Words {
    index: String,
    todo: String,
    worded: i64,
}

/// A part of the rows behind a place in an order. What one part has comes before what the next one has.
#[derive(Debug, Clone, Copy)]
enum Part<'a> {
    /// All there are.
    All,
    /// Those that are behind these values as rows are compared: it leads to the place in an index, and from there on that is read.
    Row(&'a [Value]),
    /// Those with nothing in the first column.
    Nothing,
    /// Those that are behind these values in whatever way: every row of the order is looked at.
    Any(&'a [Value]),
}

impl<'a> Part<'a> {
    /// What is behind these values in an order.
    fn behind(table: &Table, after: &'a [Value], order: &[(&str, bool)]) -> Vec<Self> {
        let descending = order[0].1;
        let nullable =
            |column: &str| table.place(column).is_some_and(|place| table.columns()[place].nullable);
        let alike = order.iter().all(|(_, down)| *down == descending) && !after.contains(&Value::Null);
        // Comparing rows leaves out what has nothing in it. Upwards that comes first, so that is right; downwards it comes last.
        match alike {
            true if !descending => vec![Self::Row(after)],
            true if order[1..].iter().all(|(column, _)| !nullable(column)) => match nullable(order[0].0) {
                true => vec![Self::Row(after), Self::Nothing],
                false => vec![Self::Row(after)],
            },
            _ => vec![Self::Any(after)],
        }
    }
}

/// Conditions, and the values that are bound in them.
#[derive(Default, Clone)]
struct Sql {
    conditions: Vec<String>,
    values: Vec<Value>,
}

impl Sql {
    fn bind(&mut self, value: Value) -> String {
        self.values.push(value);
        format!("?{}", self.values.len())
    }

    fn conditions(&mut self, query: &ViewQuery, table: &Arc<Table>, name: &str, words: &Words) {
        for filter in &query.filters {
            let column = format!("\"{}\"", filter.column);
            let condition = match &filter.compare {
                Compare::Equal(value) => format!("{column} = {}", self.bind(value.clone())),
                Compare::Less(value) => format!("{column} < {}", self.bind(value.clone())),
                Compare::More(value) => format!("{column} > {}", self.bind(value.clone())),
                Compare::OneOf(values) => {
                    let places: Vec<String> = values.iter().map(|value| self.bind(value.clone())).collect();
                    format!("{column} IN ({})", places.join(", "))
                }
                Compare::Has(text) => {
                    let place = self.bind(text.as_str().into());
                    format!("EXISTS (SELECT 1 FROM json_each({column}) item WHERE item.value = {place})")
                }
                Compare::IsNull => format!("{column} IS NULL"),
                Compare::IsNotNull => format!("{column} IS NOT NULL"),
            };
            self.conditions.push(condition);
        }
        if !query.terms.is_empty() {
            let place = self.bind(match_text(&query.terms).into());
            let Words { index, todo, worded } = words;
            self.conditions.push(format!(
                "fd_row IN (SELECT rowid FROM \"{index}\" WHERE \"{index}\" MATCH {place} \
                 UNION ALL SELECT fd_row FROM \"{todo}\" UNION ALL SELECT fd_row FROM \"{name}\" WHERE fd_row > {worded})"
            ));
        }
        if let Visible::Some { column, exactly, beginning } = query.visible(table) {
            let mut any = vec!["0".to_owned()];
            for exact in exactly {
                any.push(format!("\"{column}\" = {}", self.bind(exact.into())));
            }
            for begin in beginning {
                // In bytes, so that no letter means anything else.
                let place = self.bind(begin.into());
                any.push(format!(
                    "substr(CAST(\"{column}\" AS BLOB), 1, length(CAST({place} AS BLOB))) = CAST({place} AS BLOB)"
                ));
            }
            self.conditions.push(format!("({})", any.join(" OR ")));
        }
    }

    fn part(&mut self, part: Part<'_>, order: &[(&str, bool)]) {
        let condition = match part {
            Part::All => return,
            Part::Row(after) => {
                let columns = names(order.iter().map(|(column, _)| *column));
                let places: Vec<String> = after.iter().map(|value| self.bind(value.clone())).collect();
                format!("({columns}) {} ({})", if order[0].1 { "<" } else { ">" }, places.join(", "))
            }
            Part::Nothing => format!("\"{}\" IS NULL", order[0].0),
            Part::Any(after) => self.behind(after, order),
        };
        self.conditions.push(condition);
    }

    /// Strictly behind these values in that order, however it goes: nothing comes before everything.
    fn behind(&mut self, after: &[Value], order: &[(&str, bool)]) -> String {
        let mut any = Vec::new();
        let mut same = String::new();
        for (at, (value, (column, descending))) in after.iter().zip(order).enumerate() {
            let column = format!("\"{column}\"");
            let behind = match (value, descending) {
                (Value::Null, false) => Some(format!("{column} IS NOT NULL")),
                (Value::Null, true) => None,
                (value, false) => Some(format!("{column} > {}", self.bind(value.clone()))),
                (value, true) => {
                    Some(format!("({column} < {} OR {column} IS NULL)", self.bind(value.clone())))
                }
            };
            any.extend(behind.map(|behind| format!("({same}{behind})")));
            if at + 1 < order.len() {
                let place = self.bind(value.clone());
                same = format!("{same}{column} IS {place} AND ");
            }
        }
        if any.is_empty() { "0".to_owned() } else { format!("({})", any.join(" OR ")) }
    }

    fn text(&self, table: &Table, name: &str, order: &[(&str, bool)], limit: Option<usize>) -> String {
        let columns = names(table.columns().iter().map(|column| column.name.as_str()));
        let conditions = match self.conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", self.conditions.join(" AND ")),
        };
        let order: Vec<String> = order
            .iter()
            .map(|(column, descending)| format!("\"{column}\" {}", if *descending { "DESC" } else { "ASC" }))
            .collect();
        let limit = limit.map_or_else(String::new, |limit| format!(" LIMIT {limit}"));
        format!("SELECT {columns} FROM \"{name}\"{conditions} ORDER BY {}{limit}", order.join(", "))
    }
}

/// Terms as the index of words is asked for them. A term is letters and digits, so quotes around it are enough.
fn match_text(terms: &[Term]) -> String {
    let each = terms.iter().map(|term| match term {
        Term::Word(word) => format!("\"{word}\""),
        Term::Prefix(word) => format!("\"{word}\" *"),
    });
    each.collect::<Vec<_>>().join(" AND ")
}

#[cfg(test)]
mod tests {
    use flightdeck_store::view::{Compare, Kind, Plan, Table, Value, ViewName, ViewQuery};
    use rusqlite::{Connection, params_from_iter};

    use super::{Bound, Part, Sql, Tables};

    fn table() -> Table {
        let table = Table::named("pages").key("site", Kind::Text).key("page", Kind::Text);
        let table =
            table.column("views", Kind::Integer).column("kind", Kind::Text).nullable("seen", Kind::Time);
        table.index(&["views"]).index(&["kind", "views"]).index(&["seen"]).index(&["site", "views"])
    }

    /// How SQLite goes about a page of a question that begins behind these values.
    fn plan_of(query: &ViewQuery, after: &[Value]) -> String {
        let plan = Plan::new("pages", 1, vec![table()], "").unwrap();
        let (table, tables) = (&plan.tables()[0], Tables::of(1, &plan, false));
        let conn = Connection::open_in_memory().unwrap();
        tables.create(&conn).unwrap();
        let order = query.check(table).unwrap();
        let mut sql = Sql::default();
        let words = super::Words { index: String::new(), todo: String::new(), worded: 0 };
        sql.conditions(query, table, &tables.name(0), &words);
        let mut all = Vec::new();
        for part in Part::behind(table, after, &order) {
            let mut sql = sql.clone();
            sql.part(part, &order);
            let text = format!("EXPLAIN QUERY PLAN {}", sql.text(table, &tables.name(0), &order, Some(11)));
            let mut statement = conn.prepare(&text).unwrap();
            let values = params_from_iter(sql.values.iter().map(Bound));
            let steps = statement.query_map(values, |row| row.get(3)).unwrap();
            all.extend(steps.collect::<Result<Vec<String>, _>>().unwrap());
        }
        all.join("; ")
    }

    #[test]
    fn a_page_begins_in_the_index_where_the_one_before_it_ended_also_among_rows_that_are_alike() {
        let of = || ViewQuery::of(ViewName::new("pages").unwrap(), 1, "pages");
        let place = [7.into(), "a".into(), "/".into()];
        for descending in [false, true] {
            let is = if descending { "<" } else { ">" };
            let found = plan_of(&of().sorted("views", descending), &place);
            let expected =
                format!("SEARCH fd_view_1_0 USING INDEX fd_view_1_0_0 ((views,site,page){is}(?,?,?))");
            assert_eq!(found, expected);
            let of_a_kind = of().filter("kind", Compare::Equal("blog".into()));
            let found = plan_of(&of_a_kind.sorted("views", descending), &place);
            let expected = format!(
                "SEARCH fd_view_1_0 USING INDEX fd_view_1_0_1 (kind=? AND (views,site,page){is}(?,?,?))"
            );
            assert_eq!(found, expected);
        }
        let seen = Value::Time(flightdeck_core::Timestamp::MIN);
        let found = plan_of(&of().sorted("seen", false), &[seen.clone(), "a".into(), "/".into()]);
        assert_eq!(found, "SEARCH fd_view_1_0 USING INDEX fd_view_1_0_2 ((seen,site,page)>(?,?,?))");
        // Backwards, what has nothing in it comes behind all the rest.
        let found = plan_of(&of().sorted("seen", true), &[seen, "a".into(), "/".into()]);
        let expected = "SEARCH fd_view_1_0 USING INDEX fd_view_1_0_2 ((seen,site,page)<(?,?,?)); \
                        SEARCH fd_view_1_0 USING INDEX fd_view_1_0_2 (seen=?)";
        assert_eq!(found, expected);
    }

    #[test]
    fn a_column_of_the_key_stands_in_an_index_once() {
        let plan = Plan::new("pages", 1, vec![table()], "").unwrap();
        let conn = Connection::open_in_memory().unwrap();
        Tables::of(1, &plan, false).create(&conn).unwrap();
        let columns = |index: &str| -> Vec<String> {
            let sql = "SELECT name FROM pragma_index_info(?1) ORDER BY seqno";
            let mut statement = conn.prepare(sql).unwrap();
            statement.query_map([index], |row| row.get(0)).unwrap().collect::<Result<_, _>>().unwrap()
        };
        assert_eq!(columns("fd_view_1_0_1"), ["kind", "views", "site", "page"]);
        assert_eq!(columns("fd_view_1_0_3"), ["site", "views", "page"]);
    }
}

//! The SQL that a question to a view becomes, and its answer: one statement, and so one moment.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use flightdeck_store::Reason;
use flightdeck_store::view::{
    Compare, GenerationState, InvalidQuery, Table, Term, Value, ViewError, ViewName, ViewPage, ViewQuery,
    Visible, answering,
};
use tokio_postgres::types::{ToSql, Type};

use crate::connection::Session;
use crate::generations::{self, NotDone};
use crate::row::Damage;
use crate::tables::{self, Cell, Tables, bound, is_nowhere, many};

/// How often it is looked anew for which generation answers, before that counts as an error.
const ATTEMPTS: u32 = 20;
/// No word of a row has more characters than that.
const WORD_CHARS_MAX: usize = 64;

/// Which generations a view had when it was asked last. It may be out of date: every answer proves that it was not.
#[derive(Default)]
pub(crate) struct Known(Mutex<HashMap<ViewName, Arc<Generations>>>);

/// The generations of a view, and what the tables of each are named after.
struct Generations {
    ids: Vec<i64>,
    states: Vec<GenerationState>,
}

impl Known {
    fn get(&self, view: &ViewName) -> Option<Arc<Generations>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).get(view).cloned()
    }

    async fn read(&self, session: &Session, view: &ViewName) -> Result<Arc<Generations>, Damage> {
        let (ids, states): (Vec<i64>, Vec<GenerationState>) = generations::seen(session, view)
            .await?
            .into_iter()
            .map(|stored| (stored.id, stored.state))
            .unzip();
        let read = Arc::new(Generations { ids, states });
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Anyone may ask for any name: those that stand for nothing are not kept.
        match read.ids.is_empty() {
            true => all.remove(view),
            false => all.insert(view.clone(), Arc::clone(&read)),
        };
        Ok(read)
    }
}

/// Answers a question.
pub(crate) async fn ask(session: &Session, known: &Known, query: &ViewQuery) -> Result<ViewPage, NotDone> {
    let mut remembered = known.get(&query.view);
    let mut last: NotDone = ViewError::failed(Reason::Busy, None).into();
    for _ in 0..ATTEMPTS {
        let (all, fresh) = match remembered.take() {
            Some(all) => (all, false),
            None => (known.read(session, &query.view).await?, true),
        };
        match answer(session, &all, query).await {
            Ok(Some(page)) => return Ok(page),
            Ok(None) => {}
            // What is remembered may be too old to know the table, or that there is an answer.
            Err(NotDone::Refused(_)) if !fresh => {}
            Err(error) if error.is_of_names() || error.is_in_the_way() => last = error,
            Err(error) => return Err(error),
        }
    }
    Err(last)
}

/// Answers a question by what is known of the generations. `None`: another one answers by now.
async fn answer(
    session: &Session,
    all: &Generations,
    query: &ViewQuery,
) -> Result<Option<ViewPage>, NotDone> {
    let Some(state) = answering(&all.states, &query.view, query.number) else {
        let error = match all.states.is_empty() {
            true => ViewError::Unknown(query.view.to_string()),
            false => ViewError::NotReady(query.view.clone()),
        };
        return Err(error.into());
    };
    let place = all.states.iter().position(|other| other.of == state.of).unwrap_or_default();
    let tables = Tables { id: all.ids[place], plan: &state.plan, serving: state.serving };
    let unknown = || ViewError::from(InvalidQuery::Table(query.table.clone()));
    let (place, table) = state.plan.table(&query.table).ok_or_else(unknown)?;
    let order = query.check(table).map_err(ViewError::from)?;
    let mut sql = Sql::of(table);
    let guard = [
        sql.bind(query.view.as_str(), Type::TEXT),
        sql.bind(i64::from(query.number), Type::INT8),
        sql.bind(tables.id, Type::INT8),
        sql.bind(tables.serving, Type::BOOL),
    ];
    sql.filters(query);
    sql.terms(&query.terms);
    sql.visible(query.visible(table));
    if let Some(after) = &query.after {
        sql.behind(&after.0, &order);
    }
    let text = sql.text(&tables.name(place), &guard, &order, query.limit.get() + 1);
    let found = session.query_once(&text, &sql.values()).await?;
    let Some(first) = found.first() else { return Ok(None) };
    let checkpoint = generations::checkpoint(first, 0)?;
    let mut rows = Vec::with_capacity(found.len());
    for found in &found {
        rows.extend(tables::read(table, found, 3)?);
    }
    Ok(Some(ViewPage::cut(rows, query.limit, &order, checkpoint, state.of.clone())))
}

/// Conditions on a table that goes by the name of `t`, and the values that are bound in them.
struct Sql<'q> {
    table: &'q Table,
    conditions: Vec<String>,
    values: Vec<(Box<dyn ToSql + Sync + Send + 'q>, Type)>,
}

/// What a cell is compared by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Equal,
    Less,
    More,
}

impl<'q> Sql<'q> {
    fn of(table: &'q Table) -> Self {
        Self { table, conditions: Vec::new(), values: Vec::new() }
    }

    fn bind(&mut self, value: impl ToSql + Sync + Send + 'q, ty: Type) -> String {
        self.values.push((Box::new(value), ty));
        format!("${}", self.values.len())
    }

    fn values(&self) -> Vec<(&(dyn ToSql + Sync), Type)> {
        self.values.iter().map(|(value, ty)| (&**value as &(dyn ToSql + Sync), ty.clone())).collect()
    }

    /// A column's kind, and whether it may hold nothing.
    fn column(&self, name: &str) -> (Type, Type, bool) {
        let column = &self.table.columns()[self.table.place(name).unwrap_or_default()];
        (bound(column.kind), many(column.kind).0, column.nullable)
    }

    fn filters(&mut self, query: &'q ViewQuery) {
        for filter in &query.filters {
            let column = format!("t.\"{}\"", filter.column);
            let condition = match &filter.compare {
                Compare::Equal(value) => self.compare(&filter.column, Is::Equal, value),
                Compare::Less(value) => self.compare(&filter.column, Is::Less, value),
                Compare::More(value) => self.compare(&filter.column, Is::More, value),
                Compare::OneOf(values) => {
                    let cells: Vec<Cell<'_>> =
                        values.iter().filter(|value| !is_nowhere(value)).map(Cell).collect();
                    let (_, many, _) = self.column(&filter.column);
                    format!("{column} = ANY ({})", self.bind(cells, many))
                }
                Compare::Has(text) if text.contains('\0') => "false".to_owned(),
                Compare::Has(text) => format!("{column} ? {}", self.bind(text.as_str(), Type::TEXT)),
                Compare::IsNull => format!("{column} IS NULL"),
                Compare::IsNotNull => format!("{column} IS NOT NULL"),
            };
            self.conditions.push(condition);
        }
    }

    /// A comparison with a value that is not nothing. A text with a zero in it can't be sent, and no cell has it: it sorts right
    /// behind what stands before its zero.
    fn compare(&mut self, column: &str, is: Is, value: &'q Value) -> String {
        let (one, ..) = self.column(column);
        let (is, place) = match value {
            Value::Text(text) if text.contains('\0') => {
                let before = text.split('\0').next().unwrap_or_default();
                let is = match is {
                    Is::Equal => return "false".to_owned(),
                    Is::Less => "<=",
                    Is::More => ">",
                };
                (is, self.bind(before, one))
            }
            value => {
                let is = match is {
                    Is::Equal => "=",
                    Is::Less => "<",
                    Is::More => ">",
                };
                (is, self.bind(Cell(value), one))
            }
        };
        format!("t.\"{column}\" {is} {place}")
    }

    /// Every word is looked for as it is: what a row's words are was settled when the row was written.
    fn terms(&mut self, terms: &[Term]) {
        if terms.is_empty() {
            return;
        }
        if terms.iter().any(|term| term.word().contains('\0') || term.word().chars().count() > WORD_CHARS_MAX)
        {
            self.conditions.push("false".to_owned());
            return;
        }
        let each = terms.iter().map(|term| {
            let word = term.word().replace('\\', "\\\\").replace('\'', "''");
            format!("'{word}'{}", if matches!(term, Term::Prefix(_)) { ":*" } else { "" })
        });
        let text = each.collect::<Vec<_>>().join(" & ");
        let place = self.bind(text, Type::TEXT);
        self.conditions.push(format!("t.fd_words @@ {place}::tsquery"));
    }

    fn visible(&mut self, visible: Visible) {
        let Visible::Some { column, exactly, beginning } = visible else { return };
        let mut any = Vec::new();
        let exactly: Vec<String> = exactly.into_iter().filter(|text| !text.contains('\0')).collect();
        if !exactly.is_empty() {
            any.push(format!("t.\"{column}\" = ANY ({})", self.bind(exactly, Type::TEXT_ARRAY)));
        }
        for begin in beginning.into_iter().filter(|begin| !begin.contains('\0')) {
            any.push(format!("starts_with(t.\"{column}\", {})", self.bind(begin, Type::TEXT)));
        }
        self.conditions.push(if any.is_empty() {
            "false".to_owned()
        } else {
            format!("({})", any.join(" OR "))
        });
    }

    /// Strictly behind these values in that order: nothing comes before everything.
    fn behind(&mut self, after: &'q [Value], order: &[(&str, bool)]) {
        let alike = order.iter().all(|(_, descending)| *descending == order[0].1);
        let plain = |(value, (column, descending)): (&Value, &(&str, bool))| {
            // Of columns that may hold nothing, comparing rows says the right thing only where nothing comes first.
            *value != Value::Null && !is_nowhere(value) && !(*descending && self.column(column).2)
        };
        if alike && after.iter().zip(order).all(plain) {
            let columns: Vec<String> = order.iter().map(|(column, _)| format!("t.\"{column}\"")).collect();
            let places = after.iter().zip(order).map(|(value, (column, _))| {
                let (one, ..) = self.column(column);
                self.bind(Cell(value), one)
            });
            let places = places.collect::<Vec<_>>().join(", ");
            let is = if order[0].1 { "<" } else { ">" };
            self.conditions.push(format!("({}) {is} ({places})", columns.join(", ")));
            return;
        }
        let mut condition = "false".to_owned();
        for (value, (column, descending)) in after.iter().zip(order).rev() {
            let behind = self.behind_in(column, *descending, value);
            let same = match value {
                Value::Null => format!("t.\"{column}\" IS NULL"),
                value => self.compare(column, Is::Equal, value),
            };
            condition = format!("({behind} OR ({same} AND {condition}))");
        }
        self.conditions.push(condition);
        // Says nothing new, and leads into an index where the condition above does not.
        if let (Some(value), Some((column, descending))) = (after.first(), order.first())
            && *value != Value::Null
            && !is_nowhere(value)
            && !(*descending && self.column(column).2)
        {
            let (one, ..) = self.column(column);
            let is = if *descending { "<=" } else { ">=" };
            let place = self.bind(Cell(value), one);
            self.conditions.push(format!("t.\"{column}\" {is} {place}"));
        }
    }

    fn behind_in(&mut self, column: &str, descending: bool, value: &'q Value) -> String {
        let nullable = self.column(column).2;
        match (value, descending) {
            (Value::Null, false) => format!("t.\"{column}\" IS NOT NULL"),
            (Value::Null, true) => "false".to_owned(),
            (value, false) => self.compare(column, Is::More, value),
            (value, true) if nullable => {
                format!("({} OR t.\"{column}\" IS NULL)", self.compare(column, Is::Less, value))
            }
            (value, true) => self.compare(column, Is::Less, value),
        }
    }

    /// The statement. It chooses the generation that answers in the same way as [`answering`], and has no row unless that is the one
    /// whose table it reads. The database takes the snapshot for all of it after it has locked that table under its name, and
    /// whoever gives the name to another generation needs the table alone: so the table is the one that the snapshot says.
    /// The rows come in their order, for they are joined to a single row with nothing to join by.
    fn text(&self, name: &str, guard: &[String; 4], order: &[(&str, bool)], limit: usize) -> String {
        let [view, number, id, serving] = guard;
        let columns = tables::columns(self.table);
        let conditions = match self.conditions.is_empty() {
            true => String::new(),
            false => format!(" WHERE {}", self.conditions.join(" AND ")),
        };
        let order = order.iter().map(|(column, descending)| {
            // Where there is always something it makes no difference, but an index is only used for the words it was made with.
            let nothing = match (self.column(column).2, descending) {
                (false, _) => "",
                (true, false) => " NULLS FIRST",
                (true, true) => " NULLS LAST",
            };
            format!("t.\"{column}\" {}{nothing}", if *descending { "DESC" } else { "ASC" })
        });
        let order = order.collect::<Vec<_>>().join(", ");
        format!(
            "SELECT g.position, g.folded, g.hash, r.* FROM (
               SELECT p.id, p.serving, p.position, p.folded, p.hash FROM fd_projection p
               WHERE p.view = {view} AND p.ready AND (p.number = {number} OR p.serving)
               ORDER BY p.number = {number} DESC, p.build DESC LIMIT 1
             ) g LEFT JOIN LATERAL (
               SELECT {columns} FROM {name} t{conditions} ORDER BY {order} LIMIT {limit}
             ) r ON true WHERE g.id = {id} AND g.serving = {serving}"
        )
    }
}

#[cfg(test)]
mod tests {
    use flightdeck_store::view::{Kind, Table, ViewName, ViewQuery};

    use super::Sql;

    /// The conditions of what is behind the first row of an order.
    fn behind(column: &str, descending: bool) -> Vec<String> {
        let table = Table::named("pages").key("site", Kind::Text).key("page", Kind::Text);
        let table = table.column("views", Kind::Integer).nullable("seen", Kind::Integer);
        let query = ViewQuery::of(ViewName::new("pages").unwrap(), 1, "pages").sorted(column, descending);
        let (order, after) = (query.check(&table).unwrap(), [7.into(), "a".into(), "/".into()]);
        let mut sql = Sql::of(&table);
        sql.behind(&after, &order);
        sql.conditions.clone()
    }

    #[test]
    fn a_page_begins_where_the_one_before_it_ended_also_among_rows_that_are_alike() {
        assert_eq!(behind("views", false), [r#"(t."views", t."site", t."page") > ($1, $2, $3)"#]);
        assert_eq!(behind("views", true), [r#"(t."views", t."site", t."page") < ($1, $2, $3)"#]);
        assert_eq!(behind("seen", false), [r#"(t."seen", t."site", t."page") > ($1, $2, $3)"#]);
    }
}

//! A row of the log as an event, checked: nothing leaves here whose checksum does not hold.

use flightdeck_core::{Position, Reference};
use flightdeck_store::chain::digest_checksum;
use flightdeck_store::stored::{Stored, reference};
use flightdeck_store::{Corruption, Recorded};
use tokio_postgres::Row;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::FromSql;
use uuid::Uuid;

use crate::connection::Session;
use crate::names::{Known, Names};

/// The columns of an event, in the order in which [`Events`] reads them. The table goes by the name of `l`.
macro_rules! event_columns {
    () => {
        "l.position, l.stream, l.version, l.type, l.schema, l.recorded, l.append_rest, l.id, l.key, l.actor, l.correlation, \
         l.causation, l.occurred, l.tags, l.checksum, l.hash, l.tombstone, l.further, l.data"
    };
}
pub(crate) use event_columns;

/// What the database says when it finds damage by itself: ours, a page whose checksum is wrong, an index that is broken.
const DAMAGED: SqlState = SqlState::DATA_CORRUPTED;
const INDEX_DAMAGED: SqlState = SqlState::INDEX_CORRUPTED;
/// What our own functions say.
pub(crate) const FD_DAMAGED: &str = "FD001";
pub(crate) const FD_SEALED: &str = "FD004";

/// Why a row is no event: it is damaged, or the database could not read it.
#[derive(Debug)]
pub(crate) enum Damage {
    Corrupt(Corruption),
    Sql(tokio_postgres::Error),
    /// No connection was to be had, or no answer in time.
    Unreachable(Box<dyn std::error::Error + Send + Sync>),
}

impl Damage {
    pub(crate) fn new(what: impl Into<String>) -> Self {
        Self::Corrupt(Corruption { position: None, what: what.into() })
    }

    pub(crate) fn at(position: i64, what: impl Into<String>) -> Self {
        Self::Corrupt(Corruption { position: Position::new(position).ok(), what: what.into() })
    }
}

/// What a server's error says of damage, if that is what it is about.
pub(crate) fn corruption(error: &tokio_postgres::Error) -> Option<Corruption> {
    let error = error.as_db_error()?;
    let is_damage =
        *error.code() == DAMAGED || *error.code() == INDEX_DAMAGED || error.code().code() == FD_DAMAGED;
    let position =
        error.detail().and_then(|detail| detail.parse().ok()).and_then(|at| Position::new(at).ok());
    is_damage.then(|| Corruption { position, what: error.message().to_owned() })
}

impl From<tokio_postgres::Error> for Damage {
    fn from(error: tokio_postgres::Error) -> Self {
        match corruption(&error) {
            Some(corruption) => Self::Corrupt(corruption),
            None => Self::Sql(error),
        }
    }
}

/// Reads rows as events.
pub(crate) struct Events {
    names: Known,
    /// The place of the first column of an event.
    first: usize,
    scratch: Vec<u8>,
    before: [Option<Reference>; 3],
}

impl Events {
    /// Whatever the rows name is looked up at once; columns of an event begin at `first`.
    pub(crate) async fn of(
        session: &Session,
        names: &Names,
        rows: &[Row],
        first: usize,
    ) -> Result<Self, Damage> {
        let names = names.of(session, rows, first + 1, first + 3).await?;
        Ok(Self { names, first, scratch: Vec::new(), before: [None, None, None] })
    }

    /// The event that a row holds, if its checksum is right.
    pub(crate) fn event(&mut self, row: &Row) -> Result<Recorded, Damage> {
        let position: i64 = row.try_get(self.first)?;
        let event = self.parse(row, position).map_err(|damage| match damage {
            // What can't even be parsed is reported at its place as well.
            Damage::Corrupt(Corruption { position: None, what }) => Damage::at(position, what),
            other => other,
        })?;
        let kept: &[u8] = self.get(row, 14)?;
        if digest_checksum(&event, &mut self.scratch) != kept {
            return Err(Damage::at(position, "the event's checksum does not hold"));
        }
        Ok(event)
    }

    fn get<'r, T: FromSql<'r>>(&self, row: &'r Row, column: usize) -> Result<T, Damage> {
        Ok(row.try_get(self.first + column)?)
    }

    fn parse(&mut self, row: &Row, position: i64) -> Result<Recorded, Damage> {
        let [actor, correlation, causation] = [0, 1, 2].map(|place| {
            let text = self.get(row, 9 + place)?;
            reference(text, self.before[place].as_ref()).map_err(|error| Damage::new(error.to_string()))
        });
        self.before = [actor?, correlation?, causation?];
        let [actor, correlation, causation] = self.before.clone();
        let stored = Stored {
            position,
            stream: self.names.stream(self.get(row, 1)?)?,
            version: self.get(row, 2)?,
            event_type: self.names.event_type(self.get(row, 3)?)?,
            schema: self.get::<i32>(row, 4)?.into(),
            recorded: self.get(row, 5)?,
            append_rest: self.get::<i32>(row, 6)?.into(),
            id: self.get::<Uuid>(row, 7)?.into_bytes(),
            key: self.get(row, 8)?,
            actor,
            correlation,
            causation,
            occurred: self.get(row, 12)?,
            tags: self.get(row, 13)?,
            hash: self.get(row, 15)?,
            tombstone: self.get(row, 16)?,
            further: self.get(row, 17)?,
            data: self.get(row, 18)?,
        };
        stored.event().map_err(Damage::new)
    }
}

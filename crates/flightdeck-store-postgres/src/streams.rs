//! The table of streams: one row a stream, checked whenever it is read.

use flightdeck_core::{StreamId, Timestamp, Version};
use flightdeck_store::{StreamInfo, StreamsPage, StreamsQuery};
use tokio_postgres::Row;

use crate::connection::Session;
use crate::row::Damage;

/// The columns of a row, and a check that they are the ones that were written.
macro_rules! select_streams {
    ($rest:literal) => {
        concat!(
            "SELECT st.name, st.version, st.created, st.updated FROM fd_stream st WHERE fd_require(st.checksum = ",
            "fd_stream_checksum(st.stream, st.version, st.created, st.updated, st.name), 'the row of stream ' || st.name) AND ",
            $rest
        )
    };
}

fn read(row: &Row) -> Result<StreamInfo, Damage> {
    let name: &str = row.try_get(0)?;
    let damaged = || Damage::new(format!("the row of stream {name:?} is damaged"));
    Ok(StreamInfo {
        stream: StreamId::new(name).map_err(|_| damaged())?,
        version: Version::new(row.try_get(1)?).map_err(|_| damaged())?,
        created: Timestamp::from_micros(row.try_get(2)?).map_err(|_| damaged())?,
        updated: Timestamp::from_micros(row.try_get(3)?).map_err(|_| damaged())?,
    })
}

/// What is known of a stream, if it ever was.
pub(crate) async fn find(session: &Session, stream: &StreamId) -> Result<Option<StreamInfo>, Damage> {
    let rows = session.query(select_streams!("st.name = $1"), &[&stream.as_str()]).await?;
    rows.first().map(read).transpose()
}

/// What is known of some streams, in no order. Those that never were are left out.
pub(crate) async fn find_all(session: &Session, streams: &[StreamId]) -> Result<Vec<StreamInfo>, Damage> {
    let names: Vec<&str> = streams.iter().map(StreamId::as_str).collect();
    let rows = session.query(select_streams!("st.name = ANY ($1)"), &[&names]).await?;
    rows.iter().map(read).collect()
}

/// A page of the list of streams. The names of a category lie together: `c`, and what begins with `c-`.
pub(crate) async fn list(session: &Session, query: &StreamsQuery) -> Result<StreamsPage, Damage> {
    let category = query.category.as_ref().map(AsRef::<str>::as_ref);
    let (low, high) = match category {
        // `.` is what comes behind `-`.
        Some(category) => (category.to_owned(), format!("{category}.")),
        None => (String::new(), "\u{7f}".to_owned()),
    };
    let after = query.after.as_ref().map_or("", |after| after.as_str());
    let most = query.limit.get();
    let sql = select_streams!(
        "st.name > $1 AND st.name >= $2 AND st.name < $3 AND ($4::text IS NULL OR st.category = $4) ORDER BY st.name LIMIT $5"
    );
    let one_more = i64::try_from(most + 1).unwrap_or(i64::MAX);
    let rows = session.query(sql, &[&after, &low, &high, &category, &one_more]).await?;
    let streams = rows.iter().take(most).map(read).collect::<Result<_, _>>()?;
    Ok(StreamsPage { streams, end: rows.len() <= most })
}

//! Asking `site_analytics`: a time cut into hours, days, weeks or months of a zone, and totals.
//!
//! A series has every bucket of its time, also those in which nothing happened. Each is covered by the coarsest rows that fit into
//! it, so that a month by day is some 700 to 850 rows of hours and quarters in whatever zone, and 30 of days in UTC; rows of one grain
//! come by one range, or by a list when they lie far apart. No fact is in two of the rows, so what is folded while the pages of an
//! answer are read is counted once or not at all.

use flightdeck_core::Timestamp;
use flightdeck_store::StreamPattern;
use flightdeck_store::view::{Answers, Compare, InvalidPlan, Row, Value, ViewError, ViewName, ViewQuery};
use thiserror::Error;

use super::cover::{Grain, cover};
use super::{NAME, NUMBER, time};
use crate::visitors::Union;
use crate::zone::{InvalidSpan, SERIES_ROWS_MAX, Step, Zone, borders};

/// Values of one condition of a query.
const LIST_MAX: usize = 200;
/// Rows whose buckets are added up at once: at most some 20 MB of sets of visitors are held.
const PIECE_ROWS: usize = 2_000;

/// What is asked.
#[derive(Debug, Clone)]
pub struct Series {
    /// From when on. The series begins with the bucket that this is in.
    pub from: Timestamp,
    /// Until when, itself excluded. The series ends with the bucket that the moment before is in.
    pub to: Timestamp,
    /// How long a bucket is.
    pub step: Step,
    /// Where hours, days, weeks and months begin.
    pub zone: Zone,
    /// The streams that the caller may read; `None` is all. Who may not read all of them gets a series of nothing.
    pub streams: Option<Vec<StreamPattern>>,
}

/// What happened in a time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bucket {
    /// When it begins. At the edges of all time, the years 1 and 9999, it may be cut off there.
    pub start: Timestamp,
    /// When the next one begins. The last of all ends with the last moment there is.
    pub end: Timestamp,
    /// What was counted in it.
    pub totals: Totals,
}

/// What was counted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Pages that were looked at.
    pub views: i64,
    /// Buttons that were clicked.
    pub clicks: i64,
    /// Forms that were sent.
    pub forms: i64,
    /// These, and all else that visitors did.
    pub facts: i64,
    /// How many different visitors did that.
    pub unique: i64,
    /// Whether that is exact, and no estimate.
    pub unique_is_exact: bool,
}

/// Why there is no answer.
#[derive(Debug, Error)]
pub enum SeriesError {
    /// The time can't be cut like that.
    #[error(transparent)]
    Span(#[from] InvalidSpan),
    /// The view can't be asked.
    #[error(transparent)]
    View(#[from] ViewError),
}

impl From<InvalidPlan> for SeriesError {
    fn from(error: InvalidPlan) -> Self {
        Self::View(error.into())
    }
}

/// Sums of rows.
#[derive(Default)]
struct Sum {
    totals: Totals,
    visitors: Union,
}

impl Sum {
    fn add(&mut self, row: &Row) {
        let number = |column: &str| row.integer(column).unwrap_or(0);
        self.totals.views += number("views");
        self.totals.clicks += number("clicks");
        self.totals.forms += number("forms");
        self.totals.facts += number("facts");
        self.visitors.add(row.text("visitor_set").unwrap_or_default());
    }

    fn finish(self) -> Totals {
        let (unique, unique_is_exact) = self.visitors.count();
        Totals { unique, unique_is_exact, ..self.totals }
    }
}

/// The rows of one grain that are wanted, and the bucket that each is for.
pub(super) struct Wanted {
    grain: Grain,
    pub(super) starts: Vec<(i64, usize)>,
}

impl Wanted {
    fn add(all: &mut Vec<Self>, grain: Grain, start: i64, bucket: usize) {
        match all.iter_mut().find(|wanted| wanted.grain == grain) {
            Some(wanted) => wanted.starts.push((start, bucket)),
            None => all.push(Self { grain, starts: vec![(start, bucket)] }),
        }
    }

    /// The questions by which they come. More may come with them, which is left out.
    pub(super) fn queries(&self, base: &ViewQuery) -> Vec<ViewQuery> {
        let base = base.clone().filter("grain", Compare::Equal(self.grain.value()));
        let (Some((first, _)), Some((last, _))) = (self.starts.first(), self.starts.last()) else {
            return Vec::new();
        };
        let between = usize::try_from((last - first) / self.grain.seconds()).unwrap_or(usize::MAX);
        if between <= 2 * self.starts.len() {
            // What lies before or behind all time there is bounds nothing.
            let bound = |range: ViewQuery, second: i64, compare: fn(Value) -> Compare| match time(second) {
                Value::Null => range,
                second => range.filter("start", compare(second)),
            };
            return vec![bound(bound(base, first - 1, Compare::More), last + 1, Compare::Less)];
        }
        let list = |starts: &[(i64, usize)]| {
            let starts = starts.iter().map(|(start, _)| time(*start));
            let starts: Vec<Value> = starts.filter(|start| *start != Value::Null).collect();
            base.clone().filter("start", Compare::OneOf(starts))
        };
        self.starts.chunks(LIST_MAX).map(list).collect()
    }

    fn bucket(&self, row: &Row) -> Option<usize> {
        let start = row.time("start")?.micros().div_euclid(1_000_000);
        let at = self.starts.binary_search_by_key(&start, |(start, _)| *start).ok()?;
        Some(self.starts[at].1)
    }
}

/// The rows that buckets are added up from, in pieces of so many buckets that it is not too much at once.
pub(super) fn pieces(borders: &[i64]) -> Result<Vec<Piece>, InvalidSpan> {
    let mut pieces: Vec<Piece> = Vec::new();
    let (mut rows, mut all) = (0, 0);
    for (bucket, between) in borders.windows(2).enumerate() {
        let own: Vec<(Grain, i64)> = cover(between[0], between[1]).collect();
        all += own.len();
        if all > SERIES_ROWS_MAX {
            return Err(InvalidSpan::TooMuch);
        }
        if pieces.is_empty() || rows + own.len() > PIECE_ROWS {
            pieces.push(Piece { first: bucket, buckets: 0, wanted: Vec::new() });
            rows = 0;
        }
        rows += own.len();
        let Some(piece) = pieces.last_mut() else { continue };
        for (grain, start) in own {
            Wanted::add(&mut piece.wanted, grain, start, piece.buckets);
        }
        piece.buckets += 1;
    }
    Ok(pieces)
}

/// Some buckets of a series.
pub(super) struct Piece {
    /// The first of them.
    first: usize,
    buckets: usize,
    pub(super) wanted: Vec<Wanted>,
}

pub(super) fn rows_for(streams: Option<Vec<StreamPattern>>) -> Result<ViewQuery, InvalidPlan> {
    Ok(ViewQuery { streams, ..ViewQuery::of(ViewName::new(NAME)?, NUMBER, NAME) })
}

/// What happened, bucket by bucket.
///
/// # Errors
/// When the time ends before it begins, has more than [`BUCKETS_MAX`](crate::zone::BUCKETS_MAX) buckets, or is added up from more than
/// [`SERIES_ROWS_MAX`] rows; or when the view can't be asked.
pub async fn series(views: &(impl Answers + ?Sized), asked: Series) -> Result<Vec<Bucket>, SeriesError> {
    let borders = borders(asked.from, asked.to, asked.step, &asked.zone)?;
    let base = rows_for(asked.streams)?;
    let mut buckets = Vec::with_capacity(borders.len().saturating_sub(1));
    for piece in pieces(&borders)? {
        let mut sums: Vec<Sum> = (0..piece.buckets).map(|_| Sum::default()).collect();
        for wanted in &piece.wanted {
            for query in wanted.queries(&base) {
                add(views, wanted, query, &mut sums).await?;
            }
        }
        let own = &borders[piece.first..=piece.first + piece.buckets];
        buckets.extend(own.windows(2).zip(sums).map(|(between, sum)| Bucket {
            start: moment(between[0]),
            end: moment(between[1]),
            totals: sum.finish(),
        }));
    }
    Ok(buckets)
}

/// Adds the rows of a query to the buckets that they are wanted for.
async fn add(
    views: &(impl Answers + ?Sized),
    wanted: &Wanted,
    query: ViewQuery,
    sums: &mut [Sum],
) -> Result<(), ViewError> {
    let mut query = Some(query);
    while let Some(asking) = query.take() {
        let page = views.answer(&asking).await?;
        for row in &page.rows {
            if let Some(bucket) = wanted.bucket(row) {
                sums[bucket].add(row);
            }
        }
        query = asking.next(&page);
    }
    Ok(())
}

/// A border as a moment: one that lies before or behind all time there is, is where that begins or ends.
fn moment(second: i64) -> Timestamp {
    let micros = second.saturating_mul(1_000_000);
    Timestamp::from_micros(micros.clamp(Timestamp::MIN.micros(), Timestamp::MAX.micros()))
        .unwrap_or(Timestamp::MAX)
}

/// What happened on the whole site, ever.
///
/// # Errors
/// When the view can't be asked.
pub async fn totals(
    views: &(impl Answers + ?Sized),
    streams: Option<Vec<StreamPattern>>,
) -> Result<Totals, ViewError> {
    let query = rows_for(streams)?.filter("grain", Compare::Equal(Grain::All.value()));
    let page = views.answer(&query).await?;
    let mut sum = Sum::default();
    page.rows.iter().for_each(|row| sum.add(row));
    Ok(sum.finish())
}

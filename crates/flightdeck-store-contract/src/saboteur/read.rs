//! Sabotage of reads: borders, pages, filters, and the list of streams.

use flightdeck_core::limits::{FILTER_STREAMS_MAX, TAGS_MAX, TYPES_MAX};
use flightdeck_core::{Cursor, Position, Version};
use flightdeck_store::{
    After, Direction, EventStore as _, Filter, Limit, LogPage, LogQuery, Recorded, StoreError, StreamPage,
    StreamPattern, StreamQuery, StreamsPage, StreamsQuery, TypePattern,
};

use super::Sabotage as By;
use super::store::Sabotaged;

impl Sabotaged {
    pub(super) async fn sabotaged_stream(&self, query: &StreamQuery) -> Result<StreamPage, StoreError> {
        let Some(sabotage) = self.sabotage else {
            return self.inner.read_stream(query).await;
        };
        let mut asked = query.clone();
        match sabotage {
            By::ReadsStreamsForwardOnly => asked.direction = Direction::Forward,
            By::IncludesAfterOfStreams => {
                asked.after = query.after.and_then(|after| Version::new(after.get() - 1).ok())
            }
            By::ExcludesToOfStreams => {
                // Version 0 is none: up to there is nothing, which `after` the end says as well.
                match query.to.map(|to| Version::new(to.get() - 1)) {
                    Some(Ok(to)) => asked.to = Some(to),
                    Some(Err(_)) => asked.after = Some(Version::new(1 << 40).unwrap()),
                    None => {}
                }
            }
            By::StartsOverBehindTheEnd => {
                let last = self.inner.stream(&query.stream).await?.map(|info| info.version);
                asked.after = query.after.filter(|after| Some(*after) <= last);
            }
            By::IgnoresLimitsOfStreams => asked.limit = Limit::MAX,
            By::StartsStreamsAtTheirSnapshot => {
                let kept = self.memo.notes().snapshots.get(&query.stream).map(|kept| kept.version);
                asked.after = query.after.max(kept);
            }
            _ => {}
        }
        let mut page = self.inner.read_stream(&asked).await?;
        page.events = page.events.into_iter().filter_map(|event| self.shown(event)).collect();
        match sabotage {
            By::MixesUpVersions => page.events.chunks_exact_mut(2).for_each(<[Recorded]>::reverse),
            By::GivesEveryStreamAVersion => page.version = page.version.or(Some(Version::FIRST)),
            By::SaysMoreOfAFullPageOfAStream if page.events.len() == query.limit.get() => page.end = false,
            By::SaysTheVersionOfThePage => page.version = page.events.last().map(|event| event.version),
            By::LosesStreamEventsBetweenPages if is_later(query) && !page.events.is_empty() => {
                drop(page.events.remove(0))
            }
            By::FillsPagesOfStreams => {
                while let Some(next) = asked.next(&page) {
                    let more = self.inner.read_stream(&next).await?;
                    page.events.extend(more.events);
                    page.end = more.end || page.events.len() >= query.limit.get();
                }
            }
            _ => {}
        }
        Ok(page)
    }

    pub(super) async fn sabotaged_log(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        let Some(sabotage) = self.sabotage else {
            return self.inner.read_log(query).await;
        };
        let mut asked = query.clone();
        match sabotage {
            By::IncludesAfterOfTheLog => asked.after = query.after.position().previous().into(),
            By::ExcludesUntil => asked.until = query.until.map(Position::previous),
            By::ReadsTheLogForwardOnly => asked.direction = Direction::Forward,
            By::IgnoresLimitsOfTheLog => asked.limit = Limit::MAX,
            By::IgnoresEpochs => asked.after = query.after.position().into(),
            By::BeginsAnEpochWhenReopened if self.forgotten.is_some() => {
                self.begin_the_new_epoch(&mut asked).await?
            }
            By::RefusesBarePositions if query.after != After::default() => {
                if let After::Position(_) = query.after {
                    return Err(StoreError::EpochChanged { head: self.inner.head().await?.cursor });
                }
            }
            _ => {}
        }
        rework_filter(sabotage, &mut asked.filter);
        let own = self.has_its_own_filter(sabotage);
        if own {
            asked.filter.check()?;
            asked.filter = Filter::ALL;
        }
        let mut page = self.inner.read_log(&asked).await?;
        if own {
            page.events.retain(|event| self.passes(sabotage, &query.filter, event));
        }
        if matches!(sabotage, By::LooksAtEverything | By::FillsPagesOfTheLog) {
            self.fill_up(&asked, &mut page).await?;
        }
        page.events = page.events.into_iter().filter_map(|event| self.shown(event)).collect();
        self.rework_page(sabotage, query, &mut page);
        Ok(page)
    }

    async fn begin_the_new_epoch(&self, asked: &mut LogQuery) -> Result<(), StoreError> {
        let head = Self::reborn(&self.inner.head().await?.cursor);
        if !asked.after.is_of(head.epoch()) {
            return Err(StoreError::EpochChanged { head });
        }
        asked.after = asked.after.position().into();
        Ok(())
    }

    /// Puts more onto a page than belongs there.
    async fn fill_up(&self, asked: &LogQuery, page: &mut LogPage) -> Result<(), StoreError> {
        while let Some(next) = asked.next(page) {
            if page.events.len() >= asked.limit.get() {
                break;
            }
            let more = self.inner.read_log(&next).await?;
            page.events.extend(more.events);
            (page.scanned_to, page.end) = (more.scanned_to, more.end);
        }
        Ok(())
    }

    fn rework_page(&self, sabotage: By, query: &LogQuery, page: &mut LogPage) {
        let after = query.after.position();
        let head = page.head.position();
        match sabotage {
            By::LosesLogEventsBetweenPages => {
                let later = match query.direction {
                    Direction::Forward => after > Position::START,
                    Direction::Backward => query.until.is_some(),
                };
                if later && !page.events.is_empty() {
                    page.events.remove(0);
                }
            }
            By::DependsOnThePage if query.limit < Limit::MAX && page.events.len() > 1 => {
                page.events.swap(0, 1)
            }
            By::FallsBackToTheHead => page.scanned_to = page.scanned_to.min(head),
            By::SaysItLookedOnlyAtWhatItGave => {
                page.scanned_to = page.events.last().map_or(after, |event| event.position)
            }
            By::LooksBeyondTheHead => {
                page.scanned_to = query.until.unwrap_or(page.scanned_to).max(page.scanned_to)
            }
            By::SaysMoreOfAFullPageOfTheLog if page.events.len() == query.limit.get() => page.end = false,
            By::SaysTheEndTooEarly if page.events.is_empty() => page.end = true,
            By::SaysTheEndOfThePageForTheHead => page.head = page.scanned_to(),
            By::SaysItIsWhereTheReaderIs => {
                page.head = Cursor::new(page.head.epoch().clone(), head.max(after))
            }
            By::BeginsAnEpochWhenReopened if self.forgotten.is_some() => page.head = Self::reborn(&page.head),
            By::ShowsEventsLate if page.events.len() > 1 => {
                let late = page.events.len() - 2;
                if self.memo.notes().shown.insert(page.events[late].position) {
                    page.events.remove(late);
                }
            }
            _ => {}
        }
    }

    /// Whether the sabotage is one of what passes: then this store looks for itself.
    fn has_its_own_filter(&self, sabotage: By) -> bool {
        match sabotage {
            By::MatchesLikeSql
            | By::ShowsSystemStreamsToAStar
            | By::HidesSystemStreams
            | By::MatchesAnyPart
            | By::MatchesAnyTag
            | By::MatchesTagsByPrefix => true,
            By::ForgetsTagsWhenReopened => self.forgotten.is_some(),
            _ => false,
        }
    }

    fn passes(&self, sabotage: By, filter: &Filter, event: &Recorded) -> bool {
        let streams = Filter { streams: filter.streams.clone(), ..Filter::ALL }.matches(event);
        let types = Filter { types: filter.types.clone(), ..Filter::ALL }.matches(event);
        let tags = Filter { tags: filter.tags.clone(), ..Filter::ALL }.matches(event);
        match sabotage {
            By::MatchesLikeSql => {
                let stream = |pattern: &StreamPattern| match pattern {
                    StreamPattern::Prefix(prefix) => begins_like(event.stream.as_str(), prefix),
                    other => other.matches(&event.stream),
                };
                let of_type = |pattern: &TypePattern| match pattern {
                    TypePattern::Prefix(prefix) => begins_like(event.event_type.as_str(), prefix),
                    TypePattern::Exact(_) => pattern.matches(&event.event_type),
                };
                (filter.streams.is_empty() || filter.streams.iter().any(stream))
                    && (filter.types.is_empty() || filter.types.iter().any(of_type))
                    && tags
            }
            By::ShowsSystemStreamsToAStar => {
                let star = filter.streams.iter().any(|pattern| *pattern == StreamPattern::Prefix("".into()));
                (streams || star) && types && tags
            }
            By::HidesSystemStreams => {
                streams && types && tags && !(filter.streams.is_empty() && event.stream.is_system())
            }
            By::MatchesAnyPart if !filter.is_all() => {
                let given = [
                    (&streams, filter.streams.len()),
                    (&types, filter.types.len()),
                    (&tags, filter.tags.len()),
                ];
                given.into_iter().any(|(passes, parts)| *passes && parts > 0)
            }
            By::MatchesAnyTag => {
                streams
                    && types
                    && (filter.tags.is_empty() || filter.tags.iter().any(|tag| event.tags.contains(tag)))
            }
            By::MatchesTagsByPrefix => {
                let begins = |tag: &flightdeck_core::Tag| {
                    event.tags.iter().any(|own| own.as_str().starts_with(tag.as_str()))
                };
                streams && types && filter.tags.iter().all(begins)
            }
            By::ForgetsTagsWhenReopened => {
                let forgotten = self.forgotten.is_some_and(|last| event.position <= last);
                streams && types && tags && (filter.tags.is_empty() || !forgotten)
            }
            _ => streams && types && tags,
        }
    }

    pub(super) async fn sabotaged_list(&self, query: &StreamsQuery) -> Result<StreamsPage, StoreError> {
        let Some(sabotage) = self.sabotage else {
            return self.inner.streams(query).await;
        };
        let mut asked = query.clone();
        if sabotage == By::ListsCategoriesByPrefix {
            asked.category = None;
        }
        let mut page = self.inner.streams(&asked).await?;
        match (sabotage, &query.category, &query.after) {
            (By::ListsCategoriesByPrefix, Some(category), _) => {
                page.streams.retain(|info| info.stream.as_str().starts_with(category.as_str()));
            }
            (By::ListsWithoutCase, _, _) => {
                page.streams.sort_by_key(|info| info.stream.as_str().to_lowercase())
            }
            (By::IncludesAfterOfTheList, _, Some(after)) => {
                page.streams.pop();
                page.streams.splice(0..0, self.inner.stream(after).await?);
            }
            (By::HidesSystemStreamsFromTheList, _, _) => page.streams.retain(|info| !info.stream.is_system()),
            (By::ForgetsTheLastEventWhenReopened, _, _) if self.forgotten.is_some() => {
                drop(page.streams.pop())
            }
            _ => {}
        }
        Ok(page)
    }
}

/// Whether a query goes on from somewhere.
fn is_later(query: &StreamQuery) -> bool {
    match query.direction {
        Direction::Forward => query.after.is_some(),
        Direction::Backward => query.to.is_some(),
    }
}

/// `LIKE 'prefix%'`, as SQL has it when nobody escapes anything.
fn begins_like(text: &str, prefix: &str) -> bool {
    let alike = |(a, b): (char, char)| b == '_' || a.eq_ignore_ascii_case(&b);
    text.len() >= prefix.len() && text.chars().zip(prefix.chars()).all(alike)
}

pub(super) fn rework_filter(sabotage: By, filter: &mut Filter) {
    match sabotage {
        By::MatchesStreamsByPrefix => filter.streams.iter_mut().for_each(|pattern| {
            if let StreamPattern::Exact(name) = pattern {
                *pattern = StreamPattern::Prefix(name.as_str().into());
            }
        }),
        By::MatchesCategoriesByPrefix => filter.streams.iter_mut().for_each(|pattern| {
            if let StreamPattern::Category(name) = pattern {
                *pattern = StreamPattern::Prefix(name.as_str().into());
            }
        }),
        By::MatchesTypesByPrefix => filter.types.iter_mut().for_each(|pattern| {
            if let TypePattern::Exact(name) = pattern {
                *pattern = TypePattern::Prefix(name.as_str().into());
            }
        }),
        By::MatchesOnlyTheFirst => {
            filter.streams.truncate(1);
            filter.types.truncate(1);
        }
        By::CutsFilters => {
            filter.streams.truncate(FILTER_STREAMS_MAX);
            filter.types.truncate(TYPES_MAX);
            filter.tags.truncate(TAGS_MAX);
        }
        By::IgnoresTags => filter.tags.clear(),
        _ => {}
    }
}

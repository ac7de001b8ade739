//! The search: finds twins by everything that is in them, true to the last commit.
//!
//! Twins in memory are read in place, by all processors at once; the store is read for those alone that are away (the
//! [registry](crate::twin_registry) knows them by number), and not at all where there are none. Last it waits until
//! everything that it saw is durable.
//!
//! A twin may change, come or go while others are read. Each is taken as it was at one moment after the request came,
//! so every earlier answer is reflected in it; those on the page are read once more, so that a filter is true of every
//! twin shown.

mod top_matches;
mod unmatched_names;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use actix::{Actor, Addr, Context, Handler, ResponseFuture};
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use tokio::runtime::Handle;
use tokio::sync::{OnceCell, Semaphore, oneshot};
use tokio::time::Instant;

use crate::HubError;
use crate::counters::Counters;
use crate::journal::Journal;
use crate::mailbox::try_send_unbounded;
use crate::messages::journal::Barrier;
use crate::messages::search::{AllFoundDevices, FindAllDevices, FindDevices, FoundDevices, OrderDevices};
use crate::twin_registry::{TwinReader, TwinRegistry};
use top_matches::{RankedTwin, TopMatches};
use twinhub_domain::text::composed;
use twinhub_domain::{Clock, DeviceNumber, Timestamp, Twin};
use twinhub_rules::SortKey;
use twinhub_store::{DevicePage, DeviceQuery, DeviceSort, Store, StoreError, select};
use unmatched_names::UnmatchedNames;

/// Searches at once; the others wait. One takes all processors already.
const AT_ONCE: usize = 2;
/// Twins read from the store with one question, and how many such questions are put at once.
const PAGE: usize = 500;
const READERS: usize = 2;
/// The longest time of a search with a filter, and of any search's wait for its turn. A filter goes through lists as it
/// likes, a millisecond for each twin; two such would keep all others waiting.
const LONGEST: Duration = Duration::from_secs(30);
/// The number of twins behind the page that are remembered too, for those on it that turn out to have changed.
const SPARE: u64 = 64;

/// The search over all twins.
pub struct Search(Arc<SearchDeps>);

/// The parts that the search works with.
struct SearchDeps {
    registry: Arc<TwinRegistry>,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    journal: Addr<Journal>,
    counters: Arc<Counters>,
    /// The time within which the changes seen must become durable.
    patience: Duration,
    processors: usize,
    /// The registry knows the twins that were in the store before this start.
    learned: OnceCell<()>,
    turns: Semaphore,
    longest: Duration,
}

/// A question, and the time at which it is put.
struct SearchQuestion {
    find: FindDevices,
    /// The names in it that no device was found to have so far.
    unmatched: UnmatchedNames,
    /// The groups that the query names, any of which will do: there may be a thousand.
    groups: HashSet<String>,
    want: SearchResultKind,
    now: Timestamp,
    /// None where a twin costs little to read.
    until: Option<Instant>,
}

/// The place where twins are read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum TwinSource {
    /// In memory, as far as they are there.
    Memory,
    /// In the store alone, as of the last commit.
    Store,
}

/// The result that is wanted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum SearchResultKind {
    /// The first of the twins found, this many.
    First(u64),
    Ids,
}

impl Search {
    /// A search over the twins of `registry` and those of `store`.
    pub fn new(
        registry: Arc<TwinRegistry>,
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        journal: Addr<Journal>,
        counters: Arc<Counters>,
        patience: Duration,
    ) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        let (learned, turns) = (OnceCell::new(), Semaphore::new(AT_ONCE));
        let longest = LONGEST;
        let means = SearchDeps {
            registry,
            store,
            clock,
            journal,
            counters,
            patience,
            processors,
            learned,
            turns,
            longest,
        };
        Self(Arc::new(means))
    }
}

impl SearchDeps {
    /// A page of durable twins: from memory, and while commits fail from the store, which has everything that was
    /// acknowledged.
    async fn page(&self, find: FindDevices) -> Result<FoundDevices, HubError> {
        tokio::select! {
            biased;
            page = self.page_from(TwinSource::Memory, find.clone()) => page,
            () = self.counters.store_fails() => self.page_from(TwinSource::Store, find).await,
        }
    }

    async fn page_from(&self, place: TwinSource, find: FindDevices) -> Result<FoundDevices, HubError> {
        let (offset, limit) = (find.query.offset, find.query.limit);
        let first = offset.saturating_add(limit).saturating_add(SPARE);
        let (question, top) = self.search(place, find, SearchResultKind::First(first)).await?;
        let mut total = top.total();
        let mut candidates = top.sorted().into_iter().skip(count(offset));
        let mut page = Vec::new();
        while (page.len() as u64) < limit {
            let some: Vec<RankedTwin> = candidates.by_ref().take(count(limit) - page.len()).collect();
            if some.is_empty() {
                break;
            }
            let before = page.len();
            page.extend(self.fetch(place, &some).await?.into_iter().filter(|twin| question.matches(twin)));
            total = total.saturating_sub((some.len() - (page.len() - before)) as u64);
        }
        page.sort_by_cached_key(|twin| question.item(twin));
        if place == TwinSource::Memory {
            self.wait_until_durable().await?;
        }
        let warnings = question.unmatched.warnings(&self.registry, |twin| question.reaches(twin));
        Ok(FoundDevices { page: DevicePage { twins: page, total }, warnings })
    }

    /// All of them, from where [`SearchDeps::page`] has its page.
    async fn all(&self, find: FindDevices) -> Result<AllFoundDevices, HubError> {
        tokio::select! {
            biased;
            all = self.all_from(TwinSource::Memory, find.clone()) => all,
            () = self.counters.store_fails() => self.all_from(TwinSource::Store, find).await,
        }
    }

    async fn all_from(&self, place: TwinSource, find: FindDevices) -> Result<AllFoundDevices, HubError> {
        let (question, top) = self.search(place, find, SearchResultKind::Ids).await?;
        if place == TwinSource::Memory {
            self.wait_until_durable().await?;
        }
        let devices = top.sorted().into_iter().filter_map(|item| Some((item.id?, item.number))).collect();
        Ok(AllFoundDevices {
            devices,
            warnings: question.unmatched.warnings(&self.registry, |twin| question.reaches(twin)),
        })
    }

    /// Reads all twins, and remembers the wanted part of those that match.
    async fn search(
        &self,
        place: TwinSource,
        find: FindDevices,
        want: SearchResultKind,
    ) -> Result<(Arc<SearchQuestion>, TopMatches), HubError> {
        let until = Instant::now() + self.longest;
        let turn = tokio::time::timeout_at(until, self.turns.acquire()).await; // never closed
        let _turn = turn.map_err(|_| HubError::Unavailable("other searches take all the time there is"))?;
        self.learned.get_or_try_init(|| self.load_stored_numbers()).await?;
        let groups = find.query.groups.iter().map(|group| select::key(group).to_owned()).collect();
        // The wait for its turn says nothing of what a filter costs.
        let until = find.filter.is_some().then(|| Instant::now() + self.longest);
        let unmatched = UnmatchedNames::of(&find);
        let question =
            Arc::new(SearchQuestion { find, unmatched, groups, want, now: self.clock.now(), until });
        let (mut top, mut away) = match place {
            TwinSource::Memory => self.search_memory(&question).await?,
            TwinSource::Store => (question.top(), self.store.numbers(&DeviceQuery::default()).await?),
        };
        // A twin that was loaded meanwhile is in the store too, with all changes that were acknowledged.
        if !away.is_empty() {
            away.sort_unstable();
            self.search_store(&question, away, &mut top).await?;
        }
        Ok((question, top))
    }

    /// Gives the registry the devices in the store. Once is enough: a device that comes to be later is in memory first,
    /// and the registry knows where it went.
    async fn load_stored_numbers(&self) -> Result<(), StoreError> {
        let numbers = self.store.numbers(&DeviceQuery::default()).await?;
        self.registry.add_stored(&numbers);
        Ok(())
    }

    async fn search_memory(
        &self,
        question: &Arc<SearchQuestion>,
    ) -> Result<(TopMatches, Vec<DeviceNumber>), HubError> {
        let ranges = self.registry.ranges();
        // A filter may cost a millisecond a twin: it leaves a processor to the devices' messages.
        let processors = match question.until {
            Some(_) => self.processors.saturating_sub(1).max(1),
            None => self.processors,
        };
        let hands = processors.min(ranges.len());
        let (ranges, next) = (Arc::new(ranges), Arc::new(AtomicUsize::new(0)));
        let work = (0..hands).map(|_| {
            let (registry, question) = (Arc::clone(&self.registry), Arc::clone(question));
            let (ranges, next) = (Arc::clone(&ranges), Arc::clone(&next));
            tokio::task::spawn_blocking(move || {
                let (mut top, mut away) = (question.top(), Vec::new());
                while let Some(range) = ranges.get(next.fetch_add(1, Ordering::Relaxed)) {
                    question.check_time()?;
                    question.scan(&registry, *range, &mut top, &mut away);
                }
                Ok((top, away))
            })
        });
        let (mut top, mut away) = (question.top(), Vec::new());
        for hand in work.collect::<Vec<_>>() {
            let done: Result<_, HubError> = hand.await.map_err(|_| given_up())?;
            let (found, not_here) = done?;
            top.absorb(found);
            away.extend(not_here);
        }
        Ok((top, away))
    }

    /// `away` are in the order of their numbers.
    async fn search_store(
        &self,
        question: &Arc<SearchQuestion>,
        mut away: Vec<DeviceNumber>,
        top: &mut TopMatches,
    ) -> Result<(), HubError> {
        if let Some(narrow) = question.narrow() {
            // The values that lists filter by are in the store's indexes: most twins need not be read at all.
            let candidates = self.store.numbers(&narrow).await?;
            away.retain(|number| candidates.binary_search(number).is_ok());
        }
        let pages =
            away.chunks(PAGE).map(|page| self.search_stored_page(Arc::clone(question), page.to_vec()));
        let pages = stream::iter(pages).buffer_unordered(READERS);
        let mut pages = std::pin::pin!(pages);
        while let Some(found) = pages.try_next().await? {
            found.into_iter().for_each(|item| top.add(item));
        }
        Ok(())
    }

    /// The matches among these twins. On a thread of its own: to decode a twin takes longer than to read it.
    async fn search_stored_page(
        &self,
        question: Arc<SearchQuestion>,
        page: Vec<DeviceNumber>,
    ) -> Result<Vec<RankedTwin>, HubError> {
        let (store, here) = (Arc::clone(&self.store), Handle::current());
        let work = tokio::task::spawn_blocking(move || {
            question.check_time()?;
            let twins = here.block_on(store.twins(&page))?;
            let reached = twins.iter().filter(|twin| question.reaches(twin));
            let looked = reached.inspect(|twin| question.unmatched.note(twin, question.now));
            Ok(looked.filter(|twin| question.matches(twin)).map(|twin| question.item(twin)).collect())
        });
        work.await.map_err(|_| given_up())?
    }

    /// The present state of these twins; those that are gone are left out.
    async fn fetch(&self, place: TwinSource, items: &[RankedTwin]) -> Result<Vec<Twin>, StoreError> {
        let (mut twins, mut away) = (Vec::with_capacity(items.len()), Vec::new());
        for item in items {
            let present = self.registry.get(item.number).filter(|_| place == TwinSource::Memory);
            match present.as_ref().and_then(TwinReader::read) {
                Some(twin) => twins.push(twin.clone()),
                None => away.push(item.number),
            }
        }
        for some in away.chunks(PAGE) {
            twins.extend(self.store.twins(some).await?);
        }
        Ok(twins)
    }

    /// Waits until every change that can have been seen is durable.
    async fn wait_until_durable(&self) -> Result<(), HubError> {
        let (reply, done) = oneshot::channel();
        if try_send_unbounded(&self.journal, Barrier { reply }).is_err() {
            return Err(HubError::Unavailable("the hub is shutting down"));
        }
        match tokio::time::timeout(self.patience, done).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(HubError::Unavailable("the hub is shutting down")),
            Err(_) => Err(HubError::Unavailable("what was found was not made durable in time")),
        }
    }
}

/// The hub shuts down, or a twin could not be read at all.
fn given_up() -> HubError {
    HubError::Unavailable("the search was given up")
}

impl SearchQuestion {
    /// May it go on?
    fn check_time(&self) -> Result<(), HubError> {
        match self.until {
            Some(until) if Instant::now() >= until => Err(HubError::Unavailable(
                "the filter costs too much time: narrow it by `group`, `type` or tags",
            )),
            _ => Ok(()),
        }
    }

    /// Reads the twins in a range of numbers; `away` gets those that must be read from the store.
    fn scan(&self, registry: &TwinRegistry, range: i64, top: &mut TopMatches, away: &mut Vec<DeviceNumber>) {
        let range = registry.range(range);
        away.extend(range.away);
        for (number, present) in range.present {
            match present.read() {
                Some(twin) if !self.reaches(&twin) => {}
                Some(twin) => {
                    self.unmatched.note(&twin, self.now);
                    if self.matches(&twin) {
                        top.add(self.item(&twin));
                    }
                }
                None => away.push(number), // its actor died: the store knows what is true of it
            }
        }
    }

    /// Is the twin within the asker's reach? Nothing is learned of others, the names of their properties neither.
    fn reaches(&self, twin: &Twin) -> bool {
        select::is_within(&self.find.query.reach, twin)
    }

    fn matches(&self, twin: &Twin) -> bool {
        let FindDevices { query, filter, .. } = &self.find;
        // A new one is not committed yet.
        !twin.is_new()
            && self.reaches(twin)
            && (self.groups.is_empty() || self.groups.contains(select::key(twin.profile.text("group_id"))))
            && select::is_listed_in_any_group(query, twin)
            && filter.as_ref().is_none_or(|filter| filter.matches(twin, self.now))
            && select::is_called(query, twin)
    }

    fn item(&self, twin: &Twin) -> RankedTwin {
        let FindDevices { query, sort, .. } = &self.find;
        let key = match sort {
            Some(field) => field.key(twin, self.now),
            None => head_key(query.sort, twin),
        };
        let id = (self.want == SearchResultKind::Ids).then(|| twin.id.clone());
        RankedTwin { key, number: twin.number, id, descending: query.descending }
    }

    fn top(&self) -> TopMatches {
        TopMatches::new(match self.want {
            SearchResultKind::First(first) => count(first),
            SearchResultKind::Ids => usize::MAX,
        })
    }

    /// The part of the query that the store's indexes answer truly; none where there is none. The drift is left
    /// out: the store may be behind in it; and so are groups where they are too many.
    fn narrow(&self) -> Option<DeviceQuery> {
        let mut exact = DeviceQuery { drifting_since: None, ..self.find.query.clone() };
        if exact.groups.len() > DeviceQuery::MOST_GROUPS {
            exact.groups.clear();
        }
        (!exact.is_all()).then_some(exact)
    }
}

/// The sort key, as lists have it: devices that were never heard come before all others.
fn head_key(sort: DeviceSort, twin: &Twin) -> SortKey {
    match sort {
        DeviceSort::Number => SortKey::Missing,
        DeviceSort::Id => SortKey::ordered(twin.id.as_str()),
        DeviceSort::Name => SortKey::ordered(twin.display_name()),
        DeviceSort::Type => SortKey::text(&composed(&twin.profile.device_type)),
        DeviceSort::Status => SortKey::text(twin.presence.status.as_str()),
        DeviceSort::LastSeen => {
            twin.presence.last_seen.map_or(SortKey::double(f64::NEG_INFINITY), SortKey::time)
        }
        DeviceSort::CreatedAt => SortKey::time(twin.created_at),
        DeviceSort::UpdatedAt => SortKey::time(twin.updated_at),
    }
}

fn count(number: u64) -> usize {
    usize::try_from(number).unwrap_or(usize::MAX)
}

impl Actor for Search {
    type Context = Context<Self>;
}

impl Handler<FindDevices> for Search {
    type Result = ResponseFuture<Result<FoundDevices, HubError>>;

    fn handle(&mut self, find: FindDevices, _: &mut Context<Self>) -> Self::Result {
        let means = Arc::clone(&self.0);
        Box::pin(async move { means.page(find).await })
    }
}

impl Handler<FindAllDevices> for Search {
    type Result = ResponseFuture<Result<AllFoundDevices, HubError>>;

    fn handle(&mut self, find: FindAllDevices, _: &mut Context<Self>) -> Self::Result {
        let FindAllDevices { query, filter } = find;
        let query = DeviceQuery { sort: DeviceSort::Number, descending: false, ..query };
        let (means, find) = (Arc::clone(&self.0), FindDevices { query, filter, sort: None });
        Box::pin(async move { means.all(find).await })
    }
}

impl Handler<OrderDevices> for Search {
    type Result = ResponseFuture<Result<AllFoundDevices, HubError>>;

    fn handle(&mut self, OrderDevices(find): OrderDevices, _: &mut Context<Self>) -> Self::Result {
        let means = Arc::clone(&self.0);
        Box::pin(async move { means.all(find).await })
    }
}

#[cfg(test)]
mod tests;

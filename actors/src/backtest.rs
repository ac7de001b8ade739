//! Backtest: the runs of rules over the stored history. Pages of it are read here, and replayed by the pure
//! [`Backtest`](twinhub_rules::backtest::Backtest) on a thread of its own: a week of a busy hub takes seconds of
//! computing, which no actor may wait for.
//!
//! # Where it begins
//! The twins must be at `from` as they were: so everything before it that is still stored is replayed first, and runs
//! in it are left out. `warm_up` bounds that, for hubs with years of readings; a property that was not reported within
//! it is then unknown at first. Readings are there as far back as they are kept, all other events as far back as the
//! journal.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use crate::HubError;
use crate::access::Grant;
use crate::automation::query_of;
use crate::messages::archive::{FindEvents, FindPastEvents, ListDevices, LoadTwins, PastEvents, RawHistory};
use twinhub_domain::fleet::GroupTree;
use twinhub_domain::run::{RuleId, RunEntry};
use twinhub_domain::series::{Aggregate, HistoryQuery};
use twinhub_domain::{DeviceId, DeviceNumber, Recorded, Timestamp, Twin};
use twinhub_rules::action::{Action, Reference, each_action};
use twinhub_rules::backtest::{Backtest, Difference, difference};
use twinhub_rules::engine::{Engine, MissingTwins};
use twinhub_rules::{Placed, Rule, Twins as _};
use twinhub_store::{DeviceQuery, EventQuery, Store, StoreError};

/// Events read at once.
const PAGE: usize = 5_000;
/// Pages that are read ahead of the replay.
const AHEAD: usize = 2;
/// Devices listed at once.
const DEVICES: u64 = 1_000;
/// Of more devices than this it is not asked when their readings begin: then all of them are replayed.
const MOST_ASKED: usize = 64;

/// Where a rule chooses devices by their properties, those that do not fit now may have fitted once: in fleets up to
/// this size they are replayed too.
const MOST_REPLAYED: usize = 1_000;

/// A request for a backtest.
#[derive(Clone, Debug)]
pub struct BacktestRequest {
    pub rules: Vec<Rule>,
    /// The rules that run: those of the same names are compared with.
    pub running: Vec<Rule>,
    /// The time from which runs are reported, inclusive.
    pub from: Timestamp,
    /// Up to here, exclusive.
    pub to: Timestamp,
    /// The time before `from` that is replayed, in ms; none: all that is stored.
    pub warm_up: Option<i64>,
    /// These devices alone.
    pub devices: Option<Vec<DeviceId>>,
    /// The present groups. As with the properties of devices, earlier ones are known only where an event in the
    /// replayed time has them.
    pub tree: Arc<GroupTree>,
}

/// The progress of a backtest.
#[derive(Clone, Copy, Debug)]
pub struct BacktestProgress {
    pub events: u64,
    /// The time of the last event that was replayed.
    pub at: Timestamp,
    /// Of the time that is replayed, from 0 to 1.
    pub share: f64,
}

/// The outcome of a backtest.
#[derive(Debug)]
pub struct BacktestOutcome {
    pub runs: Vec<RunEntry>,
    /// The first is the candidate; none where no rule of its names runs.
    pub compared: Option<Difference>,
    pub events: u64,
    pub took_ms: u64,
}

/// The reason why there is no outcome.
#[derive(Debug, thiserror::Error)]
pub enum BacktestError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Hub(HubError),
    #[error("the replay panicked")]
    Died,
}

/// A source of past events.
pub trait BacktestHistory {
    /// As [`Store::past`].
    fn past(&self, query: FindPastEvents) -> impl Future<Output = Result<PastEvents, BacktestError>>;

    /// As [`Store::load`].
    fn load(&self, ids: Vec<DeviceId>) -> impl Future<Output = Result<Vec<Twin>, BacktestError>>;

    /// One page, as [`Store::devices`].
    fn devices(&self, query: DeviceQuery) -> impl Future<Output = Result<Vec<Twin>, BacktestError>>;

    /// The place of the first reading of a device from a moment on.
    fn first_reading(&self, query: HistoryQuery) -> impl Future<Output = Result<Option<u64>, BacktestError>>;

    /// The place of the first event from a moment on.
    fn first_event(&self, query: EventQuery) -> impl Future<Output = Result<Option<u64>, BacktestError>>;
}

/// Replays. Dropped, it ends soon after.
///
/// # Errors
/// The store does not answer.
pub async fn run(
    history: &impl BacktestHistory,
    request: BacktestRequest,
    mut progress: impl FnMut(BacktestProgress),
) -> Result<BacktestOutcome, BacktestError> {
    let began = Instant::now();
    let names: HashSet<RuleId> = request.rules.iter().map(|rule| rule.id.clone()).collect();
    let against: Vec<Rule> =
        request.running.iter().filter(|rule| names.contains(&rule.id)).cloned().collect();
    // As if they were enabled: what a rule would have done is asked before it is let run.
    let asked = request.rules.iter().map(|rule| Rule { enabled: true, ..rule.clone() }).collect();
    let candidate = with_called(asked, &request.running);
    let incumbent = (!against.is_empty()).then(|| with_called(against, &request.running));

    let engine = |rules: &[Rule], now: Timestamp| {
        let mut engine = Engine::new(now);
        engine.know_groups(Arc::clone(&request.tree));
        let _ = engine.exchange(rules.to_vec()); // nothing ran before
        engine
    };
    let mut engines = vec![engine(&candidate, Timestamp::default())];
    engines.extend(incumbent.as_deref().map(|rules| engine(rules, Timestamp::default())));
    let twins = twins(history, &engines, &request).await?;
    for engine in &mut engines {
        twins.iter().for_each(|twin| engine.know(as_before(twin)));
    }
    // Of a small fleet all that may ever fit; of a large one those that do.
    let fits = |twin: &&Twin| {
        twins.len() <= MOST_REPLAYED || engines.iter().any(|engine| engine.twin(twin.id.as_str()).is_some())
    };
    let numbers: Vec<DeviceNumber> = twins.iter().filter(fits).map(|twin| twin.number).collect();

    let after = start(history, &request, &numbers).await?;
    let first = page(history, &numbers, after).await?;
    let start = first.events.first().map_or(request.from, |event| event.event.received_at.min(request.from));
    let sets = [Some(candidate), incumbent].into_iter().flatten();
    let replays = sets.map(|rules| {
        let mut engine = engine(&rules, start);
        for twin in &twins {
            engine.know(as_before(twin));
        }
        Backtest::new(engine, request.from, request.to)
    });
    let (pages, replaying) = begin(replays.collect(), names);

    let mut next = first;
    let mut events = 0;
    loop {
        let PastEvents { events: mut some, more_after } = next;
        if let Some(last) = some.last() {
            let last_at = last.event.received_at;
            let until = some.partition_point(|event| event.event.received_at < request.to);
            let is_over = until < some.len();
            some.truncate(until);
            events += some.len() as u64;
            progress(BacktestProgress { events, at: last_at, share: share(start, last_at, request.to) });
            if pages.send(some).await.is_err() || is_over {
                break; // where it died, it says so below
            }
        }
        let Some(after) = more_after else { break };
        next = page(history, &numbers, after).await?;
    }
    drop(pages);
    let mut told = replaying.await.map_err(|_| BacktestError::Died)?.into_iter();
    let runs = told.next().unwrap_or_default();
    let compared = told.next().map(|running| difference(&runs, &running));
    let took_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(BacktestOutcome { runs, compared, events, took_ms })
}

type EventPage = Vec<Arc<Recorded>>;

/// The thread that replays, and the way to it. It ends when the way does.
fn begin(
    mut replays: Vec<Backtest>,
    names: HashSet<RuleId>,
) -> (mpsc::Sender<EventPage>, JoinHandle<Vec<Vec<RunEntry>>>) {
    let (pages, mut coming) = mpsc::channel::<EventPage>(AHEAD);
    let replaying = tokio::task::spawn_blocking(move || {
        while let Some(page) = coming.blocking_recv() {
            for replay in &mut replays {
                page.iter().for_each(|event| replay.observe(event));
            }
        }
        // Rules that are there because others call them are not asked about.
        let asked = |entry: &RunEntry| names.contains(&entry.rule);
        replays.into_iter().map(|replay| replay.finish().into_iter().filter(asked).collect()).collect()
    });
    (pages, replaying)
}

/// The rules, and those that they call.
fn with_called(mut rules: Vec<Rule>, running: &[Rule]) -> Vec<Rule> {
    let mut seen = 0;
    while let Some(rule) = rules.get(seen) {
        let mut called = Vec::new();
        calls(&rule.actions, &mut called);
        calls(&rule.on_release, &mut called);
        for id in called {
            if !rules.iter().any(|rule| rule.id == id) {
                rules.extend(running.iter().find(|rule| rule.id == id).cloned());
            }
        }
        seen += 1;
    }
    rules
}

fn calls(actions: &[Action], found: &mut Vec<RuleId>) {
    each_action(actions, &mut |action| {
        action.kind.references(&mut |reference| {
            if let Reference::Runs(rule) = reference {
                found.push(rule.clone());
            }
        });
    });
}

/// The twins that the engines read, each once, in their present state.
async fn twins(
    history: &impl BacktestHistory,
    engines: &[Engine],
    request: &BacktestRequest,
) -> Result<Vec<Twin>, BacktestError> {
    let mut found = Vec::new();
    for MissingTwins { devices, selectors } in engines.iter().map(Engine::wants) {
        found.extend(history.load(devices).await?);
        for selector in selectors {
            let mut offset = 0;
            loop {
                let query = DeviceQuery { offset, limit: DEVICES, ..query_of(&selector, &request.tree) };
                let page = history.devices(query).await?;
                let count = page.len() as u64;
                found.extend(
                    page.into_iter().filter(|twin| selector.means(&Placed { twin, tree: &request.tree })),
                );
                offset += count;
                if count < DEVICES {
                    break;
                }
            }
        }
    }
    found.retain(|twin: &Twin| request.devices.as_ref().is_none_or(|only| only.contains(&twin.id)));
    found.sort_unstable_by_key(|twin| twin.number);
    found.dedup_by_key(|twin| twin.number);
    Ok(found)
}

/// The twin before the replay: its identity, without anything it reported since.
fn as_before(twin: &Twin) -> Twin {
    let mut before = Twin::new(twin.id.clone(), twin.number, twin.created_at);
    before.be_like(twin);
    before
}

/// The place after which the replay begins.
async fn start(
    history: &impl BacktestHistory,
    request: &BacktestRequest,
    numbers: &[DeviceNumber],
) -> Result<u64, BacktestError> {
    let Some(warm_up) = request.warm_up.filter(|_| numbers.len() <= MOST_ASKED) else { return Ok(0) };
    let from = Some(request.from.plus_millis(-warm_up).into());
    let event = EventQuery { from, limit: 1, ..EventQuery::default() };
    let mut first = history.first_event(event).await?;
    for device in numbers {
        let readings = HistoryQuery {
            device: *device,
            from,
            to: None,
            sensors: Vec::new(),
            min_quality: None,
            limit: 1,
            newest_first: false,
            interval: None,
            aggregate: Aggregate::default(),
        };
        let reading = history.first_reading(readings).await?;
        first = [first, reading].into_iter().flatten().min();
    }
    Ok(first.map_or(0, |seq| seq.saturating_sub(1)))
}

async fn page(
    history: &impl BacktestHistory,
    numbers: &[DeviceNumber],
    after: u64,
) -> Result<PastEvents, BacktestError> {
    history.past(FindPastEvents { devices: Some(numbers.to_vec()), after, limit: PAGE }).await
}

fn share(start: Timestamp, at: Timestamp, to: Timestamp) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "times of a few thousand years are far below 2^53 ms")]
    let part = |from: Timestamp, to: Timestamp| (to.millis() - from.millis()).max(0) as f64;
    let whole = part(start, to);
    if whole > 0.0 { (part(start, at) / whole).min(1.0) } else { 1.0 }
}

impl BacktestHistory for Grant {
    async fn past(&self, query: FindPastEvents) -> Result<PastEvents, BacktestError> {
        Ok(self.ask(query).await??)
    }

    async fn load(&self, ids: Vec<DeviceId>) -> Result<Vec<Twin>, BacktestError> {
        Ok(self.ask(LoadTwins(ids)).await??)
    }

    async fn devices(&self, query: DeviceQuery) -> Result<Vec<Twin>, BacktestError> {
        Ok(self.ask(ListDevices(query)).await??.twins)
    }

    async fn first_reading(&self, query: HistoryQuery) -> Result<Option<u64>, BacktestError> {
        Ok(self.ask(RawHistory(query)).await??.first().map(|reading| reading.seq))
    }

    async fn first_event(&self, query: EventQuery) -> Result<Option<u64>, BacktestError> {
        Ok(self.ask(FindEvents(query)).await??.first().map(|event| event.seq))
    }
}

impl<S: Store> BacktestHistory for Arc<S> {
    async fn past(&self, query: FindPastEvents) -> Result<PastEvents, BacktestError> {
        Ok(PastEvents::read(&**self, query).await?)
    }

    async fn load(&self, ids: Vec<DeviceId>) -> Result<Vec<Twin>, BacktestError> {
        Ok(Store::load(&**self, &ids).await?)
    }

    async fn devices(&self, query: DeviceQuery) -> Result<Vec<Twin>, BacktestError> {
        Ok(Store::devices(&**self, &query).await?.twins)
    }

    async fn first_reading(&self, query: HistoryQuery) -> Result<Option<u64>, BacktestError> {
        Ok(self.raw_history(&query).await?.first().map(|reading| reading.seq))
    }

    async fn first_event(&self, query: EventQuery) -> Result<Option<u64>, BacktestError> {
        Ok(self.events(&query).await?.first().map(|event| event.seq))
    }
}

impl From<HubError> for BacktestError {
    fn from(error: HubError) -> Self {
        match error {
            HubError::Store(error) => Self::Store(error),
            error => Self::Hub(error),
        }
    }
}

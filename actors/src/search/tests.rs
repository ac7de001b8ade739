//! The search over a running hub: by examples here, and held against a plain scan in `random`.

mod random;

use super::*;
use crate::hub::{Hub, Settings};
use crate::messages::supervisor::IfUnknown;
use crate::testkit::close;
use twinhub_domain::DeviceId;
use twinhub_domain::twin::{Change, Registration};
use twinhub_domain::{Cause, Input, Object, payload};
use twinhub_rules::{SortField, TwinFilter};
use twinhub_store::MemoryStore;
use twinhub_testkit::{CommitFault, FailingStore, ManualClock, ask, until};

/// 2026-03-01T06:00:00Z
const START: i64 = 1_772_344_800_000;

/// A hub over a store that can be started over again.
struct SearchFixture {
    hub: Arc<Hub>,
    store: Arc<FailingStore>,
    clock: Arc<ManualClock>,
}

impl SearchFixture {
    async fn new(settings: Settings) -> Self {
        let store = FailingStore::around(Arc::new(MemoryStore::default()));
        let clock = ManualClock::at(Timestamp::from_millis(START));
        let hub = Hub::start(store.clone(), clock.clone(), settings).await.unwrap();
        Self { hub, store, clock }
    }

    /// With nothing in memory.
    async fn again(self) -> Self {
        close(&self.hub).await;
        let hub =
            Hub::start(self.store.clone(), self.clock.clone(), self.hub.settings.clone()).await.unwrap();
        Self { hub, ..self }
    }

    async fn take(&self, id: &str, input: Input) {
        let taken = self.hub.deliver(device(id), input, Cause::hub(), IfUnknown::Begin, false).await;
        taken.unwrap();
    }

    async fn register(&self, id: &str, patch: &str) {
        self.take(id, Input::Register(Box::new(Registration { patch: object(patch) }))).await;
    }

    async fn report(&self, id: &str, patch: &str) {
        self.take(id, Input::Report(object(patch))).await;
    }

    async fn delete(&self, id: &str) {
        self.take(id, Input::Delete).await;
    }

    async fn page(&self, find: FindDevices) -> Result<DevicePage, HubError> {
        Ok(ask(&self.hub.search, find).await?.page)
    }

    /// The ids that are found, sorted by `sort` (`-battery`), and how many there are.
    async fn found(&self, filter: &str, sort: &str) -> (String, u64) {
        let page = self.page(find(filter, sort, 0, 100)).await.unwrap();
        let ids: Vec<_> = page.twins.iter().map(|twin| twin.id.as_str()).collect();
        (ids.join(" "), page.total)
    }
}

fn find(filter: &str, sort: &str, offset: u64, limit: u64) -> FindDevices {
    let (sort, descending) = sort.strip_prefix('-').map_or((sort, false), |sort| (sort, true));
    FindDevices {
        query: DeviceQuery { descending, offset, limit, ..DeviceQuery::default() },
        filter: (!filter.is_empty()).then(|| TwinFilter::compile(filter).unwrap()),
        sort: (!sort.is_empty()).then(|| SortField::compile(sort).unwrap()),
    }
}

fn device(id: &str) -> DeviceId {
    DeviceId::parse(id).unwrap()
}

fn object(text: &str) -> Object {
    payload::object(text.as_bytes()).unwrap()
}

async fn some(settings: Settings) -> SearchFixture {
    let fixture = SearchFixture::new(settings).await;
    fixture.register("a", r#"{"type": "pump", "tags": {"floor": "2"}}"#).await;
    fixture.register("b", r#"{"type": "fan", "tags": {"floor": "2"}, "name": "Äolus"}"#).await;
    fixture.report("a", r#"{"battery": 15, "motor": {"rpm": 900}}"#).await;
    fixture.report("b", r#"{"battery": 80}"#).await;
    fixture.report("c", r#"{"battery": "low"}"#).await;
    fixture.report("d", r#"{"battery": 5.5}"#).await;
    fixture
}

#[actix::test]
async fn finds_in_memory_and_in_the_store_alike() {
    let mut fixture = some(Settings::default()).await;
    for restarted in [false, true] {
        let check = async |filter: &str, sort: &str, expected: &str| {
            let (ids, total) = fixture.found(filter, sort).await;
            let many = expected.split_whitespace().count() as u64;
            assert_eq!((&*ids, total), (expected, many), "{filter} by {sort}, restarted: {restarted}");
        };
        check("", "", "a b c d").await;
        check("battery < 20 && status == 'online'", "", "a d").await;
        check("tag.floor == '2' && !(battery < 20)", "", "b").await;
        check("has(battery)", "battery", "d a b c").await;
        check("has(battery)", "-battery", "b a d c").await;
        check("", "motor.rpm", "a b c d").await;
        check("", "-motor.rpm", "a d c b").await;
        check("number > 1", "-number", "d c b").await;
        let listed = FindDevices {
            query: DeviceQuery { q: Some("äol".into()), limit: 5, ..DeviceQuery::default() },
            ..FindDevices::default()
        };
        assert_eq!(fixture.page(listed).await.unwrap().twins[0].id, device("b"));
        let query = DeviceQuery { device_type: Some("pump".into()), ..DeviceQuery::default() };
        let all = FindAllDevices { query, filter: Some(TwinFilter::compile("battery < 20").unwrap()) };
        let all = ask(&fixture.hub.search, all).await.unwrap().devices;
        assert_eq!(all, [(device("a"), DeviceNumber(1))]);
        fixture = fixture.again().await;
        // One of them is back in memory, one is gone, one is new.
        if !restarted {
            fixture.report("a", "{}").await;
            fixture.report("new", r#"{"battery": 1}"#).await;
            fixture.delete("new").await;
        }
    }
}

#[actix::test]
async fn pages_are_parts_of_one_order() {
    let fixture = SearchFixture::new(Settings::default()).await;
    for n in 0..50 {
        fixture.report(&format!("d-{n:02}"), &format!(r#"{{"t": {}}}"#, n % 7)).await;
    }
    let whole = fixture.page(find("t < 5", "-t", 0, 1_000)).await.unwrap();
    let mut pages = Vec::new();
    for offset in (0..40).step_by(8) {
        let page = fixture.page(find("t < 5", "-t", offset, 8)).await.unwrap();
        assert_eq!(page.total, whole.total);
        pages.extend(page.twins);
    }
    assert_eq!(pages, whole.twins);
    assert_eq!(whole.total, 36);
    assert!(fixture.page(find("t < 5", "-t", u64::MAX, 8)).await.unwrap().twins.is_empty());
    assert_eq!(fixture.page(find("t < 5", "-t", 0, 0)).await.unwrap().total, 36);
}

#[actix::test]
async fn the_store_is_not_read_while_all_twins_are_in_memory() {
    let fixture = some(Settings::default()).await;
    fixture.found("", "").await; // by now it is known who is in the store
    fixture.store.break_reads();
    assert_eq!(fixture.found("battery < 20", "-battery").await.0, "a d");
    fixture.store.heal();
    fixture.delete("d").await;
    fixture.store.break_reads();
    assert_eq!(fixture.found("battery < 20", "-battery").await, ("a".into(), 1));
}

#[actix::test]
async fn a_store_error_fails_the_search() {
    let fixture = some(Settings::default()).await.again().await;
    fixture.store.break_reads();
    assert!(matches!(fixture.page(find("", "", 0, 9)).await, Err(HubError::Store(_))));
    fixture.store.heal();
    assert_eq!(fixture.found("", "").await.1, 4);
}

#[actix::test]
async fn a_filter_that_takes_too_long_is_given_up() {
    let fixture = some(Settings::default()).await;
    let deps = |turns: usize| SearchDeps {
        registry: Arc::default(),
        store: fixture.store.clone(),
        clock: fixture.clock.clone(),
        journal: fixture.hub.journal.clone(),
        counters: Arc::clone(&fixture.hub.counters),
        patience: Duration::from_secs(5),
        processors: 2,
        learned: OnceCell::new(),
        turns: Semaphore::new(turns),
        longest: Duration::ZERO,
    };
    let check = async |turns: usize, filter: &str, expected: &str| {
        let found = deps(turns).page(find(filter, "", 0, 9)).await;
        let Err(HubError::Unavailable(why)) = found else { panic!("{found:?}") };
        assert!(why.starts_with(expected), "{why}");
    };
    check(1, "battery < 20", "the filter costs too much time").await;
    check(0, "", "other searches").await;
    let all = deps(1).page(find("", "", 0, 9)).await.unwrap();
    assert_eq!(all.page.total, 4, "what costs little takes the time that it takes");
}

#[test]
fn the_store_is_not_asked_for_what_it_does_not_know_truly() {
    let narrow = |query: DeviceQuery| {
        let find = FindDevices { query, ..FindDevices::default() };
        let (groups, now) = (HashSet::new(), Timestamp::default());
        SearchQuestion {
            find,
            unmatched: UnmatchedNames::default(),
            groups,
            want: SearchResultKind::Ids,
            now,
            until: None,
        }
        .narrow()
        .is_some()
    };
    let groups = |many: usize| DeviceQuery { groups: vec!["g".into(); many], ..DeviceQuery::default() };
    assert!(narrow(groups(DeviceQuery::MOST_GROUPS)) && !narrow(groups(DeviceQuery::MOST_GROUPS + 1)));
    assert!(!narrow(DeviceQuery { drifting_since: Some(Timestamp::default()), ..DeviceQuery::default() }));
}

#[actix::test]
async fn nothing_is_shown_that_is_not_durable() {
    let fixture = some(Settings { patience: Duration::from_millis(200), ..Settings::default() }).await;
    fixture.found("", "").await;
    fixture.store.block();
    // The first is in the blocked commit, the second waits behind it.
    for battery in [1, 2] {
        let patch = object(&format!(r#"{{"battery": {battery}}}"#));
        let taking =
            fixture.hub.deliver(device("b"), Input::Report(patch), Cause::hub(), IfUnknown::Begin, false);
        assert!(matches!(taking.await, Err(HubError::Unavailable(_))));
    }
    assert!(matches!(fixture.page(find("battery == 2", "", 0, 9)).await, Err(HubError::Unavailable(_))));
    fixture.store.unblock();
    assert_eq!(fixture.found("battery == 2", "").await, ("b".into(), 1));
}

/// A question for all is answered from the store, as one for a page is.
#[actix::test]
async fn while_commits_fail_all_that_is_durable_is_found() {
    let fixture = some(Settings { patience: Duration::from_millis(200), ..Settings::default() }).await;
    fixture.found("", "").await;
    fixture.store.break_commits(CommitFault::Failed);
    let taking = fixture.hub.deliver(
        device("b"),
        Input::Report(object(r#"{"battery": 1}"#)),
        Cause::hub(),
        IfUnknown::Begin,
        false,
    );
    assert!(matches!(taking.await, Err(HubError::Unavailable(_))));
    for (filter, expected) in [("battery == 1", 0), ("battery < 20", 2)] {
        let find = FindAllDevices {
            filter: Some(TwinFilter::compile(filter).unwrap()),
            ..FindAllDevices::default()
        };
        let all = ask(&fixture.hub.search, find).await.unwrap();
        assert_eq!(all.devices.len(), expected, "{filter}");
    }
    fixture.store.heal();
}

#[actix::test]
async fn twins_that_come_and_go_meanwhile_are_found_once() {
    // All of them are put away as soon as nobody speaks to them.
    let idle = Settings { idle_after: Some(Duration::ZERO), idle_above: 0, ..Settings::default() };
    let fixture = SearchFixture::new(idle).await;
    let ids: Vec<_> = (0..30).map(|n| format!("d-{n:02}")).collect();
    for id in &ids {
        fixture.report(id, r#"{"t": 0}"#).await;
    }
    until("all twins are put away", async || {
        crate::counters::get(&fixture.hub.counters.twins_put_away) >= 30
    })
    .await;
    for round in 1..=30 {
        let fresh = object(&format!(r#"{{"t": {round}}}"#));
        let changes = futures_util::future::join_all(ids.iter().map(|id| {
            let (device, input) = (device(id), Input::Report(fresh.clone()));
            fixture.hub.deliver(device, input, Cause::hub(), IfUnknown::Refuse, false)
        }));
        let search = fixture.page(find(&format!("t >= {}", round - 1), "id", 0, 100));
        let (page, changed) = futures_util::join!(search, changes);
        let found: Vec<_> = page.unwrap().twins.iter().map(|twin| twin.id.to_string()).collect();
        assert_eq!(found, ids, "in round {round}");
        assert!(changed.iter().all(Result::is_ok));
        assert_eq!(fixture.found(&format!("t == {round}"), "").await.1, 30);
    }
}

#[actix::test]
async fn what_was_removed_is_found_no_more() {
    let fixture = some(Settings::default()).await;
    for round in 0..20 {
        let id = format!("gone-{round}");
        fixture.report(&id, r#"{"battery": 1}"#).await;
        assert_eq!(fixture.found("battery == 1", "").await.0, id);
        fixture.delete(&id).await;
        assert_eq!(fixture.found("battery == 1", "").await.1, 0);
    }
    // Nor is one found that nobody has spoken of: a twin in memory without a single event.
    let change = Change { patch: object(r#"{"name": "x"}"#) };
    let refused = fixture.hub.deliver(
        device("nobody"),
        Input::Change(Box::new(change)),
        Cause::hub(),
        IfUnknown::Refuse,
        false,
    );
    assert!(refused.await.is_err());
    assert_eq!(fixture.found("", "").await.1, 4);
}

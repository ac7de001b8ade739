//! The cost of automation to the store: commits with a run and what its rule keeps beside commits without, each durable
//! (`synchronous=FULL`) before the next; and the reading of the past for a backtest.
//!
//! ```sh
//! cargo run --release -p twinhub-actors --example automation_cost [commits] [messages]
//! ```

use std::error::Error;
use std::sync::Arc;
use std::time::{Duration, Instant};

use twinhub_domain::cause::Source;
use twinhub_domain::run::{ConditionSeen, RunKind, TermSeen, TriggerSeen};
use twinhub_domain::run::{RuleId, RunEntry, RunId, RunOutcome};
use twinhub_domain::{
    Cause, DeviceId, DeviceNumber, Event, EventBody, Json, Number, Object, Reading, Recorded, Scalar,
    Timestamp,
};
use twinhub_rules::ScopeSnapshot;
use twinhub_store::{AutomationChanges, Batch, EngineProgress, SqlOptions, SqlStore, Store};

type Outcome<T> = Result<T, Box<dyn Error>>;

const START: i64 = 1_767_225_600_000; // 2026-01-01T00:00:00Z
const RULES: u64 = 1_000;
/// Messages in a commit of the past, and events on a page of it.
const IN_BATCH: u64 = 256;
const PAGE: usize = 50_000;

struct AutomationHub {
    store: Arc<SqlStore>,
    seq: u64,
}

#[tokio::main]
async fn main() -> Outcome<()> {
    let mut arguments = std::env::args().skip(1).map(|text| text.parse::<u64>());
    let commits = arguments.next().transpose()?.unwrap_or(2_000);
    let messages = arguments.next().transpose()?.unwrap_or(1_000_000);
    let dir = tempfile::tempdir()?;
    let url = format!("sqlite:{}", dir.path().join("cost.db").display());
    let mut hub = AutomationHub { store: SqlStore::open(&url, SqlOptions::default()).await?, seq: 0 };
    println!("{:44} {:>8} {:>8} {:>10}", "commit of", "p50 ms", "p99 ms", "kB written");
    hub.commits("a message of readings", commits, |_, _| Vec::new()).await?;
    hub.commits("the same, a run begun, and its scope", commits, |automation, n| {
        begin(automation, n, RunOutcome::Running)
    })
    .await?;
    hub.commits("the same, a run ended, and its scope", commits, |automation, n| {
        begin(automation, n, RunOutcome::Done)
    })
    .await?;
    hub.past(messages).await
}

impl AutomationHub {
    async fn commits(
        &mut self,
        what: &str,
        count: u64,
        say: impl Fn(&mut AutomationChanges, u64) -> Vec<EventBody>,
    ) -> Outcome<()> {
        let (mut times, written_before) = (Vec::new(), written()?);
        for n in 0..count {
            let mut automation = AutomationChanges::default();
            let mut bodies = vec![message(n)?];
            bodies.extend(say(&mut automation, n));
            if !automation.is_empty() {
                automation.progress = Some(EngineProgress { seq: self.seq, time: at(n) });
            }
            let mut batch = self.batch(bodies, automation)?;
            let began = Instant::now();
            self.store.commit(&mut batch).await?;
            times.push(began.elapsed());
        }
        times.sort();
        let of = |part: usize| times[(times.len() - 1) * part / 100].as_secs_f64() * 1e3;
        let each = (written()? - written_before) / count / 1_000;
        println!("{what:44} {:>8.2} {:>8.2} {each:>10}", of(50), of(99));
        Ok(())
    }

    async fn past(&mut self, messages: u64) -> Outcome<()> {
        for first in (0..messages).step_by(usize::try_from(IN_BATCH)?) {
            let last = messages.min(first + IN_BATCH);
            let bodies: Outcome<Vec<_>> = (first..last).map(message).collect();
            let mut batch = self.batch(bodies?, AutomationChanges::default())?;
            self.store.commit(&mut batch).await?;
            if first % (IN_BATCH * 200) == 0 {
                self.store.maintain(at(last)).await?;
            }
        }
        self.store.maintain(at(messages)).await?;
        for devices in [Some(&[DeviceNumber(1)][..]), None] {
            let (began, mut longest) = (Instant::now(), Duration::ZERO);
            let (mut after, mut found) = (0, 0);
            loop {
                let page_began = Instant::now();
                let page = self.store.past(devices, after, PAGE).await?;
                longest = longest.max(page_began.elapsed());
                let Some(last) = page.last() else { break };
                (after, found) = (last.seq, found + page.len());
            }
            let whose = if devices.is_some() { "one device" } else { "all" };
            let seconds = began.elapsed().as_secs_f64();
            println!("{found} events of {whose} in {seconds:.2} s, the longest page in {longest:.2?}");
        }
        Ok(())
    }

    fn batch(&mut self, bodies: Vec<EventBody>, automation: AutomationChanges) -> Outcome<Batch> {
        let device = DeviceId::parse("pump-1")?;
        let mut events = Vec::with_capacity(bodies.len());
        for body in bodies {
            self.seq += 1;
            let at = at(self.seq);
            let cause = Cause::new(Source::Mqtt, "iot/devices/pump-1/data");
            let number = DeviceNumber(1);
            let event = Event { device: device.clone(), number, at: at.into(), received_at: at, body, cause };
            events.push(Arc::new(Recorded::new(self.seq, event)));
        }
        Ok(Batch { events: events.into(), automation, ..Batch::empty(at(self.seq)) })
    }
}

fn at(n: u64) -> Timestamp {
    Timestamp::from_millis(START + i64::try_from(n).unwrap_or_default() * 1_000)
}

fn message(n: u64) -> Outcome<EventBody> {
    let value = Number::parse(&format!("{}.50", n % 30)).ok_or("no number")?;
    let unit = Some("°C".into());
    let reading = Reading { name: "t".into(), value: Scalar::Number(value), unit, quality_score: None };
    Ok(EventBody::Telemetry { readings: vec![reading], identity: None, claimed: None, payload: None })
}

/// Puts a run of one of many rules into `automation`; gives the event that tells of it.
fn begin(automation: &mut AutomationChanges, n: u64, outcome: RunOutcome) -> Vec<EventBody> {
    let Ok(rule) = RuleId::parse(&format!("rule-{}", n.wrapping_mul(7_919) % RULES)) else {
        return Vec::new();
    };
    let device = DeviceId::parse("pump-1").ok();
    let number = DeviceNumber(1);
    let object = |text: &str| match text.parse() {
        Ok(Json::Object(object)) => object,
        _ => Object::default(),
    };
    let term = TermSeen {
        text: "fan.mode != \"manual\"".into(),
        values: object(r#"{"fan.mode": "automatic"}"#),
        holds: Some(true),
        unknown: None,
    };
    let condition = ConditionSeen { text: term.text.clone(), holds: Some(true), terms: vec![term] };
    let data = object(r#"{"value": 28.50, "previous": 27, "device": "pump-1", "property": "t"}"#);
    let entry = RunEntry {
        id: RunId::of(&rule, 0, number, i64::try_from(n).unwrap_or_default(), at(n)),
        rule: rule.clone(),
        device,
        number,
        at: at(n),
        ended_at: outcome.is_final().then(|| at(n)),
        kind: RunKind::Trigger,
        trigger: TriggerSeen { index: 0, kind: "numeric".into(), data, seq: Some(n), cause: None },
        conditions: vec![condition],
        outcome,
        actions: Vec::new(),
        targets: Vec::new(),
        parent: None,
        depth: 0,
        count: 1,
        last_at: at(n),
    };
    let body = Some(Json::Object(object(r#"{"latches": [true], "ran_at": 1767225600000}"#)));
    automation.kept.push(ScopeSnapshot { rule, device: number, fingerprint: 7, body });
    automation.runs.push(entry.clone());
    vec![EventBody::Rule(Box::new(entry))]
}

/// Bytes that this process has had written so far, as Linux counts them.
fn written() -> Outcome<u64> {
    let io = std::fs::read_to_string("/proc/self/io")?;
    let line = io.lines().find_map(|line| line.strip_prefix("wchar: ")).ok_or("no wchar")?;
    Ok(line.parse()?)
}

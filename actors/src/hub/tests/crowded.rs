//! Messages that come while nothing goes on: the store takes nothing in, there is no room, or the broker is slow.

use super::*;
use crate::messages::archive::FindCommand;
use twinhub_domain::{CommandRequest, CommandResult, CommandResultStatus, CommandStatus};
use twinhub_mqtt::receipt;

fn full(most_in_flight: usize) -> Settings {
    Settings { most_in_flight, ..Settings::default() }
}

impl HubFixture {
    fn arrive_at(&self, fire_and_forget: bool, payload: &str) -> Receiver<InputOutcome> {
        let (receipt, settled) = receipt::channel();
        let message = IncomingMessage {
            topic: "iot/devices/a/data".into(),
            payload: payload.to_owned().into(),
            fire_and_forget,
            retained: false,
            for_twins: true,
            for_rules: true,
        };
        self.hub.ingress.accept(message, receipt, None);
        settled
    }

    /// Waits until the store has been asked to take something in that it had not been asked before.
    async fn is_stuck(&self, before: u64) {
        until("the store is asked", async || self.store.commits_tried() > before).await;
    }
}

#[actix::test]
async fn without_room_a_message_that_wants_an_answer_waits_and_another_is_counted_and_gone() {
    let fixture = HubFixture::with(full(1)).await;
    fixture.taken("a", r#"{"t": 0}"#).await;
    // A message gives its room back just after it was acknowledged.
    until("there is room", async || fixture.hub.ingress.try_room().is_some()).await;
    let tried = fixture.store.commits_tried();
    fixture.store.block();
    let mut waiting: Vec<_> =
        (1..=3).map(|t| fixture.arrive_at(false, &format!(r#"{{"q1_{t}": {t}}}"#))).collect();
    fixture.is_stuck(tried).await;
    for t in 1..=2 {
        let gone = fixture.arrive_at(true, &format!(r#"{{"q0_{t}": {t}}}"#));
        let gone = within("it is counted and gone", gone).await.unwrap().unwrap();
        assert_eq!(gone.seq, None, "it was not stored");
        assert_eq!(get(&fixture.hub.counters.messages_shed), t);
    }
    assert!(waiting.iter_mut().all(|settled| settled.try_recv().is_err()), "acknowledged, and not stored");
    fixture.store.unblock();
    for settled in waiting {
        assert!(within("the receipt", settled).await.unwrap().unwrap().seq.is_some());
    }
    for t in 1..=3 {
        assert_eq!(fixture.value("a", &format!("q1_{t}")).await, Json::from(t));
    }
    assert_eq!(fixture.value("a", "q0_1").await, Json::Null);
    until("there is room again", async || fixture.hub.ingress.try_room().is_some()).await;
    let kept = within("it is stored", fixture.arrive_at(true, r#"{"q0": 1}"#)).await.unwrap().unwrap();
    assert!(kept.seq.is_some(), "there was room");
}

#[actix::test]
async fn a_read_shows_nothing_that_is_not_stored() {
    for is_new in [false, true] {
        let fixture = HubFixture::new().await;
        if !is_new {
            fixture.taken("a", r#"{"t": 1}"#).await;
        }
        let tried = fixture.store.commits_tried();
        fixture.store.block();
        let first = fixture.arrive("a", r#"{"t": 2}"#);
        fixture.is_stuck(tried).await; // the twin has taken it in, and the store has not
        let device = id("a");
        let reading = fixture.hub.read(&device);
        tokio::pin!(reading);
        assert!(futures_util::poll!(reading.as_mut()).is_pending());
        // A refused change waits for no commit: the twin has read one message after the other, so the read too.
        let refused = fixture.change("a", r#"{"name": "A"}"#, Some(999)).await;
        assert!(matches!(refused, Err(HubError::Refused(_))), "{refused:?}");
        assert!(
            futures_util::poll!(reading.as_mut()).is_pending(),
            "it showed what may yet be lost, new: {is_new}"
        );
        fixture.store.unblock();
        let twin = within("the read", reading).await.unwrap().unwrap();
        assert_eq!(twin.reported.get("t").map(|property| property.value.clone()), Some(Json::from(2)));
        assert!(first.await.unwrap().is_ok());
    }
}

#[actix::test]
async fn of_a_command_that_changes_twice_in_one_commit_the_last_state_is_kept() {
    let fixture = HubFixture::new().await;
    fixture.hub.connect(Arc::new(Scripted::default()));
    fixture.taken("a", r#"{"t": 1}"#).await;
    let tried = fixture.store.commits_tried();
    fixture.store.block();
    let stuck = fixture.arrive("b", r#"{"t": 1}"#);
    fixture.is_stuck(tried).await;
    // All of these stand in the one commit behind it.
    let command = CommandId(uuid::Uuid::now_v7());
    let request = CommandRequest::parse(payload::object(br#"{"command_type": "go"}"#).unwrap()).unwrap();
    let asked = Input::Command { id: command, request: Box::new(request), known: None, is_new: false };
    let say = |status| {
        let answer = Box::new(CommandResult { status, response: None, reason: None });
        Input::CommandResult { id: command, answer, known: None }
    };
    let refuse = IfUnknown::Refuse;
    let told = std::pin::pin!(async {
        tokio::join!(
            fixture.deliver("a", asked, refuse),
            fixture.deliver("a", say(CommandResultStatus::Delivered), refuse),
            fixture.deliver("a", say(CommandResultStatus::Executed), refuse),
        )
    });
    let unblocked = async {
        for _ in 0..200 {
            tokio::task::yield_now().await;
        }
        fixture.store.unblock();
    };
    let ((asked, delivered, executed), ()) = tokio::join!(told, unblocked);
    within("the receipt", stuck).await.unwrap().unwrap();
    assert!(delivered.is_ok() && executed.is_ok(), "{delivered:?} {executed:?}");
    asked.unwrap();
    let kept = ask(&fixture.hub.archive, FindCommand(command)).await.unwrap().unwrap();
    assert_eq!(kept.command.status, CommandStatus::Executed);
}

/// A way out that answers when the test lets it.
struct SlowLink {
    begun: Mutex<Vec<String>>,
    answers: Semaphore,
}

#[async_trait]
impl Link for SlowLink {
    async fn publish(&self, message: &Outgoing, _: Option<Duration>) -> Result<Published, LinkError> {
        self.begun.lock().unwrap().push(String::from_utf8(message.payload.to_vec()).unwrap());
        self.answers.acquire().await.unwrap().forget();
        Ok(Published::Taken)
    }

    fn state(&self) -> LinkState {
        LinkState::default()
    }

    async fn stop_intake(&self) {}

    async fn close(&self) {}
}

impl SlowLink {
    fn begun(&self) -> usize {
        self.begun.lock().unwrap().len()
    }

    /// The levels that were published, one after the other.
    fn levels(&self) -> Vec<u32> {
        let begun = self.begun.lock().unwrap();
        let level = |message: &String| {
            let (_, rest) = message.split_once(r#""desired":{"level":"#)?;
            rest.split_once('}')?.0.parse().ok()
        };
        let mut levels: Vec<u32> = begun.iter().filter_map(level).collect();
        levels.dedup(); // there may be more than one message for each
        levels
    }
}

#[actix::test]
async fn what_a_slow_broker_does_not_take_yet_waits_in_its_order() {
    const WINDOW: usize = 64;
    let fixture = HubFixture::new().await;
    fixture.taken("a", r#"{"t": 1}"#).await;
    for level in 1..=100 {
        fixture.change("a", &format!(r#"{{"desired": {{"level": {level}}}}}"#), None).await.unwrap();
    }
    let kept = fixture.store.outgoing().await.unwrap().len();
    assert!(kept >= 100);
    let link = Arc::new(SlowLink { begun: Mutex::default(), answers: Semaphore::new(0) });
    fixture.hub.connect(link.clone());
    until("the window is full", async || link.begun() == WINDOW).await;
    link.answers.add_permits(10);
    until("others follow those that were answered", async || link.begun() == WINDOW + 10).await;
    fixture.taken("a", r#"{"t": 2}"#).await; // a commit takes its time
    assert_eq!(link.begun(), WINDOW + 10, "no more on their way than that");
    let forgotten = async || fixture.store.outgoing().await.unwrap().len() == kept - 10;
    until("what was answered is forgotten, and nothing else", forgotten).await;
    assert_eq!(get(&fixture.hub.counters.outbox_waiting), (kept - 10) as u64);
    link.answers.add_permits(kept);
    until("all are out", async || fixture.store.outgoing().await.unwrap().is_empty()).await;
    assert_eq!((link.begun(), link.levels()), (kept, (1..=100).collect()), "each once");
}

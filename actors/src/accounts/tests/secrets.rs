//! Secrets stand in no log, no audit and no debug text.

use std::fmt::{Debug, Write as _};
use std::sync::{Mutex, PoisonError};

use tracing::field::{Field, Visit};
use tracing::span;
use tracing::subscriber::Interest;

use super::*;

/// All lines of the log.
#[derive(Clone, Default)]
struct Lines(Arc<Mutex<String>>);

impl Visit for Lines {
    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        let mut lines = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let _ = write!(lines, "{field}={value:?} ");
    }
}

impl tracing::Subscriber for Lines {
    fn register_callsite(&self, _: &'static tracing::Metadata<'static>) -> Interest {
        Interest::always()
    }

    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }

    fn new_span(&self, span: &span::Attributes<'_>) -> span::Id {
        span.record(&mut self.clone());
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, values: &span::Record<'_>) {
        values.record(&mut self.clone());
    }

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &tracing::Event<'_>) {
        event.record(&mut self.clone());
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

#[actix::test]
async fn no_secret_is_shown() {
    let log = Lines::default();
    let _logged = tracing::subscriber::set_default(log.clone());
    let scene = Scene::in_memory(AccountSettings::default()).await;
    let token = scene.token.clone().unwrap();
    let ann = scene.ann().await;
    let identity = scene.by_session(&ann).unwrap();
    let key = scene.make_key("ci", Role::Admin, asker(&identity)).await.unwrap();
    let by_key = scene.by_key(&key).unwrap();
    let mistyped = scene.sign_in("my secret password", "other secret").await;
    let (password, by) = (Password::typed(GOOD).unwrap(), asker(&identity));
    let begun = scene.answer(|reply| crate::messages::accounts::BeginTotp { password, by, reply }).await;
    let begun = begun.unwrap();
    scene.store.break_commits(twinhub_testkit::CommitFault::Failed);
    let failed = scene.sign_in("ann", GOOD).await;
    scene.store.heal();
    let code = TypedCode("123456".into());
    let (reply, _answer) = oneshot::channel();
    let (login, password) = ("ann".into(), Password::typed(GOOD).unwrap());
    let sign_in = SignIn { login, password, code: Some(code), peer: peer(1), reply };
    let (reply, _answer) = oneshot::channel();
    let set_up = SetUp { token: token.clone(), user: new("ann"), peer: peer(1), reply };
    let audit = scene.audit().await;
    let shown = format!(
        "{ann:?} {identity:?} {key:?} {by_key:?} {mistyped:?} {begun:?} {failed:?} {sign_in:?} {set_up:?} {audit:?} {:?}",
        scene.directory
    );
    let log = log.0.lock().unwrap_or_else(PoisonError::into_inner).clone();
    assert!(log.contains("could not be stored"), "the log was read: {log}");
    let body = &key.secret.reveal()[18..61];
    let secrets = [
        token.reveal(),
        &ann.token.reveal(),
        body,
        GOOD,
        "my secret",
        "other secret",
        begun.secret(),
        "123456",
    ];
    for secret in secrets {
        assert!(!shown.contains(secret) && !log.contains(secret), "{secret} in {shown} {log}");
    }
    assert!(!shown.contains("argon2") && !log.contains("argon2"));
}

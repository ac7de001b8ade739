//! The hub: the actors, started and put together. The layers in front of it (web, links) hold a [`Hub`] and send
//! messages to its actors.

mod closing;
mod health;
mod reading;
mod recorders;
mod settings;
mod threads;
mod token_holders;
mod waiting_commands;

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, RwLock};

use actix::{Actor, Addr, Arbiter};
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, oneshot};

pub use health::ActorHealth;
pub use settings::Settings;
use threads::PathThreads;
pub use token_holders::{TokenHolder, TokenHolders};

use self::recorders::Recorders;
use crate::HubError;
use crate::accounts::{Accounts, LoadedAccounts, directory::Directory};
use crate::alarms::Alarms;
use crate::archive::Archive;
use crate::audit::AuditTrail;
use crate::automation::{Authors, Automation, AutomationDeps, RuleKeys, files};
use crate::backoff::{Backoff, TWIN};
use crate::catalog::CatalogNow;
use crate::clock_watch::{self, ClockWatch};
use crate::counters::{Counters, get};
use crate::device_certificates::DeviceCertificates;
use crate::feed::Feed;
use crate::fleet::firmware::Firmware;
use crate::fleet::groups::{Groups, TreeNow};
use crate::fleet::jobs::Jobs;
use crate::fleet::layouts::Layouts;
use crate::fleet::templates::Templates;
use crate::fleet::{FleetActors, FleetDeps};
use crate::identities::{ClientIdentities, ClientIdentitiesDeps};
use crate::ingress::{Ingress, IngressDeps, InputDelivery, InputDeliveryDeps};
use crate::interpreter::{Interpreter, InterpreterDeps, StartInterpreter};
use crate::journal::Journal;
use crate::known_devices::KnownDevices;
use crate::mailbox::try_send_unbounded;
use crate::messages::accounts::SetUpToken;
use crate::messages::automation::LoadFiles;
use crate::messages::jobs::StartJobs;
use crate::messages::supervisor::IfUnknown;
use crate::messages::templates::StartTemplates;
use crate::messages::timers::{ClockMoved, StartTimers};
use crate::messages::webhooks::SetDestinations;
use crate::outbox::{Connect, Outbox};
use crate::pairing::Pairing;
use crate::places::Places;
use crate::search::Search;
use crate::silence::HeardSince;
use crate::supervisor::{IdlePolicy, Supervisor};
use crate::timers::Timers;
use crate::twin::{LOOKUPS, TwinDeps};
use crate::twin_registry::TwinRegistry;
use crate::webhook_destinations::WebhookDestinations;
use crate::webhooks::{self, Webhooks};
use twinhub_domain::clock::CLOCK_JUMP_MS;
use twinhub_domain::receipt::Accepted;
use twinhub_domain::{Cause, Clock, DeviceId, Input, Versions};
use twinhub_mqtt::Link;
use twinhub_mqtt::dialects::Dialects;
use twinhub_mqtt::rejections::Rejections;
use twinhub_mqtt::rule_topics::RuleTopics;
use twinhub_mqtt::subscribers::Subscribers;
use twinhub_mqtt::unread_topics::UnreadTopics;
use twinhub_store::{Store, StoreError};

/// The actors. Layers in front use a [`Grant`](crate::access::Grant), which [`Hub::of`] gives.
pub struct Hub {
    pub(crate) supervisor: Addr<Supervisor>,
    pub(crate) journal: Addr<Journal>,
    pub(crate) feed: Addr<Feed>,
    pub(crate) archive: Addr<Archive>,
    pub(crate) search: Addr<Search>,
    pub(crate) outbox: Addr<Outbox>,
    pub(crate) timers: Addr<Timers>,
    pub(crate) clock_watch: Addr<ClockWatch>,
    pub(crate) automation: Addr<Automation>,
    pub(crate) alarms: Addr<Alarms>,
    pub(crate) webhooks: Addr<Webhooks>,
    pub(crate) groups: Addr<Groups>,
    /// The tree of groups, as it was last committed.
    pub(crate) tree: Arc<TreeNow>,
    /// Where each device is, as it was last committed.
    pub(crate) places: Arc<Places>,
    /// Held by who makes a device a user's, as users may have so many: they are counted one by one.
    pub(crate) claiming: Arc<tokio::sync::Mutex<()>>,
    pub(crate) templates: Addr<Templates>,
    pub(crate) firmware: Addr<Firmware>,
    pub(crate) accounts: Addr<Accounts>,
    pub(crate) audit: Addr<AuditTrail>,
    pub directory: Arc<Directory>,
    /// The devices whose tokens callers have shown.
    pub token_holders: TokenHolders,
    /// Devices by the certificates that they show.
    pub certificates: Arc<DeviceCertificates>,
    set_up_token: Mutex<Option<SetUpToken>>,
    pub(crate) jobs: Addr<Jobs>,
    pub(crate) layouts: Addr<Layouts>,
    /// The templates as they are now.
    pub(crate) catalog: Arc<CatalogNow>,
    pub ingress: Ingress,
    pub counters: Arc<Counters>,
    pub(crate) rejections: Arc<Rejections>,
    /// MQTT messages on topics without a reader.
    pub(crate) unread_topics: Arc<UnreadTopics>,
    pub clock: Arc<dyn Clock>,
    pub settings: Settings,
    people: Arc<Semaphore>,
    pub pairing: Arc<Pairing>,
    /// The runtime of the actors on the way of a message, where links are to run on it.
    pub runtime: Option<Handle>,
}

/// A person's change that is lost on its way, because its twin died, is tried this often.
const TRIES: Backoff = TWIN.at_most(3);
/// The error of a change that may become durable later.
pub(crate) const LATE: &str = "the change was not made durable in time";
/// Changes by people and programs in flight at most; further ones wait.
const PEOPLE: usize = 10_000;

impl Hub {
    /// Starts the actors over `store`. Call it inside an actix system.
    ///
    /// # Errors
    /// The store does not give its state.
    pub async fn start(
        store: Arc<dyn Store>,
        clock: Arc<dyn Clock>,
        settings: Settings,
    ) -> Result<Arc<Self>, StoreError> {
        let head = store.head().await?;
        let kept = store.outgoing().await?;
        let LoadedAccounts { accounts, directory, set_up_token } =
            Accounts::load(Arc::clone(&store), Arc::clone(&clock), settings.accounts).await?;
        directory.let_dialects_in(&settings.dialect_accounts);
        let tree = Arc::new(TreeNow::load(&*store).await?);
        let places = Arc::new(Places::load(&*store).await?);
        let counters = Arc::new(Counters::default());
        counters.slow.log_from(settings.slow_log);
        let rejections = Arc::new(Rejections::default());

        let PathThreads { journal: durable, twins, runtime } = PathThreads::start(settings.arbiters);
        let recorders =
            Recorders::start(&durable, &store, &clock, &counters, &places, &settings, &head, kept);
        let Recorders { feed, outbox, archive, journal } = recorders;
        // A clock that was set back while the hub was down is the same case as one that is set back while it runs. That
        // it was stands in the sequence before all that is dated by it.
        let now = clock.now();
        let moved = head.at.filter(|last| last.millis() - now.millis() > CLOCK_JUMP_MS);
        let moved = moved.map(|last| ClockMoved { from: last, to: now });
        if let Some(moved) = moved {
            clock_watch::tell(&journal, moved, true).await;
        }
        // On this thread too: they are few.
        let alarms = {
            let (store, clock, counters) = (Arc::clone(&store), Arc::clone(&clock), Arc::clone(&counters));
            Alarms::new(store, clock, journal.clone(), counters, Arc::clone(&places)).start()
        };
        let keys = Arc::new(RwLock::new(RuleKeys::new()));
        let webhooks = {
            let (store, clock, counters) = (Arc::clone(&store), Arc::clone(&clock), Arc::clone(&counters));
            let keys = Arc::clone(&keys);
            let keys: webhooks::SigningKeys = Arc::new(move |rule, step| {
                let keys = keys.read().unwrap_or_else(PoisonError::into_inner);
                keys.get(&(rule.clone(), step)).cloned()
            });
            Webhooks::new(store, clock, journal.clone(), counters, keys, settings.webhooks.clone()).start()
        };
        let heard = HeardSince::new(clock.now(), settings.first_silence_ms());
        let timers = {
            let (store, clock, heard) = (Arc::clone(&store), Arc::clone(&clock), Arc::clone(&heard));
            Timers::start_in_arbiter(&durable, move |_| Timers::new(store, clock, heard))
        };
        let registry = Arc::new(TwinRegistry::default());
        let devices = Arc::new(KnownDevices::default());
        let dialects = Arc::new(Dialects::new(&settings.dialects));
        let interpreter = {
            let (dialects, clock) = (Arc::clone(&dialects), Arc::clone(&clock));
            let deps = InterpreterDeps { dialects, journal: journal.clone(), timers: timers.clone(), clock };
            let interpreter = Interpreter::load(&*store, &settings.dialects, deps).await?;
            // A thread of its own: one that has much to read holds nobody else up.
            Interpreter::start_in_arbiter(&Arbiter::new().handle(), move |_| interpreter)
        };
        let subscribers = Arc::new(match settings.broker_tells {
            true => Subscribers::reported_by_broker(),
            false => Subscribers::default(),
        });
        let unread_topics = Arc::new(UnreadTopics::default());
        let catalog = Arc::new(CatalogNow::default());
        let supervisor = {
            let store = Arc::clone(&store);
            let (clock, counters, journal) = (Arc::clone(&clock), Arc::clone(&counters), journal.clone());
            let idle = settings.idle_after.map(|after| IdlePolicy { after, above: settings.idle_above });
            let (timers, heard, alarms) = (timers.clone(), Arc::clone(&heard), alarms.clone());
            let (counters, registry) = (Arc::clone(&counters), Arc::clone(&registry));
            let catalog = Arc::clone(&catalog);
            let (subscribers, dialects) = (Arc::clone(&subscribers), Arc::clone(&dialects));
            let (interpreter, devices) = (interpreter.clone().recipient(), Arc::clone(&devices));
            Supervisor::start_in_arbiter(&twins[0].clone(), move |_| {
                Supervisor::new(head.number + 1, idle, twins, move |supervisor| TwinDeps {
                    store,
                    clock,
                    journal,
                    supervisor: supervisor.recipient(),
                    timers,
                    alarms,
                    heard,
                    catalog,
                    registry,
                    devices,
                    dialects,
                    interpreter,
                    subscribers,
                    lookups: Semaphore::new(LOOKUPS),
                    window: settings.window,
                    common: Mutex::default(),
                    counters,
                })
            })
        };
        let token_holders = TokenHolders::new(Arc::clone(&registry), supervisor.clone());
        let search = {
            let (store, clock, journal) = (Arc::clone(&store), Arc::clone(&clock), journal.clone());
            let (patience, counters) = (settings.patience, Arc::clone(&counters));
            // A thread of its own: twins from the store are read on it, thousands at a time.
            Search::start_in_arbiter(&Arbiter::new().handle(), move |_| {
                Search::new(registry, store, clock, journal, counters, patience)
            })
        };
        // They are asked by people, and seldom: one thread will do for all of them.
        let audit = AuditTrail::new(Arc::clone(&store).access(), Arc::clone(&clock), Arc::clone(&counters));
        let beside = Arbiter::new().handle();
        let FleetActors { groups, templates, firmware, jobs, layouts } = {
            let deps = FleetDeps {
                store: Arc::clone(&store),
                clock: Arc::clone(&clock),
                journal: journal.clone(),
                feed: feed.clone(),
                supervisor: supervisor.clone(),
                search: search.clone(),
                counters: Arc::clone(&counters),
                directory: Arc::clone(&directory),
                tree: Arc::clone(&tree),
                places: Arc::clone(&places),
                catalog: Arc::clone(&catalog),
                secrets: settings.secrets.clone(),
                longest_rest: settings.longest_rest,
            };
            FleetActors::start(deps, &beside)
        };
        let accounts = Accounts::start_in_arbiter(&beside, move |_| accounts);
        let audit = AuditTrail::start_in_arbiter(&beside, move |_| audit);
        devices.read_from(supervisor.clone().recipient());
        let certificates = Arc::new(DeviceCertificates::new(Arc::clone(&devices), Arc::clone(&store)));
        let (to_supervisor, to_audit) = (supervisor.clone().recipient(), audit.clone().recipient());
        let pairing =
            Arc::new(Pairing::new(Arc::clone(&devices), to_supervisor, to_audit, Arc::clone(&clock)));
        let identities = {
            let deps = ClientIdentitiesDeps {
                devices,
                certificates: Arc::clone(&certificates),
                directory: Arc::clone(&directory),
                tree: Arc::clone(&tree),
                tokens: settings.tokens.clone(),
                renewal: token_holders.renewal(),
                store: Arc::clone(&store),
                clock: Arc::clone(&clock),
                audit: audit.clone().recipient(),
                pairing: Arc::clone(&pairing),
            };
            ClientIdentities::new(deps, settings.devices)
        };
        let rule_topics = Arc::new(RuleTopics::default());
        let waiting = {
            let (subscribers, dialects) = (Arc::clone(&subscribers), Arc::clone(&dialects));
            waiting_commands::waiting_commands(Arc::clone(&store), supervisor.clone(), subscribers, dialects)
        };
        let automation = {
            let deps = AutomationDeps {
                store,
                clock: Arc::clone(&clock),
                journal: journal.clone(),
                feed: feed.clone(),
                supervisor: supervisor.clone(),
                timers: timers.clone(),
                alarms: alarms.clone(),
                webhooks: webhooks.clone(),
                counters: Arc::clone(&counters),
                rule_topics: Arc::clone(&rule_topics),
                keys,
                secrets: settings.secrets.clone(),
                authors: Authors::new(&directory, &places, &tree, &clock),
            };
            // A thread of its own: a rule that takes its time holds nobody up.
            Automation::start_in_arbiter(&Arbiter::new().handle(), move |_| Automation::new(deps))
        };
        match &settings.rules {
            Some(folder) => files::watch(folder.clone(), settings.secrets.clone(), automation.clone()).await,
            None => {
                let (done, runs) = oneshot::channel();
                let _ = try_send_unbounded(&automation, LoadFiles { files: Vec::new(), done: Some(done) });
                let _ = runs.await;
            }
        }
        // The templates before anybody appears who is to take one.
        let (known, templates_known) = oneshot::channel();
        let begin = StartTemplates {
            automation: automation.clone().recipient(),
            jobs: jobs.clone().recipient(),
            known,
        };
        let _ = try_send_unbounded(&templates, begin); // they have just started
        let _ = templates_known.await;
        let delivery = {
            let (dialects, rejections) = (Arc::clone(&dialects), Arc::clone(&rejections));
            let (counters, clock) = (Arc::clone(&counters), Arc::clone(&clock));
            let deps =
                InputDeliveryDeps { supervisor: supervisor.clone(), dialects, rejections, counters, clock };
            InputDelivery::new(deps, settings.unknown_devices)
        };
        // It has just started.
        let _ = try_send_unbounded(&interpreter, StartInterpreter { delivery: delivery.clone() });
        // Rules first: that the hub was down stands in the sequence before anything that comes of it.
        let begin = StartTimers {
            supervisor: supervisor.clone().recipient(),
            automation: automation.clone().recipient(),
            dialects: interpreter.clone().recipient(),
            moved,
        };
        let _ = try_send_unbounded(&timers, begin); // they have just started
        let _ = try_send_unbounded(&jobs, StartJobs); // so have they
        if let Some(moved) = moved {
            let _ = try_send_unbounded(&jobs, moved);
            let _ = try_send_unbounded(&interpreter, moved);
        }
        let clock_watch = {
            let (clock, journal, jobs) = (Arc::clone(&clock), journal.clone(), jobs.clone());
            let (timers, archive, interpreter) = (timers.clone(), archive.clone(), interpreter.clone());
            let watch = ClockWatch { clock, journal, timers, archive, jobs, interpreter, is_moving: false };
            ClockWatch::start_in_arbiter(&durable, move |_| watch)
        };
        actix::spawn(waiting);
        let ingress_deps = IngressDeps {
            supervisor: supervisor.clone(),
            journal: journal.clone(),
            delivery,
            interpreter: interpreter.recipient(),
            dialects,
            unread_topics: Arc::clone(&unread_topics),
            subscribers: Arc::clone(&subscribers),
            counters: Arc::clone(&counters),
            clock: Arc::clone(&clock),
            heard,
            rule_topics,
            identities,
        };
        Ok(Arc::new(Self {
            supervisor,
            journal,
            feed,
            archive,
            search,
            outbox,
            timers,
            clock_watch,
            automation,
            alarms,
            webhooks,
            groups,
            tree,
            places,
            claiming: Arc::default(),
            templates,
            firmware,
            accounts,
            audit,
            directory,
            token_holders,
            certificates,
            set_up_token: Mutex::new(set_up_token),
            jobs,
            layouts,
            catalog,
            ingress: Ingress::new(ingress_deps, settings.most_in_flight),
            counters,
            rejections,
            unread_topics,
            clock,
            settings,
            people: Arc::new(Semaphore::new(PEOPLE)),
            pairing,
            runtime,
        }))
    }

    /// The token for the link of the first start, once: none where the hub had users as it started.
    #[must_use]
    pub fn take_set_up_token(&self) -> Option<SetUpToken> {
        self.set_up_token.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// Says where webhooks may go from now on.
    pub fn confine_webhooks(&self, destinations: WebhookDestinations) {
        let _ = try_send_unbounded(&self.webhooks, SetDestinations(destinations)); // gone, nothing is sent any more
    }

    /// Reads the rule files in `folder` anew. True when automation has them; else the log has the reason.
    pub async fn reload_rules(&self, folder: &Path) -> bool {
        files::load(folder, &self.settings.secrets, &self.automation, false).await
    }

    /// Gives the hub its way out to the devices.
    pub fn connect(&self, link: Arc<dyn Link>) {
        let _ = try_send_unbounded(
            &self.outbox,
            Connect {
                link,
                journal: self.journal.clone().recipient(),
                supervisor: self.supervisor.clone().recipient(),
            },
        ); // it lives while we do
    }

    /// Takes a person's or program's input in, and answers after the commit.
    ///
    /// # Errors
    /// The twin refused the input, or it could not be made durable in time. It may become durable later all the same:
    /// no sender has had an acknowledgement.
    pub async fn deliver(
        &self,
        device: DeviceId,
        input: Input,
        cause: Cause,
        if_unknown: IfUnknown,
        want_twin: bool,
    ) -> Result<Accepted, HubError> {
        self.deliver_to(None, device, input, cause, if_unknown, want_twin).await
    }

    /// The same, where the twin is at one of these versions.
    ///
    /// # Errors
    /// As [`Hub::deliver`].
    pub async fn deliver_to(
        &self,
        if_version: Option<Versions>,
        device: DeviceId,
        input: Input,
        cause: Cause,
        if_unknown: IfUnknown,
        want_twin: bool,
    ) -> Result<Accepted, HubError> {
        if self.is_failing() {
            return Err(HubError::Unavailable("the store does not take anything in just now"));
        }
        let settled = self.settle(if_version, device, input, cause, if_unknown, want_twin);
        let in_time = tokio::time::timeout(self.settings.patience, settled);
        in_time.await.unwrap_or(Err(HubError::Unavailable(LATE)))
    }

    /// True while commits fail.
    #[must_use]
    pub fn is_failing(&self) -> bool {
        get(&self.counters.store_failing) == 1
    }

    /// Commits pending outcomes and takes nothing more in. True when all of it became durable.
    pub async fn close(&self) -> bool {
        closing::close(self).await
    }
}

#[cfg(test)]
mod tests;

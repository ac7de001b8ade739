//! Finds the facts that the checks judge. It changes nothing.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::{MetadataExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::UNIX_EPOCH;

use anyhow::Context as _;
use serde_json::Value;
use twinhub_access::User;
use twinhub_access::password::Password;
use twinhub_actors::clock::SystemClock;
use twinhub_domain::{Clock as _, DeviceId, Timestamp};
use twinhub_mqtt::link;
use twinhub_store::sql::{SqlOptions, SqlStore};
use twinhub_store::{AlarmQuery, CertificateEnd, Store as _, UserStore as _};
use twinhub_tls::{ClientAuthorities, certificate_file};
use url::Url;

use super::certificates::{CertificateLook, ServedCertificate};
use super::data::DataFacts;
use super::files::FileFacts;
use super::hub::HubFacts;
use super::machine::{DiskFacts, HandleFacts, MachineFacts};
use super::network::{BrokerFacts, NetworkFacts, SeenPassword};
use super::people::{PeopleFacts, PersonFacts};
use crate::cli::remote::Remote;
use crate::cli::rules;
use crate::config::{self, Config, Database, DevicesOption, Mqtt, RegistrationOption, TlsOption};
use crate::disk::{DiskSpace, StoredFiles};
use crate::startup::local_key::KeyOfHub;
use crate::startup::{certificate_watch, disk_watch, handles, key, lock, private};

/// Passwords that everybody tries first, beside the user's own name.
const TRIED_FIRST: [&str; 6] = ["admin", "admin123", "changeme", "password", "secret", "twinhub"];
/// Trying takes a tenth of a second each: that many users at most.
const TRIED_USERS: usize = 20;

/// Certificates of devices that end within this time are told, in ms.
const ENDS_SOON_MS: i64 = 14 * 86_400_000;
/// So many of them at most.
const MOST_CERTIFICATES: u64 = 10_000;

/// All facts.
pub struct Looked {
    pub files: FileFacts,
    /// None where the users cannot be read, which the database's check says.
    pub people: Option<PeopleFacts>,
    pub network: NetworkFacts,
    pub certificates: CertificateLook,
    pub machine: MachineFacts,
    pub data: DataFacts,
    pub hub: HubFacts,
}

/// The parts of the database that are looked at.
#[derive(Default)]
struct InDatabase {
    integrity: Option<Result<Vec<String>, String>>,
    users: Option<Vec<User>>,
    last_written: Option<Timestamp>,
    ending: Vec<CertificateEnd>,
    /// The devices of which an alarm of the hub says that their certificate ends.
    told: Vec<DeviceId>,
}

/// Looks at all that the configuration names; `named` is its file, where one was named.
pub async fn look(config: &Config, named: Option<&Path>) -> Looked {
    let process = lock::holder_of(&config.data_dir);
    let in_database = in_database(config).await;
    let is_reachable = !config.is_local_only();
    let people = match in_database.users {
        Some(users) => Some(people(&users)),
        None => in_database.integrity.is_none().then(Vec::new), // there is no database yet
    };
    Looked {
        files: files(config, named, in_database.integrity.is_some()),
        people: people.map(|users| PeopleFacts {
            users,
            is_reachable,
            is_open: config.open || config.open_to_network,
            is_registration_open: matches!(config.registration, RegistrationOption::Open),
            dialect_access: config.dialect_access.iter().map(ToString::to_string).collect(),
        }),
        network: network(config, process).await,
        certificates: certificates(config, in_database.ending, &in_database.told),
        machine: machine(config, process, in_database.last_written),
        data: DataFacts {
            database: config.database.to_string(),
            integrity: in_database.integrity,
            rules: config.rules_there().map(|_| rules::problems(config)),
        },
        hub: HubFacts {
            version: env!("CARGO_PKG_VERSION"),
            health: health(config, process).await,
            listens: process.and_then(|_| KeyOfHub::read(&config.data_dir)).map(|key| key.listener()),
            asked: Some((config.listen, config.over_tls())),
        },
    }
}

fn files(config: &Config, named: Option<&Path>, has_database: bool) -> FileFacts {
    let data_dir = &config.data_dir;
    let key_file = key::place(config.key_file.as_deref(), data_dir);
    let mut ours = private::files_of_hub(data_dir, &config.database);
    ours.push(key_file.clone());
    ours.sort_unstable();
    ours.dedup();
    let me = rustix::process::geteuid().as_raw();
    let mut facts = FileFacts {
        data_dir: data_dir.clone(),
        is_there: data_dir.is_dir(),
        has_database,
        keys: match key::read_there(&key_file) {
            Ok(seal) => Ok(seal.map(|seal| seal.ids().count())),
            Err(error) => Err(error.to_string()),
        },
        key_file,
        open_config: open_config(named),
        open: Vec::new(),
        foreign: Vec::new(),
    };
    for path in ours {
        let Ok(found) = fs::metadata(&path) else { continue };
        let mode = found.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            facts.open.push((path.clone(), mode));
        }
        if found.uid() != me {
            facts.foreign.push(path);
        }
    }
    facts
}

/// The configuration file, where others may read it and it has a password in it.
fn open_config(named: Option<&Path>) -> Option<PathBuf> {
    let path = named.unwrap_or(Path::new(config::DEFAULT_FILE));
    let mode = fs::metadata(path).ok()?.permissions().mode();
    let table = config::file_table(named).ok()?;
    let is_secret = table.iter().any(|(key, value)| {
        key.contains("secret") && key != "rule-secrets" || value.as_str().is_some_and(has_password)
    });
    (mode & 0o044 != 0 && is_secret).then(|| path.to_owned())
}

fn has_password(url: &str) -> bool {
    Url::parse(url).is_ok_and(|url| url.password().is_some())
}

async fn in_database(config: &Config) -> InDatabase {
    if config.database.file().is_some_and(|file| !file.exists()) {
        return InDatabase::default();
    }
    let broken = |error: String| InDatabase { integrity: Some(Err(error)), ..InDatabase::default() };
    let key_file = key::place(config.key_file.as_deref(), &config.data_dir);
    // A key that is broken is told by the check of files, and what it has sealed is not needed here.
    let seal = key::read_there(&key_file).ok().flatten().map(Arc::new);
    let options = SqlOptions { seal, migrate: false, ..SqlOptions::default() };
    let store = match SqlStore::open(&config.database.url(), options).await {
        Ok(store) => store,
        Err(error) => return broken(error.to_string()),
    };
    let soon = SystemClock.now().plus_millis(ENDS_SOON_MS);
    let alarms = AlarmQuery {
        active: Some(true),
        alarm_type: Some(certificate_watch::ALARM.into()),
        limit: MOST_CERTIFICATES,
        ..AlarmQuery::default()
    };
    let alarms = store.alarms(&alarms).await.map(|page| page.alarms).unwrap_or_default();
    let found = InDatabase {
        told: alarms.iter().filter_map(|alarm| alarm.originator.device().cloned()).collect(),
        integrity: Some(store.damages().await.map_err(|error| error.to_string())),
        users: store.users().await.ok(),
        last_written: store.head().await.ok().and_then(|head| head.at),
        ending: store.certificates_ending(soon, MOST_CERTIFICATES).await.unwrap_or_default(),
    };
    store.close().await;
    found
}

fn certificates(config: &Config, ending: Vec<CertificateEnd>, told: &[DeviceId]) -> CertificateLook {
    let is_https = |url: &Url| url.scheme() == "https";
    let public = config.public_url.as_deref().and_then(|url| Url::parse(url).ok()).filter(is_https);
    let public_host = public.and_then(|url| Some(url.host_str()?.trim_matches(['[', ']']).to_owned()));
    let (path, key, is_own) = match (config.tls, &config.tls_cert, &config.tls_key) {
        (TlsOption::Files, Some(certificate), Some(key)) => (certificate.clone(), key.clone(), false),
        _ => (config.data_dir.join("tls/hub.pem"), config.data_dir.join("tls/hub.key"), true),
    };
    let is_there = config.over_tls() && (!is_own || path.exists());
    let served = is_there.then(|| ServedCertificate {
        facts: certificate_file(&path, &key).map_err(|error| error.to_string()),
        path,
        is_own,
        public_host,
    });
    let authorities = config.tls_client_ca.clone().map(|path| {
        let read = ClientAuthorities::read(&path).map_err(|error| error.to_string());
        (path, read.map(|authorities| authorities.count()))
    });
    // Of a certificate that an authority issued the store has the alarm alone.
    let is_issued = |device: &&DeviceId| ending.iter().all(|end| end.device != **device);
    let issued = told.iter().filter(is_issued).cloned().collect();
    CertificateLook { now: SystemClock.now(), served, authorities, ending, issued }
}

fn people(users: &[User]) -> Vec<PersonFacts> {
    let mut tried = 0;
    let facts = users.iter().map(|user| {
        let is_tried = user.is_acting_admin() && tried < TRIED_USERS;
        tried += usize::from(is_tried);
        PersonFacts {
            name: user.name.to_string(),
            is_admin: user.is_acting_admin(),
            has_second_factor: user.totp.is_some(),
            is_disabled: user.disabled,
            has_default_password: is_tried && has_default_password(user),
        }
    });
    facts.collect()
}

fn has_default_password(user: &User) -> bool {
    let Some(hash) = &user.password else { return false };
    let name = user.name.to_string();
    let tried = TRIED_FIRST.into_iter().chain([&*name]);
    tried.filter_map(|word| Password::typed(word).ok()).any(|word| hash.is_of(&word))
}

async fn network(config: &Config, process: Option<u32>) -> NetworkFacts {
    let mut facts = NetworkFacts::default();
    if !config.over_tls() {
        facts.in_clear.push(("HTTP", config.listen));
    }
    match &config.mqtt {
        Mqtt::Embedded => {
            let address = config.mqtt_listen;
            let is_reached = |address: SocketAddr| !address.ip().is_loopback();
            let is_strict = config.devices() == DevicesOption::Strict;
            let over_tls = config.mqtt_over_tls().filter(|over_tls| is_strict && is_reached(*over_tls));
            match over_tls.filter(|_| is_reached(address)) {
                Some(over_tls) => facts.mqtt_beside_tls = Some((address, over_tls)),
                None => facts.in_clear.push(("MQTT", address)),
            }
            facts.open_mqtt = (is_reached(address) && !is_strict).then_some(address);
        }
        Mqtt::Broker(address) => {
            let is_here = matches!(&*address.host, "localhost" | "127.0.0.1" | "[::1]" | "::1");
            facts.broker = Some(BrokerFacts {
                url: address.to_string(),
                is_private: address.tls || is_here,
                has_password: address.credentials.is_some(),
                strangers: link::probe(address).await,
            });
        }
    }
    let database = std::env::var("DATABASE_URL").unwrap_or_default();
    if has_password(&database) && config.database == Database::Url(database) {
        facts.seen_passwords.push(SeenPassword::DatabaseUrl);
    }
    let arguments = process.and_then(|process| fs::read(format!("/proc/{process}/cmdline")).ok());
    let arguments = arguments.unwrap_or_default();
    let mut arguments = arguments.split(|byte| *byte == 0).map(String::from_utf8_lossy);
    // `--mqtt URL` or `--mqtt=URL`
    if arguments.any(|argument| argument.split('=').any(has_password)) {
        facts.seen_passwords.push(SeenPassword::Arguments);
    }
    facts
}

fn machine(config: &Config, process: Option<u32>, last_written: Option<Timestamp>) -> MachineFacts {
    let program = std::env::current_exe().and_then(fs::metadata).and_then(|file| file.modified());
    let since = program.ok().and_then(|time| time.duration_since(UNIX_EPOCH).ok());
    let built_at = since.and_then(|since| i64::try_from(since.as_millis()).ok()).map(Timestamp::from_millis);
    let limit = process
        .and_then(handles_of)
        .or_else(|| rlimit::getrlimit(rlimit::Resource::NOFILE).ok().map(|(_, hard)| hard));
    let limit = limit.unwrap_or(u64::MAX);
    let shares = handles::shares(
        usize::try_from(limit).unwrap_or(usize::MAX),
        config.http_connections,
        config.mqtt_connections,
    );
    let mqtt_asked = if matches!(config.mqtt, Mqtt::Embedded) { config.mqtt_connections } else { 0 };
    MachineFacts {
        now: SystemClock.now(),
        built_at,
        last_written,
        is_synchronized: is_synchronized(),
        disk: disk(config),
        handles: HandleFacts { limit, mqtt: shares.mqtt, mqtt_asked },
    }
}

/// The limit of file handles that a process runs with.
fn handles_of(process: u32) -> Option<u64> {
    let limits = fs::read_to_string(format!("/proc/{process}/limits")).ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// Does a time server keep the clock right? systemd and chrony leave a sign; of others nothing is known.
fn is_synchronized() -> Option<bool> {
    let is_there = |path: &str| Path::new(path).exists();
    if is_there("/run/systemd/timesync/synchronized") || is_there("/run/chrony/chronyd.pid") {
        return Some(true);
    }
    is_there("/run/systemd/timesync").then_some(false)
}

fn disk(config: &Config) -> Option<DiskFacts> {
    let places = disk_watch::places(config);
    Some(DiskFacts { space: DiskSpace::at(&places)?, database_bytes: StoredFiles::at(&places).database })
}

async fn health(config: &Config, process: Option<u32>) -> Option<Result<Value, String>> {
    process?;
    let ask = async {
        let key = KeyOfHub::read(&config.data_dir).context("its local.key cannot be read")?;
        anyhow::Ok(Remote::of_key(key)?.get("/health").await?.0)
    };
    Some(ask.await.map_err(|error| format!("{error:#}")))
}

//! Builds the whole application from its configuration. A port 0 takes a free one: tests use that.

mod backup_schedule;
mod banner;
pub(crate) mod broker_files;
pub(crate) mod certificate_watch;
mod dialects;
pub(crate) mod disk_watch;
mod environment;
pub(crate) mod handles;
mod held_task;
mod hub_alarm;
mod instance;
pub(crate) mod key;
pub mod local_key;
pub mod lock;
pub mod private;
mod settings;
mod tls;

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener, UdpSocket};
use std::path::PathBuf;
use std::sync::Arc;

use actix_web::dev::ServerHandle;
use actix_web::web::Data;
use tracing::{info, warn};
use twinhub_actors::Hub;
use twinhub_actors::access::{Caller, Tokens};
use twinhub_actors::clock::HubClock;
use twinhub_actors::messages::accounts::SetUpToken;
use twinhub_actors::retained::RetainedInStore;
use twinhub_domain::cause::Source;
use twinhub_domain::{Clock as _, Timestamp};
use twinhub_mqtt::Link;
use twinhub_mqtt::broker::{BrokerError, BrokerSettings, EmbeddedBroker};
use twinhub_mqtt::link::{ConnectError, LinkSettings, RumqttcLink};
use twinhub_store::StoreError;
use twinhub_store::seal::Seal;
use twinhub_store::sql::{SqlOptions, SqlStore};
use twinhub_tls::{ServerTls, TlsError};

pub(crate) use self::settings::accounts;
use self::settings::{
    anonymous, broker_settings, destinations, devices, keeping, largest_payload, runs_on,
    settings as hub_settings, unknown_devices,
};
use crate::api::firmware::{self, Folder};
use crate::api::provisioning::over_mqtt;
use crate::backup::{self, BackupError};
use crate::config::{Config, Mqtt};
use crate::dialects::WeatherSettings;
use crate::http::{self, Policy};
use crate::single_sign_on::SingleSignOn;
use crate::startup::backup_schedule::BackupSchedule;
use crate::startup::broker_files::BrokerFiles;
use crate::startup::environment::{EnvironmentError, SeedEnvironment};
use crate::startup::held_task::HeldTask;
use crate::startup::key::KeyError;
use crate::startup::local_key::{LocalKey, LocalKeyFile};
use crate::startup::lock::{LockError, Locks};
use crate::state::{ServerInfo, WebSettings, WebState};

/// Builds what runs.
pub struct Application;

/// The application while it runs. [`RunningHub::until_signal`] and [`RunningHub::shut_down`] end it.
pub struct RunningHub {
    /// Where HTTP is served.
    pub http: SocketAddr,
    /// Where the embedded broker listens; none with an outside one.
    pub mqtt: Option<SocketAddr>,
    /// Where it listens for MQTT over TLS.
    pub mqtt_over_tls: Option<SocketAddr>,
    pub hub: Arc<Hub>,
    pub(crate) link: Arc<dyn Link>,
    pub(crate) web: Data<WebState>,
    pub(crate) server: ServerHandle,
    /// No packet of MQTT can bring more bytes than this until the next start.
    pub(crate) largest_payload: usize,
    /// None: everything is served in the clear.
    pub(crate) tls: Option<Arc<ServerTls>>,
    data_dir: PathBuf,
    /// It was started for the local network.
    lan: bool,
    /// The settings that a person who starts the hub should know of.
    notices: String,
    /// The token for the link by which the first user is made, while there is none.
    set_up: Option<SetUpToken>,
    #[expect(dead_code, reason = "held for its drop")]
    local_key: LocalKeyFile,
    /// Tasks beside the hub.
    #[expect(dead_code, reason = "held for its drop")]
    tasks: Vec<HeldTask>,
    /// Held to the end: no other hub may use the same data meanwhile.
    #[expect(dead_code, reason = "held for its drop")]
    locks: Locks,
    pub(crate) store: Arc<SqlStore>,
}

/// The reason why the application did not start.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    #[error("cannot listen on {address}: {source}")]
    Listen { address: SocketAddr, source: std::io::Error },
    #[error(
        "cannot listen on {address}: another program listens there: give the page and the API another address with \
         --listen {}",
        next_port(*address, 8_081)
    )]
    HttpTaken { address: SocketAddr },
    #[error("cannot use the data folder {}: {source}", path.display())]
    DataDir { path: PathBuf, source: std::io::Error },
    #[error(
        "the data folder {} is a part of a backup that was not restored to its end: remove it, and restore the backup anew: \
         twinhub restore FILE {}",
        path.display(), path.display()
    )]
    HalfRestored { path: PathBuf },
    #[error("cannot write backups: {0}")]
    Backup(#[from] BackupError),
    #[error(transparent)]
    Lock(#[from] LockError),
    #[error(transparent)]
    Key(#[from] KeyError),
    #[error(transparent)]
    Tls(#[from] TlsError),
    #[error("cannot read the rules folder {}: {source}", path.display())]
    Rules { path: PathBuf, source: std::io::Error },
    #[error("cannot use the database {database}: {source}")]
    Store { database: String, source: StoreError },
    #[error(
        "cannot listen for MQTT on {address}: another program, a broker such as Mosquitto perhaps, listens there: use \
         that broker with --mqtt mqtt://{}, or give the one in here another port with --mqtt-listen {}",
        public_address(*address), next_port(*address, 1_884)
    )]
    MqttTaken { address: SocketAddr },
    #[error(transparent)]
    Broker(BrokerError),
    #[error(
        "cannot listen for MQTT over TLS on {address}: another program listens there: give the broker another address \
         with --mqtt-tls-listen {}", next_port(*address, 8_884)
    )]
    MqttTlsTaken { address: SocketAddr },
    #[error(transparent)]
    Connect(#[from] ConnectError),
    #[error(
        "--listen {address} can be reached by other machines, and there is no user who could sign in: make the first \
         user: twinhub user add NAME --role admin (or on the page that --lan serves; or let anyone in with --open-to-network)"
    )]
    NoUser { address: SocketAddr },
    #[error("cannot write the key for this machine's command line into {}: {source}", path.display())]
    LocalKey { path: PathBuf, source: std::io::Error },
    #[error(transparent)]
    Environment(#[from] EnvironmentError),
    #[error("cannot ask a provider of single sign-on: {0}")]
    SignOn(std::io::Error),
    #[error("cannot write the files for Mosquitto into {}: {source}", path.display())]
    BrokerFiles { path: PathBuf, source: std::io::Error },
    #[error("cannot serve HTTP: {0}")]
    Serve(std::io::Error),
    /// The HTTP library cannot write such a date, and its worker threads would panic.
    #[error("the system clock is before 1970: set it first")]
    Clock,
}

impl StartError {
    fn of_broker(error: BrokerError, over_tls: Option<SocketAddr>) -> Self {
        match error {
            BrokerError::Listen { address, source } if source.kind() == ErrorKind::AddrInUse => {
                if Some(address) == over_tls {
                    Self::MqttTlsTaken { address }
                } else {
                    Self::MqttTaken { address }
                }
            }
            error => Self::Broker(error),
        }
    }
}

/// The address under which this machine reaches a listener on `address`: one that listens everywhere is at loopback too.
fn public_address(address: SocketAddr) -> SocketAddr {
    let ip = match address.ip() {
        IpAddr::V4(ip) if ip.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(ip) if ip.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        ip => ip,
    };
    SocketAddr::new(ip, address.port())
}

/// An address that may be free where this one is taken; with the port `usual` where there is none after it.
fn next_port(address: SocketAddr, usual: u16) -> SocketAddr {
    SocketAddr::new(address.ip(), address.port().checked_add(1).unwrap_or(usual))
}

impl Application {
    /// Starts everything `config` asks for, inside an actix system. Returns once it serves.
    ///
    /// # Errors
    /// Names the port, file or folder that cannot be had.
    pub async fn start(config: Config) -> Result<RunningHub, StartError> {
        // The locks first: a second twinhub names the owner of the data before it touches anything.
        std::fs::create_dir_all(&config.data_dir)
            .map_err(|source| StartError::DataDir { path: config.data_dir.clone(), source })?;
        let locks = Locks::take(&config.data_dir, &config.database)?;
        if backup::is_half_restored(&config.data_dir) {
            return Err(StartError::HalfRestored { path: config.data_dir });
        }
        private::tighten(&config.data_dir, &config.database);
        let seal = Arc::new(key::load(config.key_file.as_deref(), &config.data_dir)?);
        let listener = listen(config.listen)?;
        let http = listener.local_addr().map_err(StartError::Serve)?;
        let (local_key, local_key_file) = LocalKey::make(&config.data_dir, http, config.over_tls())
            .map_err(|source| StartError::LocalKey { path: config.data_dir.clone(), source })?;

        let clock = Arc::new(HubClock::new());
        let started_at = clock.now();
        if started_at < Timestamp::from_millis(0) {
            return Err(StartError::Clock);
        }
        let tls = tls::start(&config, Arc::clone(&clock) as _)?;
        let backups = BackupSchedule::of(&config)?;
        if let Some(path) = config.rules_there() {
            // A misspelt path is told at once; files in it may be broken, and are told by the log and the API.
            std::fs::read_dir(path).map_err(|source| StartError::Rules { path: path.to_owned(), source })?;
        }
        let broker_files = broker_files(&config)?;
        let sign_on = config.oidc.clone().map(SingleSignOn::new).transpose().map_err(StartError::SignOn)?;
        let environment = SeedEnvironment::read();
        let jwt = environment.jwt_keys(seal.jwt_keys(), config.takes_short_secrets())?;
        let store = open_store(&config, &seal).await?;
        let mut settings = hub_settings(&config);
        let tokens = Tokens::new(Arc::clone(&seal)).for_broker(config.mosquitto_files.is_some());
        settings.tokens = tokens.clone();
        settings.webhooks = destinations(&config, &[http, config.mqtt_listen]);
        let hub = Hub::start(Arc::clone(&store) as _, clock, settings)
            .await
            .map_err(|source| StartError::Store { database: config.database.to_string(), source })?;

        if let Err(error) = environment.make_user(&hub).await {
            return Err(close(&hub, &store, error).await);
        }
        let is_for_users = !config.is_local_only() && !config.open_to_network && !config.lan;
        if is_for_users && !hub.directory.has_users() {
            return Err(close(&hub, &store, StartError::NoUser { address: config.listen }).await);
        }

        let shares = handles::share_out(config.http_connections, config.mqtt_connections);
        let connected = match connect(&config, &hub, Arc::clone(&store), shares.mqtt, tls.as_ref()).await {
            Ok(connected) => connected,
            Err(error) => return Err(close(&hub, &store, error).await),
        };
        let DeviceLink { link, listens, over_tls, host, port, url } = connected;
        let listeners: Vec<_> = std::iter::once(http).chain(listens).chain(over_tls).collect();
        hub.confine_webhooks(destinations(&config, &listeners));
        hub.connect(Arc::clone(&link));

        let info = ServerInfo {
            version: env!("CARGO_PKG_VERSION"),
            started_at,
            mqtt_url: url,
            mqtt_host: host,
            mqtt_port: port,
            http: http.to_string(),
            public_url: config.public_url.clone().unwrap_or_else(|| reachable(http, tls.is_some())),
        };
        let web_settings = WebSettings {
            policy: Policy::of(&config, &info.public_url),
            most_connections: shares.http,
            firmware: Folder::new(config.data_dir.join("firmware")),
            tokens,
            anonymous: anonymous(&config),
            is_local_only: config.is_local_only(),
            serves_set_up: config.serves_set_up(),
            local_key: Some(local_key),
            jwt,
            sign_on: sign_on.map(Arc::new),
            public_url: config.public_url.clone(),
            weather: WeatherSettings::of(&config),
            sensor_data_device: config.sensor_data_device.0.clone(),
            tls: tls.clone(),
            seal: Arc::clone(&seal),
            workers: std::thread::available_parallelism().map_or(1, usize::from),
        };
        if let Err(error) =
            firmware::tidy(&hub.of(Caller::Program, Source::Hub), &web_settings.firmware).await
        {
            warn!(%error, "could not search for the remains of broken uploads");
        }
        let web = WebState::new(Arc::clone(&hub), Arc::clone(&link), info, &web_settings);
        if let Some(requests) = hub.pairing.requests.take() {
            actix_rt::spawn(over_mqtt::answer_all(web.clone(), requests));
        }
        let server = match http::serve(listener, &web, &web_settings) {
            Ok((server, _)) => server,
            Err(source) => {
                link.close().await;
                return Err(close(&hub, &store, StartError::Serve(source)).await);
            }
        };
        let handle = server.handle();
        actix_rt::spawn(server);
        if let Some(tls) = &tls {
            actix_rt::spawn(ServerTls::watch(Arc::downgrade(tls)));
        }

        let mqtt = listens.map(tracing::field::display);
        let mqtts = over_tls.map(tracing::field::display);
        info!(%http, mqtt, mqtts, version = env!("CARGO_PKG_VERSION"), "serving");
        dialects::tell(&hub, &config.dialect_access);
        environment::tell(&config.foreign);
        environment.tell();
        let notices = environment::line(&config.foreign) + &dialects::line(&config.dialect_access);
        let largest_payload = largest_payload(&config);
        // The environment may have named the first user.
        let set_up = hub.take_set_up_token().filter(|_| !hub.directory.has_users());
        let broker_files = broker_files.map(|files| {
            broker_files::follow(
                Arc::clone(&hub),
                Arc::clone(&store),
                files,
                config.mosquitto_pid_file.clone(),
            )
        });
        let certificates = tls
            .as_ref()
            .map(|tls| certificate_watch::watch(Arc::clone(&hub), Arc::clone(&store), Arc::clone(tls)));
        let backups = backups.map(|schedule| schedule.follow(Arc::clone(&hub)));
        let disk = disk_watch::watch(Arc::clone(&hub), Arc::clone(&store), web.clone(), &config);
        let data_dir = std::path::absolute(&config.data_dir).unwrap_or(config.data_dir);
        Ok(RunningHub {
            http,
            mqtt: listens,
            mqtt_over_tls: over_tls,
            hub,
            link,
            web,
            server: handle,
            largest_payload,
            tls,
            data_dir,
            lan: config.lan,
            notices,
            set_up,
            local_key: local_key_file,
            tasks: broker_files.into_iter().chain(certificates).chain(backups).chain([disk]).collect(),
            locks,
            store,
        })
    }
}

impl RunningHub {
    /// Lets hold what of `config` can change while the hub runs.
    pub(crate) fn change(&self, config: &Config) {
        let Self { hub, store, http, mqtt, mqtt_over_tls, web, .. } = self;
        hub.ingress.treat_unknown(unknown_devices(config));
        hub.ingress.treat_anonymous(devices(config));
        hub.ingress.limit_payloads(config.mqtt_payload_limit.min(self.largest_payload));
        hub.counters.slow.log_from(config.slow_log);
        web.change(Policy::of(config, &web.info.public_url));
        store.keep(keeping(config));
        let listeners: Vec<_> = std::iter::once(*http).chain(*mqtt).chain(*mqtt_over_tls).collect();
        hub.confine_webhooks(destinations(config, &listeners));
    }
}

/// The way to the devices.
struct DeviceLink {
    link: Arc<dyn Link>,
    /// Where the embedded broker listens.
    listens: Option<SocketAddr>,
    /// The same for MQTT over TLS.
    over_tls: Option<SocketAddr>,
    /// Where devices connect to.
    host: String,
    port: u16,
    /// The same as a URL, without user and password.
    url: String,
}

async fn connect(
    config: &Config,
    hub: &Hub,
    store: Arc<SqlStore>,
    most_clients: usize,
    tls: Option<&Arc<ServerTls>>,
) -> Result<DeviceLink, StartError> {
    let intake = hub.ingress.clone();
    intake.limit_payloads(config.mqtt_payload_limit);
    match &config.mqtt {
        Mqtt::Embedded => {
            let usual = broker_settings(config, tls);
            let runs_on = runs_on(hub, usual.runs_on.clone());
            let settings = BrokerSettings { most_clients, runs_on, ..usual };
            let broker = EmbeddedBroker::start(
                &settings,
                intake,
                Arc::new(RetainedInStore(store)),
                Arc::clone(&hub.clock),
            )
            .await
            .map_err(|error| StartError::of_broker(error, config.mqtt_over_tls()))?;
            let (address, over_tls) = (broker.local_addr(), broker.local_tls_addr());
            let (host, port) = (address.ip().to_string(), address.port());
            let url = format!("mqtt://{address}");
            Ok(DeviceLink { link: broker, listens: Some(address), over_tls, host, port, url })
        }
        Mqtt::Broker(address) => {
            let instance = instance::name(&config.data_dir)
                .map_err(|source| StartError::DataDir { path: config.data_dir.clone(), source })?;
            let (host, port, url) = (address.host.clone(), address.port, address.to_string());
            let largest_payload = config.mqtt_payload_limit;
            let usual = LinkSettings::new(address.clone(), &instance);
            let runs_on = runs_on(hub, usual.runs_on.clone());
            let link_settings = LinkSettings { largest_payload, runs_on, ..usual };
            let link = RumqttcLink::start(&link_settings, intake)?;
            Ok(DeviceLink { link, listens: None, over_tls: None, host, port, url })
        }
    }
}

/// The scheme of the addresses of what is served so.
pub(crate) fn scheme(over_tls: bool) -> &'static str {
    if over_tls { "https" } else { "http" }
}

/// The files of an outside Mosquitto, where the configuration names their folder.
fn broker_files(config: &Config) -> Result<Option<BrokerFiles>, StartError> {
    let Some(path) = &config.mosquitto_files else { return Ok(None) };
    let bad = |source| StartError::BrokerFiles { path: path.clone(), source };
    std::fs::read_dir(path).map_err(bad)?; // a misspelt path is told at once
    BrokerFiles::new(config, path.clone()).map(Some).map_err(|error| bad(std::io::Error::other(error)))
}

/// Closes what runs already, for a start that comes to nothing: what is under way in it ends before the runtime does.
async fn close(hub: &Hub, store: &SqlStore, error: impl Into<StartError>) -> StartError {
    hub.close().await;
    store.close().await;
    error.into()
}

/// Where devices find what listens on `address`. One that listens everywhere is found by the address that this
/// machine speaks from.
fn reachable(address: SocketAddr, over_tls: bool) -> String {
    let outward = || {
        let socket = UdpSocket::bind((if address.is_ipv4() { "0.0.0.0" } else { "::" }, 0)).ok()?;
        // Nothing is sent: only the way there is looked up.
        socket.connect(if address.is_ipv4() { ("192.0.2.1", 9) } else { ("2001:db8::1", 9) }).ok()?;
        socket.local_addr().ok().map(|local| SocketAddr::new(local.ip(), address.port()))
    };
    // A network that leads nowhere else has no way there.
    let inside = || {
        let fits = |ip: &IpAddr| !ip.is_loopback() && ip.is_ipv4() == address.is_ipv4();
        tls::addresses().into_iter().find(fits).map(|ip| SocketAddr::new(ip, address.port()))
    };
    let found = Some(address).filter(|address| !address.ip().is_unspecified());
    let found = found.or_else(outward).or_else(inside);
    format!("{}://{}", scheme(over_tls), found.unwrap_or(address))
}

fn listen(address: SocketAddr) -> Result<TcpListener, StartError> {
    TcpListener::bind(address).map_err(|source| match source.kind() {
        ErrorKind::AddrInUse => StartError::HttpTaken { address },
        _ => StartError::Listen { address, source },
    })
}

async fn open_store(config: &Config, seal: &Arc<Seal>) -> Result<Arc<SqlStore>, StartError> {
    let options =
        SqlOptions { keeping: keeping(config), seal: Some(Arc::clone(seal)), ..SqlOptions::default() };
    SqlStore::open(&config.database.url(), options)
        .await
        .map_err(|source| StartError::Store { database: config.database.to_string(), source })
}

/// The store of a hub that does not run, for the command line, which has its locks.
///
/// # Errors
/// The key or the database cannot be used.
pub(crate) async fn open_alone(config: &Config) -> Result<Arc<SqlStore>, StartError> {
    let seal = Arc::new(key::load(config.key_file.as_deref(), &config.data_dir)?);
    open_store(config, &seal).await
}

#[cfg(test)]
mod tests;

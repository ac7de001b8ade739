//! Mosquitto, the outside broker.

use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::Stdio;

use tempfile::TempDir;
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use super::{eventually, within};

/// A Mosquitto on a port of its own that queues without limits and keeps its sessions over a restart.
pub struct Mosquitto {
    child: Option<Child>,
    dir: TempDir,
    pub address: SocketAddr,
}

impl Mosquitto {
    /// Starts one. `tests/run` installs Mosquitto where it is missing.
    pub async fn start() -> Self {
        Self::with("max_inflight_messages 0\nmax_queued_messages 0\nmax_queued_bytes 0\n").await
    }

    /// Starts one that queues as little as one does that is installed and left alone; it says more often than that
    /// what it has dropped.
    pub async fn as_installed() -> Self {
        Self::with("sys_interval 1\n").await
    }

    /// Starts one with these lines in its configuration.
    pub async fn with(limits: &str) -> Self {
        let dir = TempDir::with_prefix("twinhub-mosquitto-").unwrap();
        let address = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
        let config = format!(
            "listener {} 127.0.0.1\nallow_anonymous true\nset_tcp_nodelay true\npersistence true\n\
             persistence_location {}/\nautosave_interval 0\n{limits}user root\nlog_dest stderr\nlog_type error\n",
            address.port(),
            dir.path().display(),
        );
        std::fs::write(dir.path().join("mosquitto.conf"), config).unwrap();
        let mut mosquitto = Self { child: None, dir, address };
        mosquitto.start_again().await;
        mosquitto
    }

    /// Starts it on the same port, with the sessions it had.
    pub async fn start_again(&mut self) {
        let places = ["/usr/sbin/mosquitto", "/usr/local/sbin/mosquitto", "/opt/homebrew/sbin/mosquitto"];
        let program = places.iter().find(|path| Path::new(path).exists()).expect("Mosquitto is installed");
        let child = Command::new(program)
            .arg("-c")
            .arg(self.dir.path().join("mosquitto.conf"))
            .stdin(Stdio::null())
            .stderr(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        self.child = Some(child);
        eventually("Mosquitto listens", async || TcpStream::connect(self.address).await.ok()).await;
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().and_then(Child::id).expect("it runs")
    }

    /// Ends it orderly, so that it writes its sessions down.
    pub async fn stop(&mut self) {
        let Some(mut child) = self.child.take() else { return };
        let pid = child.id().expect("it runs").to_string();
        assert!(Command::new("kill").args(["-TERM", &pid]).status().await.unwrap().success());
        within("Mosquitto ends", child.wait()).await.unwrap();
    }
}

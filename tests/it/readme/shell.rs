//! A newcomer's shell: the blocks' commands reach this test's hub, whatever ports it has.

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use tokio::process::Command;

use super::Block;
use crate::support::{HubProcess, within};

/// The start of each block. Commands that watch until Ctrl-C end with the first line that they print.
const PRELUDE: &str = r#"
set -euo pipefail
curl() {
    case " $* " in
        *' -N '*) grep -m 1 '^data:' < <(command curl --silent --fail "$@" 2> /dev/null) ;;
        *) command curl --silent --show-error --fail-with-body --max-time 60 "$@" ;;
    esac
}
mosquitto_pub() { command mosquitto_pub -p "$MQTT_PORT" "$@"; }
mosquitto_rr() { command mosquitto_rr -p "$MQTT_PORT" -W 60 "$@"; }
mosquitto_sub() { command mosquitto_sub -p "$MQTT_PORT" -W 60 "$@"; }
twinhub() { "$TWINHUB" "$@"; }
"#;

pub struct Shell {
    folder: PathBuf,
    http: String,
    mqtt_port: String,
}

impl Shell {
    /// Runs blocks in `folder`, against `hub`.
    pub fn new(folder: &Path, hub: &HubProcess) -> Self {
        let mqtt_port = hub.mqtt.unwrap().port().to_string();
        Self { folder: folder.to_owned(), http: hub.http.to_string(), mqtt_port }
    }

    /// Runs `block` to its end, which must be a good one. What it printed.
    pub async fn run(&self, block: &Block) -> String {
        let text = block.text.replace("127.0.0.1:8080", &self.http);
        let output = self.finish(Command::new("bash").arg("-c").arg(format!("{PRELUDE}{text}"))).await;
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let complained = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{block}\nended with {}:\n{printed}\n{complained}", output.status);
        format!("{printed}{complained}")
    }

    /// `block` is Python that Python can read.
    pub async fn compiles(&self, block: &Block) {
        let code = "import sys; compile(sys.argv[1], 'README.md', 'exec')";
        let output = self.finish(Command::new("python3").args(["-c", code, &block.text])).await;
        assert!(output.status.success(), "{block}\n{}", String::from_utf8_lossy(&output.stderr));
    }

    async fn finish(&self, command: &mut Command) -> Output {
        command
            .current_dir(&self.folder)
            .env("TWINHUB", env!("CARGO_BIN_EXE_twinhub"))
            .env("TWINHUB_URL", format!("http://{}", self.http))
            .env("MQTT_PORT", &self.mqtt_port)
            .stdin(Stdio::null())
            .kill_on_drop(true);
        within("the block ends", command.output()).await.unwrap()
    }
}

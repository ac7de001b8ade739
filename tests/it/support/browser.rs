//! A real browser, driven over its DevTools protocol: a test waits for what a page shows, in the page's own time.

use std::process::Stdio;

use futures_util::{SinkExt as _, StreamExt as _};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use super::{PATIENCE, within};

/// Debian calls it `chromium`, others `google-chrome`.
const BROWSERS: [&str; 3] = ["/usr/bin/chromium", "/usr/bin/chromium-browser", "/usr/bin/google-chrome"];
/// The text that a reader of the page sees.
const READ: &str = r"(document.body?.innerText ?? '').replaceAll('\u200b', '')";
/// The code of an error for a call that a page could not answer, because it went to another document.
const LEFT: i64 = -32_000;

/// A browser with one page open.
pub struct Browser {
    socket: WebSocketStream<TcpStream>,
    /// The page's, for calls to it.
    session: String,
    last_call: u64,
    /// The events that came while an answer was waited for.
    events: Vec<Value>,
    _child: Child,
    _profile: TempDir,
}

impl Browser {
    /// Starts a browser, opens `url` and waits until it is loaded. `tests/run` installs a browser where it is missing.
    pub async fn open(url: &str) -> Self {
        let program = BROWSERS.into_iter().find(|path| std::path::Path::new(path).exists());
        let profile = TempDir::with_prefix("twinhub-page-").unwrap();
        let mut child = Command::new(program.expect("a browser is installed; tests/run sees to it"))
            .args(["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"])
            .args(["--disable-background-networking", "--disable-component-update", "--disable-sync"])
            .arg(format!("--user-data-dir={}", profile.path().display()))
            .arg("--remote-debugging-port=0")
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap();
        let socket = within("a browser that takes calls", connect(&mut child)).await;
        let (session, events) = (String::new(), Vec::new());
        let mut browser = Self { socket, session, last_call: 0, events, _child: child, _profile: profile };
        browser.attach().await;
        browser.load(url).await;
        browser
    }

    /// Waits until a reader of the page sees each of these texts; a place where a line may break is none. The page
    /// itself looks, at every change of its document.
    ///
    /// # Panics
    /// After [`PATIENCE`], naming the text and all that the page shows instead.
    pub async fn shows(&mut self, texts: &[&str]) {
        for text in texts {
            let wait = format!(
                "new Promise((resolve) => {{
                    const watch = new MutationObserver(look);
                    function look() {{
                        if (!{READ}.includes({})) return;
                        watch.disconnect();
                        resolve();
                    }}
                    watch.observe(document, {{
                        subtree: true, childList: true, characterData: true, attributes: true
                    }});
                    look();
                }})",
                json!(text)
            );
            if tokio::time::timeout(PATIENCE, self.evaluate(&wait)).await.is_err() {
                let found = within("the text of the page", self.evaluate(READ)).await;
                panic!("not within {PATIENCE:?}: the page shows `{text}`; it shows {found}");
            }
        }
    }

    /// Types a text into a field, by its id, as a person does: in the place of what is there.
    pub async fn fill(&mut self, id: &str, text: &str) {
        let select =
            format!("document.getElementById({0}).focus(), document.getElementById({0}).select()", json!(id));
        self.evaluate(&select).await;
        self.call("Input.insertText", json!({ "text": text })).await;
    }

    /// Presses what a selector finds.
    pub async fn press(&mut self, selector: &str) {
        self.evaluate(&format!("document.querySelector({}).click()", json!(selector))).await;
    }

    /// The value of an expression in the page, or what its promise comes to.
    pub async fn evaluate(&mut self, expression: &str) -> Value {
        let call = json!({ "expression": expression, "awaitPromise": true, "returnByValue": true });
        loop {
            match self.try_call("Runtime.evaluate", &call).await {
                Ok(mut answer) => {
                    assert!(answer.get("exceptionDetails").is_none(), "{expression}: {answer}");
                    return answer["result"]["value"].take();
                }
                Err(error) => assert_eq!(error["code"], LEFT, "{expression}: {error}"), // asked once more, of the next
            }
        }
    }

    /// Makes a page, still empty, to which calls go from now on.
    async fn attach(&mut self) {
        let attached = async {
            let page = self.call("Target.createTarget", json!({ "url": "about:blank" })).await;
            let attach = json!({ "targetId": page["targetId"], "flatten": true });
            self.call("Target.attachToTarget", attach).await["sessionId"].as_str().unwrap().to_owned()
        };
        self.session = within("a page in the browser", attached).await;
    }

    /// Goes to `url`, and waits until that very document is loaded.
    pub async fn load(&mut self, url: &str) {
        let loaded = async {
            self.call("Page.enable", json!({})).await;
            self.call("Page.setLifecycleEventsEnabled", json!({ "enabled": true })).await;
            let document = self.call("Page.navigate", json!({ "url": url })).await;
            assert!(document.get("errorText").is_none(), "{url}: {document}");
            let is_loaded = |event: &Value| {
                let about = &event["params"];
                event["method"] == "Page.lifecycleEvent"
                    && (&about["name"], &about["loaderId"]) == (&json!("load"), &document["loaderId"])
            };
            while !self.events.iter().any(is_loaded) {
                let event = self.next().await;
                self.events.push(event);
            }
        };
        within(&format!("{url} is loaded"), loaded).await;
    }

    /// Asks the browser, or its page once there is one, and waits for the answer. May be given up half way.
    async fn call(&mut self, method: &str, params: Value) -> Value {
        self.try_call(method, &params).await.unwrap_or_else(|error| panic!("{method}: {error}"))
    }

    /// The same where it may be refused.
    async fn try_call(&mut self, method: &str, params: &Value) -> Result<Value, Value> {
        self.last_call += 1;
        let id = self.last_call;
        let mut call = json!({ "id": id, "method": method, "params": params });
        if !self.session.is_empty() {
            call["sessionId"] = json!(self.session);
        }
        self.socket.send(Message::text(call.to_string())).await.unwrap();
        loop {
            let mut said = self.next().await;
            if said["id"] == id {
                return match said.get_mut("error") {
                    Some(error) => Err(error.take()),
                    None => Ok(said["result"].take()),
                };
            }
            self.events.push(said);
        }
    }

    /// The browser's next message.
    async fn next(&mut self) -> Value {
        loop {
            let frame = self.socket.next().await.expect("the browser lives").unwrap();
            if let Message::Text(text) = frame {
                return serde_json::from_str(&text).unwrap();
            }
        }
    }
}

/// Connects to a browser that has just been started, once it says where.
async fn connect(child: &mut Child) -> WebSocketStream<TcpStream> {
    let mut lines = BufReader::new(child.stderr.take().unwrap()).lines();
    let mut said = Vec::new();
    let url = loop {
        let Some(line) = lines.next_line().await.unwrap() else {
            panic!("the browser ended instead of listening: {said:#?}");
        };
        if let Some(url) = line.strip_prefix("DevTools listening on ") {
            break url.to_owned();
        }
        said.push(line);
    };
    // Whatever else it has to say is read, so that it never waits for a reader; the test has no use for it.
    tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
    let address = url.strip_prefix("ws://").and_then(|rest| rest.split('/').next()).unwrap();
    let stream = TcpStream::connect(address).await.unwrap();
    client_async(&url, stream).await.unwrap().0
}

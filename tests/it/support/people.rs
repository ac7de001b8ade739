//! People who have signed in.

use reqwest::{Method, Response};
use reqwest_middleware::RequestBuilder;
use serde_json::{Value, json};

use super::HubProcess;

/// The password of everybody in these tests.
pub const PASSWORD: &str = "green horses jump";

/// Somebody with a session.
pub struct Person {
    /// `twinhub_8080=…`, as a browser sends it.
    pub cookie: String,
    origin: String,
}

impl Person {
    /// The first user of a hub, an admin.
    pub async fn first(hub: &HubProcess, name: &str) -> Self {
        let made = hub.post("/api/auth/register", &json!({ "name": name, "password": PASSWORD })).await;
        Self::of(hub, made, 201).await
    }

    /// The first user of a hub, by its link.
    pub async fn set_up(hub: &HubProcess, user: &Value) -> Self {
        Self::of(hub, hub.post("/api/auth/setup", user).await, 201).await
    }

    /// A user who signs in.
    pub async fn sign_in(hub: &HubProcess, name: &str) -> Self {
        let answer = hub.post("/api/auth/login", &json!({ "name": name, "password": PASSWORD })).await;
        Self::of(hub, answer, 200).await
    }

    /// Makes another user, who signs in.
    pub async fn add(&self, hub: &HubProcess, name: &str, role: &str) -> Self {
        let user = json!({ "name": name, "role": role, "password": PASSWORD });
        let made = self.send(hub, Method::POST, "/api/users", &user).await;
        assert_eq!(made.status(), 201, "{}", made.text().await.unwrap());
        Self::sign_in(hub, name).await
    }

    async fn of(hub: &HubProcess, answer: Response, expected: u16) -> Self {
        let cookie = answer.headers().get("set-cookie").map(|cookie| cookie.to_str().unwrap().to_owned());
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert_eq!(status, expected, "{text}");
        let cookie = cookie.unwrap().split(';').next().unwrap().to_owned();
        Self { cookie, origin: format!("{}://{}", hub.scheme, hub.http) }
    }

    /// Somebody who has this session.
    pub fn with_session(hub: &HubProcess, session: &str) -> Self {
        let cookie = format!("twinhub_{}={session}", hub.http.port());
        Self { cookie, origin: format!("http://{}", hub.http) }
    }

    /// A request from a page of the hub in their browser.
    pub fn request(&self, hub: &HubProcess, method: Method, path: &str) -> RequestBuilder {
        hub.request(method, path).header("Cookie", &self.cookie).header("Origin", &self.origin)
    }

    pub async fn get(&self, hub: &HubProcess, path: &str) -> Response {
        self.request(hub, Method::GET, path).send().await.unwrap()
    }

    /// A GET that must succeed.
    pub async fn json(&self, hub: &HubProcess, path: &str) -> Value {
        let answer = self.get(hub, path).await;
        let (status, text) = (answer.status(), answer.text().await.unwrap());
        assert!(status.is_success(), "GET {path}: {status} {text}");
        serde_json::from_str(&text).unwrap()
    }

    pub async fn send(&self, hub: &HubProcess, method: Method, path: &str, body: &Value) -> Response {
        self.request(hub, method, path).json(body).send().await.unwrap()
    }

    /// Makes a key of their own; its secret and its id.
    pub async fn make_key(&self, hub: &HubProcess, role: &str) -> (String, String) {
        let made =
            self.send(hub, Method::POST, "/api/auth/keys", &json!({ "name": "k", "role": role })).await;
        assert_eq!(made.status(), 201);
        let key: Value = made.json().await.unwrap();
        (key["secret"].as_str().unwrap().to_owned(), key["id"].as_str().unwrap().to_owned())
    }
}

/// The status of an answer and the stable word in it.
pub async fn told(answer: Response) -> (u16, String) {
    let status = answer.status().as_u16();
    let problem: Value = serde_json::from_str(&answer.text().await.unwrap()).unwrap_or_default();
    (status, problem["code"].as_str().unwrap_or_default().to_owned())
}

/// A GET with a bearer token.
pub async fn get_with(hub: &HubProcess, token: &str, path: &str) -> (u16, String) {
    told(hub.request(Method::GET, path).bearer_auth(token).send().await.unwrap()).await
}

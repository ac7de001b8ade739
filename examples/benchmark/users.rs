//! Users of a hub under measurement, and what they send to show who they are.

use anyhow::{Context as _, Result, ensure};
use reqwest::{Method, Response};
use serde_json::{Value, json};

use crate::program::HubProgram;

const PASSWORD: &str = "green horses jump";

/// A user who has signed in.
pub struct UserSession {
    /// `twinhub_8080=…`
    cookie: String,
}

impl UserSession {
    /// Makes the first user of a hub, an admin.
    pub async fn first(hub: &HubProgram, name: &str) -> Result<Self> {
        Self::of(post(hub, "/api/auth/register", &json!({ "name": name, "password": PASSWORD })).await?)
    }

    /// Makes a viewer with a scope, who signs in.
    pub async fn add_viewer(&self, hub: &HubProgram, name: &str, scope: &Value) -> Result<Self> {
        let user = json!({ "name": name, "role": "viewer", "password": PASSWORD, "scope": scope });
        self.post(hub, "/api/users", &user).await?;
        Self::of(post(hub, "/api/auth/login", &json!({ "name": name, "password": PASSWORD })).await?)
    }

    fn of(answer: Response) -> Result<Self> {
        let status = answer.status();
        ensure!(status.is_success(), "a sign-in was answered {status}");
        let cookie = answer.headers().get("set-cookie").context("a sign-in sets a cookie")?.to_str()?;
        Ok(Self { cookie: cookie.split(';').next().unwrap_or_default().to_owned() })
    }

    /// The line of a request's head that says who asks.
    pub fn credential(&self) -> String {
        format!("Cookie: {}", self.cookie)
    }

    /// A request that must succeed; its answer.
    pub async fn post(&self, hub: &HubProgram, path: &str, body: &Value) -> Result<Value> {
        let request = hub.request(Method::POST, path).json(body);
        let request = request.header("Cookie", &self.cookie).header("Origin", hub.url(""));
        Ok(request.send().await?.error_for_status()?.json().await?)
    }

    /// The total number of things in a list.
    pub async fn total(&self, hub: &HubProgram, path: &str) -> Result<u64> {
        let answer = hub.request(Method::GET, path).header("Cookie", &self.cookie).send().await?;
        let answer = answer.error_for_status()?;
        let total = answer.headers().get("X-Total-Count").context("a list says how many there are")?;
        Ok(total.to_str()?.parse()?)
    }
}

async fn post(hub: &HubProgram, path: &str, body: &Value) -> Result<Response> {
    Ok(hub.request(Method::POST, path).json(body).send().await?)
}

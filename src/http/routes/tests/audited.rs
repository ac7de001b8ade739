//! Every route that changes something or hands out a file, and the entry that it leaves in the audit. A route without a
//! row fails. The words in the place of an action:
//!
//! | word | the route |
//! |---|---|
//! | `event` | changes what devices do: the event is in the history, with its cause |
//! | `accounts` | leaves an entry, as the tests of the accounts show |
//! | `rollouts` | leaves an entry where the job is a roll-out |
//! | `nothing` | changes nothing that stays |

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;
use twinhub_access::Role;
use twinhub_actors::messages::accounts::{AuditFilter, ListAudit};
use twinhub_actors::messages::audit::FlushAudit;

use super::roles::session;
use super::*;

/// Rows `METHOD path word`, and where it is asked the address and the body, in the order in which they are asked. `$id` is
/// the id in the answer before it, `$image` and `$job` are those of the roll-out.
const TABLE: &str = include_str!("audited.txt");
/// Reads that hand out everything at once.
const HANDS_OUT: &str = "/export";

/// The place of the last entry, and the actions since `since` with their callers and targets.
async fn since(state: &WebState, since: u64) -> (u64, Vec<(String, String, String)>) {
    let grant = state.hub().of(twinhub_actors::access::Caller::Program, twinhub_domain::cause::Source::Rest);
    let (reply, flushed) = tokio::sync::oneshot::channel();
    grant.ask(FlushAudit { reply }).await.unwrap();
    flushed.await.unwrap();
    let query =
        AuditFilter { since: Some(since), oldest_first: true, limit: 1_000, ..AuditFilter::default() };
    let records = grant.change(|reply| ListAudit { query, reply }).await.unwrap().unwrap();
    let last = records.last().map_or(since, |record| record.seq);
    let entries = records.into_iter().map(|record| record.entry);
    (last, entries.map(|e| (e.action.to_string(), e.who.into(), e.target.into())).collect())
}

#[actix_web::test]
async fn each_change_leaves_its_entry_in_the_audit() {
    let folder = TempDir::new().unwrap();
    let state = state(&folder, AnonymousAccess::until_set_up()).await;
    let app =
        init_service(App::new().configure(|config| crate::http::configure(config, state.clone()))).await;
    let cookie = format!("{}={}", state.cookie, session(&state, Role::Admin).await);
    let (mut seq, _) = since(&state, 0).await;
    let mut changing: BTreeSet<(String, String)> = BTreeSet::new();
    for operation in all_operations() {
        let method = operation.method.allow().split(',').next().unwrap().to_owned();
        if method != "GET" || operation.path.ends_with(HANDS_OUT) {
            changing.insert((method, operation.path));
        }
    }
    let (mut ids, mut wrong) = (BTreeMap::<&str, String>::new(), Vec::new());
    for line in TABLE.lines() {
        let mut cells = line.splitn(3, char::is_whitespace);
        let method = cells.next().unwrap();
        let rest = line[method.len()..].trim_start();
        let mut cells = rest.splitn(4, ' ');
        let (path, word) = (cells.next().unwrap(), cells.next().unwrap());
        assert!(
            changing.remove(&(method.into(), path.into())),
            "{method} {path} is no route, or has two rows"
        );
        let Some(uri) = cells.next() else { continue };
        let uri = ids.iter().fold(uri.to_owned(), |uri, (name, id)| uri.replace(name, id));
        let body = cells.next().unwrap_or_default();
        let mut asked = TestRequest::with_uri(&uri)
            .method(http::Method::from_bytes(method.as_bytes()).unwrap())
            .insert_header(("Cookie", cookie.clone()))
            .insert_header(("Sec-Fetch-Site", "same-origin"))
            .set_payload(body.to_owned());
        if body.starts_with('{') {
            asked = asked.insert_header(("Content-Type", "application/json"));
        }
        let response = within(&uri, try_call_service(&app, asked.to_request())).await.unwrap();
        let status = response.status();
        let text = within(&uri, actix_web::test::read_body(response)).await;
        assert!(status.is_success(), "{method} {uri}: {status} {}", String::from_utf8_lossy(&text));
        if let Some(id) =
            serde_json::from_slice::<Value>(&text).ok().and_then(|v| Some(v["id"].as_str()?.to_owned()))
        {
            match path {
                "/api/firmware" => drop(ids.insert("$image", id.clone())),
                "/api/devices/bulk" => drop(ids.insert("$job", id.clone())),
                _ => {}
            }
            ids.insert("$id", id);
        }
        let (last, entries) = since(&state, seq).await;
        seq = last;
        let expected: &[&str] = if word.contains('.') { &[word] } else { &[] };
        let found: Vec<&str> = entries.iter().map(|(action, ..)| &**action).collect();
        if found != expected
            || entries.iter().any(|(_, who, target)| who != "user:the-admin" || target.is_empty())
        {
            wrong.push(format!("{method} {uri}: {entries:?}, and the table says {word}"));
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
    assert!(changing.is_empty(), "these have no row: {changing:?}");
}

//! Rows that hold secrets or may (users, rules, templates, requests outward) are sealed with the hub's key, so that a copy of the
//! database alone reveals none of them.

use std::borrow::Cow;
use std::time::Duration;

use sea_orm::sea_query::Value;
use sea_orm::{
    ActiveModelBehavior, ActiveModelTrait, ColumnTrait, Condition, ConnectionTrait, Database,
    DatabaseConnection, EntityTrait, IntoActiveModel, ModelTrait, QueryFilter, QueryOrder, QuerySelect,
    TransactionTrait,
};

use super::entities::{delivery, device, fleet, meta, rule, user};
use super::rows::failed;
use super::{SqlStore, devices, head, sqlite, write};
use crate::StoreError;
use crate::seal::{Seal, TokenKeys, open};
use twinhub_domain::DeviceNumber;
use twinhub_domain::fleet::RecordKind;
use twinhub_domain::twin::fields::CLAIM_CODE_HASH;

const SEAL: &str = "seal secrets";
/// Rows that are sealed in one transaction.
const AT_ONCE: u64 = 500;
/// Tokens that are looked at together.
const TOKENS_AT_ONCE: u64 = 10_000;
/// Twins that are looked at together.
const TWINS_AT_ONCE: usize = 500;

impl SqlStore {
    /// The text as it is written.
    pub(super) fn sealed(&self, text: String) -> Result<String, StoreError> {
        match &self.seal {
            Some(seal) if !text.is_empty() => seal.seal(&text).map_err(bad),
            _ => Ok(text),
        }
    }

    /// The text as it was before it was written.
    pub(super) fn opened<'a>(&self, text: &'a str) -> Result<Cow<'a, str>, StoreError> {
        open(self.seal.as_deref(), text).map_err(bad)
    }

    /// The keys that the tokens of devices and their claim codes are stored under. The keys of people and programs, and
    /// those that are bound to one purpose, are stored without a key of the hub.
    ///
    /// # Errors
    /// The database cannot be read.
    pub async fn token_keys(&self) -> Result<TokenKeys, StoreError> {
        token_keys(self).await
    }
}

fn bad(error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged { operation: SEAL, detail: error.to_string() }
}

/// Checks that the database was sealed with no key that `seal` lacks, and has all rows sealed with the newest one:
/// those that were written before there was a key, and those that an older one has sealed. Broken off in its midst, it
/// goes on at the next start.
pub async fn seal_rows(url: &str, busy_timeout: Duration, seal: &Seal) -> Result<(), StoreError> {
    // A connection of its own: on it what is written over is wiped.
    let sql = Database::connect(sqlite::writer(url, busy_timeout)).await.map_err(failed(SEAL))?;
    let found = check_key(&sql, seal).await?;
    sql.execute_unprepared("PRAGMA secure_delete = ON").await.map_err(failed(SEAL))?;
    let any = Condition::all;
    let templates = any().add(fleet::Column::Kind.eq(RecordKind::Template.as_str()));
    let rules = reseal(&sql, seal, rule::Entity, rule::Column::Body, any()).await?;
    let templates = reseal(&sql, seal, fleet::Entity, fleet::Column::Body, templates).await?;
    let users = reseal(&sql, seal, user::Entity, user::Column::Body, any()).await?;
    let deliveries = reseal(&sql, seal, delivery::Entity, delivery::Column::Body, any()).await?;
    if rules + templates + users + deliveries > 0 {
        tracing::info!(rules, templates, users, deliveries, "sealed rows with the hub's newest key");
        // The log before the pages still has them as they were.
        sql.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await.map_err(failed(SEAL))?;
    }
    // Last: until here the key of before is needed.
    if found != Some(seal.check()) {
        let turn = sql.begin().await.map_err(failed(SEAL))?;
        write::meta(&turn, meta::KEY_CHECK, seal.check()).await?;
        turn.commit().await.map_err(failed(SEAL))?;
    }
    sql.close().await.map_err(failed(SEAL))
}

/// Checks that the database was sealed with no key that `seal` lacks, and gives the number of the one that it was
/// sealed with.
pub async fn check_key(sql: &impl ConnectionTrait, seal: &Seal) -> Result<Option<i64>, StoreError> {
    let found = head::meta_value(sql, meta::KEY_CHECK).await?;
    if found.is_some_and(|check| !seal.knows(check)) {
        return Err(bad(
            "the database was sealed with another key: start with the one that it had (`secret.key`)",
        ));
    }
    Ok(found)
}

/// Seals the rows of a table that are not sealed with the newest key, and says how many these were.
async fn reseal<E>(
    sql: &DatabaseConnection,
    seal: &Seal,
    _table: E,
    body: E::Column,
    rows: Condition,
) -> Result<u64, StoreError>
where
    E: EntityTrait,
    E::Model: IntoActiveModel<E::ActiveModel> + Sync,
    E::ActiveModel: ActiveModelBehavior + Send,
{
    let newest = format!("{}%", seal.newest_mark());
    let rows = rows.add(body.ne("")).add(body.not_like(newest));
    let mut done = 0;
    loop {
        let some = E::find().filter(rows.clone()).limit(AT_ONCE).all(sql).await.map_err(failed(SEAL))?;
        if some.is_empty() {
            return Ok(done);
        }
        let turn = sql.begin().await.map_err(failed(SEAL))?;
        for row in some {
            let Value::String(Some(text)) = row.get(body) else {
                return Err(bad("the column with sealed texts has none"));
            };
            let sealed = seal.seal(&open(Some(seal), &text).map_err(bad)?).map_err(bad)?;
            let mut row = row.into_active_model();
            row.set(body, sealed.into());
            row.update(&turn).await.map_err(failed(SEAL))?;
            done += 1;
        }
        turn.commit().await.map_err(failed(SEAL))?;
    }
}

/// See [`SqlStore::token_keys`].
async fn token_keys(store: &SqlStore) -> Result<TokenKeys, StoreError> {
    let mut found = TokenKeys::default();
    let mut after = i64::MIN;
    loop {
        let rows: Vec<(i64, bool, String, String)> = device::Entity::find()
            .select_only()
            .columns([
                device::Column::Number,
                device::Column::Claimed,
                device::Column::TokenHash,
                device::Column::OldTokenHash,
            ])
            .filter(device::Column::Number.gt(after))
            .order_by_asc(device::Column::Number)
            .limit(TOKENS_AT_ONCE)
            .into_tuple()
            .all(&store.readers)
            .await
            .map_err(failed("look at tokens"))?;
        let Some((last, ..)) = rows.last() else { return Ok(found) };
        after = *last;
        let (claimed, unclaimed): (Vec<_>, Vec<_>) = rows.into_iter().partition(|(_, claimed, ..)| *claimed);
        for (_, _, token, old_token) in &claimed {
            found.add([token.as_str(), old_token.as_str()]);
        }
        // A claim code has no column: few devices have one, and none that is somebody's needs it.
        let unclaimed: Vec<_> = unclaimed.into_iter().map(|(number, ..)| DeviceNumber(number)).collect();
        for some in unclaimed.chunks(TWINS_AT_ONCE) {
            for twin in devices::twins(store, some).await? {
                let code = twin.profile.text(CLAIM_CODE_HASH);
                found.add(twin.profile.token_hashes().chain([code]));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, BTreeSet};
    use std::sync::Arc;

    use tempfile::TempDir;
    use twinhub_domain::twin::TokenChange;
    use twinhub_domain::{Input, Timestamp};

    use super::*;
    use crate::contract::samples;
    use crate::contract::support::{NOON, TestFleet, object};
    use crate::seal::{TokenKey, is_sealed, plain_token};
    use crate::{FleetRecord, SqlOptions, SqlStore, Store as _, UserStore as _};

    async fn open(folder: &TempDir, seal: Option<Arc<Seal>>) -> Result<Arc<SqlStore>, StoreError> {
        let url = format!("sqlite:{}", folder.path().join("twinhub.db").display());
        SqlStore::open(&url, SqlOptions { seal, ..SqlOptions::default() }).await
    }

    /// The content of the tables, by table and id.
    fn written(folder: &TempDir) -> BTreeMap<String, String> {
        let sql = rusqlite::Connection::open(folder.path().join("twinhub.db")).unwrap();
        let all = "SELECT 'rule ' || id, body FROM rules UNION ALL SELECT 'fleet ' || id, body FROM fleet
                   UNION ALL SELECT 'delivery ' || hex(id), body FROM deliveries
                   UNION ALL SELECT 'user ' || name_key, body FROM users";
        let mut rows = sql.prepare(all).unwrap();
        let rows = rows.query_map([], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        rows.map(Result::unwrap).collect()
    }

    /// Each kind alone, and with rows of the others that are sealed already; a sealed row is not sealed once more.
    #[tokio::test]
    async fn what_is_kept_in_clear_is_sealed_once_whatever_kind_it_is_of() {
        let each = [&["rule"][..], &["template"], &["delivery"], &["user"]];
        for kinds in each.into_iter().chain([&["rule", "template", "delivery", "user"][..]]) {
            let (folder, seal) = (TempDir::new().unwrap(), Arc::new(Seal::new(&[7; 32])));
            let store = open(&folder, None).await.unwrap();
            let mut world = TestFleet::new();
            for kind in kinds {
                match *kind {
                    "rule" => {
                        let rule = samples::record("cool", Some(r#"{"a": 1}"#), Some(true));
                        world.automation.rules.push(rule);
                    }
                    "delivery" => world.automation.deliveries.push(samples::delivery(1, samples::run_id(1))),
                    "user" => {
                        store.put_user(&samples::user(1, "ann"), &[]).await.unwrap();
                    }
                    _ => world.fleet.records.push(FleetRecord {
                        kind: RecordKind::Template,
                        id: "pump".into(),
                        body: Some(object(r#"{"a": 1}"#)),
                        updated_at: Timestamp::from_millis(NOON),
                    }),
                }
            }
            store.commit(&mut world.batch()).await.unwrap();
            drop(store);
            assert!(written(&folder).values().all(|body| body.starts_with('{')), "{kinds:?}");

            drop(open(&folder, Some(Arc::clone(&seal))).await.unwrap());
            let sealed = written(&folder);
            assert_eq!(sealed.len(), kinds.len());
            assert!(sealed.values().all(|body| is_sealed(body)), "{sealed:?}");
            let store = open(&folder, Some(seal)).await.unwrap();
            assert_eq!(written(&folder), sealed, "{kinds:?}");
            let rules = store.automation().await.unwrap().rules;
            assert!(rules.iter().all(|rule| rule.body == Some(object(r#"{"a": 1}"#))), "{rules:?}");
            let users = store.users().await.unwrap();
            assert!(users.iter().all(|user| *user == samples::user(1, "ann")), "{users:?}");
            drop(store);

            let Err(error) = open(&folder, Some(Arc::new(Seal::new(&[8; 32])))).await else {
                panic!("another key opens it");
            };
            assert!(error.to_string().contains("another key"), "{error}");
        }
    }

    /// A new key seals what the one of before has sealed, once; broken off in its midst, it goes on at the next start.
    #[tokio::test]
    async fn a_new_key_seals_all_again_and_the_old_one_alone_opens_nothing_more() {
        let folder = TempDir::new().unwrap();
        let (old, both) = (Arc::new(Seal::new(&[7; 32])), Arc::new(Seal::of_keys(&[8; 32], &[[7; 32]])));
        let store = open(&folder, Some(Arc::clone(&old))).await.unwrap();
        let mut world = TestFleet::new();
        world.automation.rules.push(samples::record("cool", Some(r#"{"a": 1}"#), Some(true)));
        world.automation.rules.push(samples::record("in-a-file", None, Some(true)));
        world.automation.deliveries.push(samples::delivery(1, samples::run_id(1)));
        store.put_user(&samples::user(1, "ann"), &[]).await.unwrap();
        world.register("pump", &format!(r#"{{"token_hash": "{}"}}"#, old.token("t0ken")));
        store.commit(&mut world.batch()).await.unwrap();
        let key = TokenKey::Named(old.ids().next().unwrap());
        let expected = TokenKeys { keys: BTreeSet::from([key]), devices: 1 };
        assert_eq!(store.token_keys().await.unwrap(), expected);
        drop(store);
        // As if the change of keys had been broken off behind the first row.
        let again = both.seal(r#"{"a":1}"#).unwrap();
        let sql = rusqlite::Connection::open(folder.path().join("twinhub.db")).unwrap();
        sql.execute("UPDATE rules SET body = ?1 WHERE id = 'cool'", [&again]).unwrap();
        drop(sql);

        drop(open(&folder, Some(Arc::clone(&both))).await.unwrap());
        let sealed = written(&folder);
        assert_eq!(
            sealed.values().filter(|body| body.is_empty()).count(),
            1,
            "the rule in a file has no text"
        );
        assert!(
            sealed.values().all(|body| body.is_empty() || body.starts_with(&both.newest_mark())),
            "{sealed:?}"
        );
        assert_eq!(sealed["rule cool"], again, "not once more");
        let Err(error) = open(&folder, Some(old)).await else { panic!("the old key opens it") };
        assert!(error.to_string().contains("another key"), "{error}");
        let store = open(&folder, Some(Arc::new(Seal::new(&[8; 32])))).await.unwrap();
        assert_eq!(store.users().await.unwrap(), [samples::user(1, "ann")]);
        assert_eq!(written(&folder), sealed);
    }

    /// The token before the present one and claim codes need their keys, too, whether their devices are compacted or not.
    #[tokio::test]
    async fn all_that_is_shown_to_the_hub_needs_its_key() {
        let seals = [1, 2, 3].map(|byte| Seal::new(&[byte; 32]));
        let named = |seal: &Seal| TokenKey::Named(seal.ids().next().unwrap());
        let [first, second, third] = &seals;
        let folder = TempDir::new().unwrap();
        let store = open(&folder, None).await.unwrap();
        assert_eq!(store.token_keys().await.unwrap(), TokenKeys::default());
        let mut world = TestFleet::new();
        world.register("pump", &format!(r#"{{"token_hash": "{}"}}"#, first.token("t0ken")));
        world.register("fan", &format!(r#"{{"token_hash": "{}"}}"#, plain_token("t0ken of before")));
        let code = third.token("K7-42-XY");
        world.register("lamp", &format!(r#"{{"claimed": false, "claim_code_hash": "{code}"}}"#));
        world.register("bulb", "{}");
        let hash = second.token("another").into();
        let old_until = Some(world.now.plus_millis(60_000));
        let change = TokenChange::Make { hash, broker_hash: "".into(), old_until };
        world.input("pump", Input::SetToken(change));
        store.commit(&mut world.batch()).await.unwrap();
        let all = [named(first), named(second), named(third), TokenKey::Plain];
        let expected = TokenKeys { keys: BTreeSet::from(all), devices: 2 };
        assert_eq!(store.token_keys().await.unwrap(), expected);
        store.maintain(world.now).await.unwrap();
        assert_eq!(store.token_keys().await.unwrap(), expected, "compacted");

        world.input("pump", Input::SetToken(TokenChange::End));
        let claim = format!(r#"{{"name": "Mine", "claim_code": "{code}"}}"#);
        world.register("lamp", &claim);
        store.commit(&mut world.batch()).await.unwrap();
        let expected = TokenKeys { keys: BTreeSet::from([TokenKey::Plain]), devices: 0 };
        assert_eq!(store.token_keys().await.unwrap(), expected);
    }
}

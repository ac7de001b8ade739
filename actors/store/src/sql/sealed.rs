//! Rows that hold secrets or may (users, rules, templates, requests outward) are sealed with the hub's key, so that a copy of the
//! database alone reveals none of them.

use std::borrow::Cow;
use std::time::Duration;

use sea_orm::sea_query::{Expr, OnConflict};
use sea_orm::{ColumnTrait, ConnectionTrait, Database, EntityTrait, QueryFilter, TransactionTrait};

use super::entities::{delivery, fleet, meta, rule, user};
use super::rows::failed;
use super::{SqlStore, head, sqlite, write};
use crate::StoreError;
use crate::seal::{Seal, is_sealed, open};
use twinhub_domain::fleet::RecordKind;

const SEAL: &str = "seal secrets";
/// Rows that are sealed in one transaction.
const AT_ONCE: usize = 500;

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
}

fn bad(error: impl std::fmt::Display) -> StoreError {
    StoreError::Damaged { operation: SEAL, detail: error.to_string() }
}

/// Checks that the database was sealed with no other key, and seals rows that were written before there was one.
pub async fn seal_rows(url: &str, busy_timeout: Duration, seal: &Seal) -> Result<(), StoreError> {
    // A connection of its own: on it what is written over is wiped.
    let sql = Database::connect(sqlite::writer(url, busy_timeout)).await.map_err(failed(SEAL))?;
    match head::meta_value(&sql, meta::KEY_CHECK).await? {
        Some(check) if check == seal.check() => {}
        Some(_) => {
            let detail =
                "the database was sealed with another key: start with the one that it had (`secret.key`)";
            return Err(bad(detail));
        }
        None => {
            let row = meta::Model { name: meta::KEY_CHECK.to_owned(), value: seal.check() };
            let keep = OnConflict::column(meta::Column::Name).do_nothing().to_owned();
            let turn = sql.begin().await.map_err(failed(SEAL))?;
            write::insert(&turn, SEAL, vec![row], Some(keep)).await?;
            turn.commit().await.map_err(failed(SEAL))?;
        }
    }
    sql.execute_unprepared("PRAGMA secure_delete = ON").await.map_err(failed(SEAL))?;
    let clear = |text: &String| !text.is_empty() && !is_sealed(text);
    let rules = rule::Entity::find().all(&sql).await.map_err(failed(SEAL))?;
    let rules: Vec<_> = rules.into_iter().filter(|row| clear(&row.body)).collect();
    let of_templates = fleet::Column::Kind.eq(RecordKind::Template.as_str());
    let templates = fleet::Entity::find().filter(of_templates).all(&sql).await.map_err(failed(SEAL))?;
    let templates: Vec<_> = templates.into_iter().filter(|row| clear(&row.body)).collect();
    let in_clear = user::Column::Body.starts_with("{");
    let users = user::Entity::find().filter(in_clear).all(&sql).await.map_err(failed(SEAL))?;
    let in_clear = delivery::Column::Body.starts_with("{");
    let deliveries = delivery::Entity::find().filter(in_clear).all(&sql).await.map_err(failed(SEAL))?;
    if rules.is_empty() && templates.is_empty() && users.is_empty() && deliveries.is_empty() {
        return sql.close().await.map_err(failed(SEAL));
    }
    tracing::info!(
        rules = rules.len(),
        templates = templates.len(),
        users = users.len(),
        deliveries = deliveries.len(),
        "sealing rows that were in clear"
    );
    let turn = sql.begin().await.map_err(failed(SEAL))?;
    for row in rules {
        rule::Entity::update_many()
            .col_expr(rule::Column::Body, Expr::value(seal.seal(&row.body).map_err(bad)?))
            .filter(rule::Column::Id.eq(row.id))
            .exec(&turn)
            .await
            .map_err(failed(SEAL))?;
    }
    for row in templates {
        fleet::Entity::update_many()
            .col_expr(fleet::Column::Body, Expr::value(seal.seal(&row.body).map_err(bad)?))
            .filter(fleet::Column::Kind.eq(row.kind))
            .filter(fleet::Column::Id.eq(row.id))
            .exec(&turn)
            .await
            .map_err(failed(SEAL))?;
    }
    for row in users {
        user::Entity::update_many()
            .col_expr(user::Column::Body, Expr::value(seal.seal(&row.body).map_err(bad)?))
            .filter(user::Column::Id.eq(row.id))
            .exec(&turn)
            .await
            .map_err(failed(SEAL))?;
    }
    turn.commit().await.map_err(failed(SEAL))?;
    for some in deliveries.chunks(AT_ONCE) {
        let turn = sql.begin().await.map_err(failed(SEAL))?;
        for row in some {
            delivery::Entity::update_many()
                .col_expr(delivery::Column::Body, Expr::value(seal.seal(&row.body).map_err(bad)?))
                .filter(delivery::Column::Id.eq(row.id.clone()))
                .exec(&turn)
                .await
                .map_err(failed(SEAL))?;
        }
        turn.commit().await.map_err(failed(SEAL))?;
    }
    // The log before the pages still has them.
    sql.execute_unprepared("PRAGMA wal_checkpoint(TRUNCATE)").await.map_err(failed(SEAL))?;
    sql.close().await.map_err(failed(SEAL))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::sync::Arc;

    use tempfile::TempDir;
    use twinhub_domain::Timestamp;

    use super::*;
    use crate::contract::samples;
    use crate::contract::support::{NOON, TestFleet, object};
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
            store.commit(&world.batch()).await.unwrap();
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
}

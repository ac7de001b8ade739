//! Writes the columns of twins for lists.
//!
//! Every index that an update names costs a page of the log or two, changed or not, and most changes of a twin change
//! little in its columns for lists: a step of a command at most the time of its next deadline. So the row is read
//! first, which costs a look into pages at hand, and only the differences are written.

use std::collections::{HashMap, HashSet};

use sea_orm::sea_query::OnConflict;
use sea_orm::{ColumnTrait, EntityTrait, Iterable, QueryFilter};

use super::entities::{device, tag};
use super::rows::failed;
use super::write::{self, WriteSql};
use crate::{StoreError, select};
use twinhub_domain::{Json, Twin};

use device::Column as C;

const DEVICES: &str = "write devices";
const TAGS: &str = "write tags";

/// Columns that are written together; each set has the one before in it. These are in no index,
const WAITS: [C; 2] = [C::WakeAt, C::SilenceMs];
/// these in two: the changes by a message,
const HEARD: [C; 4] = [C::WakeAt, C::SilenceMs, C::LastSeen, C::UpdatedAt];
/// and these in four: the changes by steering a device, and by its coming and going.
const STEERED: [C; 7] =
    [C::WakeAt, C::SilenceMs, C::LastSeen, C::UpdatedAt, C::DriftingSince, C::Status, C::Mode];

/// Writes the columns for filters and order of lists.
pub async fn devices(sql: &impl WriteSql, devices: Vec<device::Model>) -> Result<(), StoreError> {
    let mut before = HashMap::with_capacity(devices.len());
    for some in devices.chunks(write::AT_ONCE) {
        let numbers = some.iter().map(|row| row.number);
        let rows = device::Entity::find().filter(C::Number.is_in(numbers)).all(sql.reads()).await;
        before.extend(rows.map_err(failed(DEVICES))?.into_iter().map(|row| (row.number, row)));
    }
    let (mut waits, mut heard, mut steered, mut whole) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for row in devices {
        let Some(mut known) = before.remove(&row.number) else {
            whole.push(row);
            continue;
        };
        if known == row {
            continue;
        }
        (known.wake_at, known.silence_ms) = (row.wake_at, row.silence_ms);
        if known == row {
            waits.push(row);
            continue;
        }
        (known.last_seen, known.updated_at) = (row.last_seen, row.updated_at);
        if known == row {
            heard.push(row);
            continue;
        }
        known.drifting_since = row.drifting_since;
        known.status.clone_from(&row.status);
        known.mode.clone_from(&row.mode);
        if known == row { steered.push(row) } else { whole.push(row) }
    }
    columns(sql, waits, WAITS).await?;
    columns(sql, heard, HEARD).await?;
    columns(sql, steered, STEERED).await?;
    columns(sql, whole, C::iter().filter(|column| !matches!(column, C::Number))).await
}

/// Writes the tags by which twins are found.
pub async fn tags(sql: &impl WriteSql, twins: &[(u64, &Twin)]) -> Result<(), StoreError> {
    let mut before: HashMap<i64, Vec<tag::Model>> = HashMap::new();
    for some in twins.chunks(write::AT_ONCE) {
        let numbers = some.iter().map(|(_, twin)| twin.number.0);
        let rows = tag::Entity::find().filter(tag::Column::Device.is_in(numbers)).all(sql.reads()).await;
        for row in rows.map_err(failed(TAGS))? {
            before.entry(row.device).or_default().push(row);
        }
    }
    let (mut gone, mut new) = (Vec::new(), Vec::new());
    for (_, twin) in twins {
        let now = tags_of(twin);
        let mut known = before.remove(&twin.number.0).unwrap_or_default();
        known.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        if known == now {
            continue;
        }
        if !known.is_empty() {
            gone.push(twin.number.0);
        }
        new.extend(now);
    }
    for some in gone.chunks(write::AT_ONCE) {
        let of_some = tag::Column::Device.is_in(some.iter().copied());
        sql.run(TAGS, tag::Entity::delete_many().filter(of_some)).await?;
    }
    write::insert(sql, TAGS, new, None).await
}

/// A row that is there takes over `columns`.
async fn columns(
    sql: &impl WriteSql,
    rows: Vec<device::Model>,
    columns: impl IntoIterator<Item = C>,
) -> Result<(), StoreError> {
    let overwrite = OnConflict::column(C::Number).update_columns(columns).to_owned();
    write::insert(sql, DEVICES, rows, Some(overwrite)).await
}

/// By name.
fn tags_of(twin: &Twin) -> Vec<tag::Model> {
    let device = twin.number.0;
    let mut names = HashSet::new();
    let tag = |(name, value): (&str, &Json)| {
        let value = select::tag_text(value)?;
        // Two names that begin alike for so long, or are typed in two forms, are one to the index.
        let name = select::alike(name).into_owned();
        names.insert(name.clone()).then_some(tag::Model { device, name, value })
    };
    let mut tags: Vec<tag::Model> = twin.setup.tags.iter().filter_map(tag).collect();
    tags.sort_unstable_by(|one, other| one.name.cmp(&other.name));
    tags
}

//! Shapes of groups.
#![expect(dead_code, reason = "described, never made")]

use std::collections::BTreeMap;

use utoipa::{IntoParams, ToSchema};

use crate::api::schema::Object;

/// A group, with counts of its devices.
#[derive(ToSchema)]
pub struct GroupItem {
    #[schema(example = "hall-2")]
    id: String,
    #[schema(example = "Hall 2")]
    name: String,
    description: String,
    /// The group above it; null at the top.
    #[schema(example = "plant")]
    parent_group: Option<String>,
    /// The id of the user whose group it is; left out where it is nobody's.
    #[schema(nullable = false)]
    owner_id: Option<String>,
    /// The ids from the top down to its own. Groups in `children` have none: their place shows it.
    #[schema(example = json!(["plant", "hall-2"]), nullable = false)]
    path: Option<Vec<String>>,
    tags: Object,
    #[schema(format = DateTime)]
    created_at: String,
    #[schema(format = DateTime)]
    updated_at: String,
    /// The number of devices directly in it: `devices.total`.
    device_count: u64,
    devices: DeviceCounts,
    /// The means of the latest readings of its devices, by name: of those that are numbers.
    #[schema(example = json!({"temperature": {"mean": 21.4, "count": 12}}))]
    readings: BTreeMap<String, MeanReading>,
    subtree: SubtreeCounts,
    /// With `tree=true`: the groups right under it, in the same form.
    #[schema(nullable = false, no_recursion)]
    children: Option<Vec<GroupItem>>,
}

/// The mean of a reading, and of how many devices.
#[derive(ToSchema)]
pub struct MeanReading {
    mean: f64,
    count: u64,
}

/// The number of devices, by status, mode and type.
#[derive(ToSchema)]
pub struct DeviceCounts {
    total: u64,
    #[schema(example = json!({"online": 10, "offline": 2}))]
    by_status: BTreeMap<String, u64>,
    #[schema(example = json!({"manual": 2, "schedule": 10}))]
    by_mode: BTreeMap<String, u64>,
    /// Devices without a type count as `""`.
    #[schema(example = json!({"pump": 8, "fan": 4}))]
    by_type: BTreeMap<String, u64>,
}

/// The contents of a group and of all groups under it.
#[derive(ToSchema)]
pub struct SubtreeCounts {
    /// Groups under it, at any depth.
    groups: u64,
    #[schema(inline)]
    #[serde(flatten)]
    devices: DeviceCounts,
    readings: BTreeMap<String, MeanReading>,
}

/// A query for groups.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub struct GroupListing {
    /// Only groups directly under this one.
    parent_group: Option<String>,
    /// Part of the id, name or description.
    q: Option<String>,
    /// Nested: groups at the top, or directly under `parent_group`, each with its `children`.
    tree: Option<bool>,
    /// From 1.
    page: Option<u64>,
    /// 20 by default, 1,000 at most.
    limit: Option<u64>,
}

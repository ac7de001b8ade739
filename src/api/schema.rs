//! What several resources' descriptions have in common.

/// Any JSON object.
pub struct Object;

//! What handlers take out of a request, each with an error that names what is wrong and where.

pub mod access;
pub(crate) mod body;
pub mod fields;
pub(crate) mod paging;
pub(crate) mod params;
pub(crate) mod precondition;
pub(crate) mod read;
pub(crate) mod steady;
pub(crate) mod words;

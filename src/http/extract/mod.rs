//! Extractors of requests, each with an error that names the wrong part and its place.

pub mod access;
pub(crate) mod body;
pub mod fields;
pub(crate) mod paging;
pub(crate) mod params;
pub(crate) mod precondition;
pub(crate) mod read;
pub(crate) mod upload_pace;
pub(crate) mod words;

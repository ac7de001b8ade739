//! stub
use crate::domain::{DeviceId, Input};
pub struct Decoded { pub device: DeviceId, pub input: Input }
#[derive(Debug, thiserror::Error)]
#[error("stub")]
pub struct DecodeError;
impl DecodeError { pub fn reason(&self) -> &'static str { "stub" } }
pub fn decode(_t: &str, _p: &[u8]) -> Result<Decoded, DecodeError> { Err(DecodeError) }

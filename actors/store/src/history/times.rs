//! Times as columns have them: milliseconds since the epoch, and the nanoseconds behind them. The only place here that
//! knows in which types events have them.

use crate::codec::CodecError;
use twinhub_domain::Timestamp;

/// A time in two numbers: milliseconds since the epoch, and nanoseconds below a million.
pub type SplitTime = (i64, u32);

/// The numbers of a time.
pub fn split(at: Timestamp) -> SplitTime {
    (at.millis(), 0)
}

/// The time of these numbers.
pub fn join(millis: i64, nanos: i64) -> Result<Timestamp, CodecError> {
    match nanos {
        0 => Ok(Timestamp::from_millis(millis)),
        _ => Err(CodecError::Nonsense("a time is finer than milliseconds")),
    }
}

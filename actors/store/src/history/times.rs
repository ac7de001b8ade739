//! Times as columns have them: milliseconds since the epoch, and the nanoseconds behind them. The only place here that
//! knows in which types events have them.

use crate::codec::CodecError;
use twinhub_domain::clock::NS_IN_MS;
use twinhub_domain::{ReadingTime, Timestamp};

/// A time in two numbers: milliseconds since the epoch, and nanoseconds below a million.
pub type SplitTime = (i64, u32);

/// The numbers of a time.
pub fn split(at: ReadingTime) -> SplitTime {
    (at.floor().millis(), at.nanos_behind())
}

/// The time of these numbers.
pub fn join(millis: i64, nanos: i64) -> Result<ReadingTime, CodecError> {
    match u32::try_from(nanos) {
        Ok(nanos) if nanos < NS_IN_MS => Ok(ReadingTime::new(Timestamp::from_millis(millis), nanos)),
        _ => Err(CodecError::Nonsense("there are more nanoseconds than a millisecond has")),
    }
}

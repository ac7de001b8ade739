//! Events as bytes: the content of the journal's rows and of the chunks of readings.
//!
//! ```text
//! blob      = version:u8 body checksum:u64le             checksum: FNV-1a 64 of all before it
//! body      = count texts event*                         every count and reference is a varint
//! texts     = count (length bytes)*                      each text once, in the order of first use
//! event     = head:u8 seq received_at [at] [claimed] [nanos] [sender] content    head: kind, flags
//!             differences to the event before in ms, zigzag; `at` and `claimed` as the difference to `received_at`
//! nanos     = at [claimed]           behind their milliseconds, where one of the two has some
//! sender    = device:text number source:u8 by:text [run]  left out where it is the one before
//! run       = id:[u8; 16] depth:u8 flags:u8              where a rule brought it about
//! telemetry = [identity:u64le] count reading*
//! command, alarm, rule, signal, fleet = length JSON
//! reading   = tag:u8 name:text [scale:u8] value [unit:text] [quality:u8]
//! ```
//! A number is stored as its decimal digits and its scale where that gives back the very text it came as
//! (`23.50` is 2350 and 2), and as text otherwise (`1e3`). A message of three readings takes some 25 bytes.
//!
//! A change of a twin is its kind and its document by section. A template stands there as `{id, version, layer}`: by
//! the name of its layer, which is kept once beside the events.

pub(crate) mod bytes;
mod decode;
mod encode;
#[cfg(test)]
mod tests;

pub use decode::{decode, texts};
pub(crate) use decode::{run, source_of};
pub use encode::encode;
pub(crate) use encode::{put_run, source_code};

/// The first byte of a blob. A reader knows this one and those before it.
/// Version 1 knew no rules: no `run`, no alarm, rule or signal. Version 2 knew no fleet, and no jobs as causes. Version
/// 3 believed every clock of a device. Version 4 had a template's layer whole in each event that gave it to a device. To
/// version 5 a time was a whole millisecond.
const VERSION: u8 = 6;
const FIRST_VERSION: u8 = 1;

/// The reason why bytes are no events.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CodecError {
    #[error("they are of version {0}, which this program does not know")]
    Version(u8),
    #[error("the checksum does not match")]
    Checksum,
    #[error("they end too early")]
    Short,
    #[error("the layer {0} of a template is not there")]
    Layer(Box<str>),
    #[error("{0}")]
    Nonsense(&'static str),
}

/// The member of a template in an event that names its layer, see [`crate::layers::Layers::name`].
const LAYER: &str = "layer";

/// The bits of an event's head.
mod head {
    pub const KIND: u8 = 0b0010_0011;
    pub const TELEMETRY: u8 = 0;
    pub const TWIN: u8 = 1;
    pub const PRESENCE: u8 = 2;
    pub const COMMAND: u8 = 3;
    pub const ALARM: u8 = 0b0010_0000;
    pub const RULE: u8 = 0b0010_0001;
    pub const SIGNAL: u8 = 0b0010_0010;
    pub const FLEET: u8 = 0b0010_0011;
    pub const IDENTITY: u8 = 1 << 2;
    /// The event happened when it was received.
    pub const AT_RECEIPT: u8 = 1 << 3;
    /// Device, number and cause are those of the event before.
    pub const SAME_SENDER: u8 = 1 << 4;
    /// The device gave another time, which is not believed.
    pub const CLAIMED: u8 = 1 << 6;
    /// A time is finer than milliseconds.
    pub const FINER: u8 = 1 << 7;
}

/// Codes and flags of a sender's source.
pub(crate) mod source {
    pub const RETAINED: u8 = 1 << 6;
    pub const RUN: u8 = 1 << 7;
    pub const CODE: u8 = 0b0011_1111;
    /// A flag of the run.
    pub const EVEN_IN_MANUAL: u8 = 1;
}

/// The tags of values, in readings and documents. A reading's tag has two more bits.
mod tag {
    pub const NULL: u8 = 0;
    pub const FALSE: u8 = 1;
    pub const TRUE: u8 = 2;
    pub const TEXT: u8 = 3;
    pub const DECIMAL: u8 = 4;
    pub const NUMBER_TEXT: u8 = 5;
    pub const ARRAY: u8 = 6;
    pub const OBJECT: u8 = 7;
    pub const KIND: u8 = 0b111;
    pub const UNIT: u8 = 1 << 3;
    pub const QUALITY: u8 = 1 << 4;
}

//! Firmware: images by their address or uploaded, and devices that are brought to them.

mod devices;
pub mod images;

//! Devices that show who they are: how they get their tokens and lose them, and what lets them be claimed.

mod claims;
mod provisioning;
mod provisioning_over_mqtt;
mod tokens;
mod webhook_keys;

//! Native changes, in the words that this dialect's devices look for in their configuration.

use super::rules::{mode, modo, on_or_off};
use twinhub_domain::twin::Patch;
use twinhub_domain::{Json, Mode, Object, Twin};

/// In which mode the twin is after `patch`, and in manual mode whether it is to be on. Devices that never used the
/// words are spared them.
pub(super) fn of(twin: &Twin, patch: &Patch) -> Object {
    let mut echo = Object::default();
    let mut say = |name: &str, value: Json| {
        if twin.setup.configuration.get(name).is_some_and(|kept| *kept != value) {
            echo.insert(name, value);
        }
    };
    let changed = patch.mode();
    if let Some(changed) = changed
        && twin.setup.configuration.get("modo").and_then(mode).is_some()
    {
        say("modo", modo(changed).into());
    }
    let wanted = patch.desired().and_then(|desired| desired.get("power"));
    if let Some(on) = wanted.and_then(on_or_off)
        && changed.unwrap_or(twin.control.mode) == Mode::Manual
    {
        say("encendido", on.into());
    }
    echo
}

//! The choice of `estado` or `encendido`: the mode makes it.

use twinhub_domain::{Json, Mode};

/// By whose rule a message is read: the mode as it is after the message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ModeRule {
    /// `encendido` decides and `estado` follows.
    Manual,
    /// `estado` decides and `encendido` follows.
    Horario,
    /// No message has named a mode that we know: `estado` decides, and what stands in the configuration is as it was sent.
    Free,
}

/// The words of a message for being on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct OnOffWords {
    pub estado: Option<bool>,
    /// Beside `estado`, which only an app says.
    pub encendido: Option<bool>,
    /// Within `configuracion`.
    pub configured: Option<bool>,
}

/// The outcome; none: it stays as it is, or is as it was sent.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Decided {
    pub estado: Option<bool>,
    pub encendido: Option<bool>,
}

impl ModeRule {
    /// The outcome of an app's word. With both given the mode says which counts; one alone counts, and the other
    /// follows it. In schedule mode an `encendido` that is only a part of the configuration sent along does not count:
    /// it follows `estado`, which is `present` now.
    pub fn of_app(self, words: OnOffWords, present: Option<bool>) -> Decided {
        let OnOffWords { estado, encendido, configured } = words;
        let counts = match self {
            Self::Manual => encendido.or(configured).or(estado),
            Self::Horario | Self::Free => estado.or(encendido),
        };
        match (self, counts) {
            (Self::Horario, None) => Decided { estado: None, encendido: present },
            (_, counts) => Decided { estado: counts, encendido: counts },
        }
    }
}

/// On or off, in the words that devices and apps use for it; none where it is neither.
pub(super) fn on_or_off(value: &Json) -> Option<bool> {
    match value {
        Json::Bool(on) => Some(*on),
        Json::Number(number) if *number == 1.into() => Some(true),
        Json::Number(number) if *number == 0.into() => Some(false),
        Json::String(word) => match word.trim().to_lowercase().as_str() {
            "activo" | "on" | "true" | "1" => Some(true),
            "inactivo" | "off" | "false" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

/// The mode that `modo` names; none where we know no such mode.
pub(super) fn mode(modo: &Json) -> Option<Mode> {
    match modo.as_str()?.trim().to_lowercase().as_str() {
        "manual" => Some(Mode::Manual),
        "horario" => Some(Mode::Schedule),
        _ => None,
    }
}

/// The name of `mode` in this dialect.
pub(super) fn modo(mode: Mode) -> &'static str {
    match mode {
        Mode::Manual => "manual",
        Mode::Schedule => "horario",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line: the rule, `estado`, `encendido`, the configuration's, the present state; and what comes of it.
    /// `+` is on, `-` is off, `.` is not named, or unknown, or as it is.
    fn check(table: &str) {
        let read = |sign: &str| match sign {
            "+" => Some(true),
            "-" => Some(false),
            "." => None,
            other => panic!("{other}"),
        };
        for line in table.lines().map(str::trim).filter(|line| !line.is_empty()) {
            let words: Vec<_> = line.split_whitespace().collect();
            let [rule, estado, encendido, configured, present, "->", state, on] = words[..] else {
                panic!("{line}")
            };
            let rule = match rule {
                "manual" => ModeRule::Manual,
                "horario" => ModeRule::Horario,
                "free" => ModeRule::Free,
                other => panic!("{other}"),
            };
            let words =
                OnOffWords { estado: read(estado), encendido: read(encendido), configured: read(configured) };
            let decided = rule.of_app(words, read(present));
            assert_eq!(decided, Decided { estado: read(state), encendido: read(on) }, "{line}");
        }
    }

    #[test]
    fn an_app_s_word() {
        check(
            "
            manual   -  +  .  .  ->  +  +
            manual   +  -  .  +  ->  -  -
            manual   -  .  +  -  ->  +  +
            manual   +  .  -  +  ->  -  -
            manual   .  -  +  +  ->  -  -
            manual   .  .  +  -  ->  +  +
            manual   .  .  -  .  ->  -  -
            manual   .  +  .  -  ->  +  +
            manual   +  .  .  -  ->  +  +
            manual   .  .  .  +  ->  .  .

            horario  -  +  .  +  ->  -  -
            horario  +  -  .  .  ->  +  +
            horario  +  .  -  -  ->  +  +
            horario  -  .  .  +  ->  -  -
            horario  .  +  .  -  ->  +  +
            horario  .  .  +  -  ->  .  -
            horario  .  .  -  +  ->  .  +
            horario  .  .  +  .  ->  .  .
            horario  .  .  .  +  ->  .  +

            free     -  +  .  .  ->  -  -
            free     .  +  .  -  ->  +  +
            free     +  .  -  .  ->  +  +
            free     .  .  +  -  ->  .  .
            free     .  .  .  +  ->  .  .
            ",
        );
    }

    #[test]
    fn words_for_on_and_off() {
        let check = |text: &str, expected: Option<bool>| {
            assert_eq!(on_or_off(&text.parse().unwrap()), expected, "{text}");
        };
        for on in [r#""activo""#, r#""ON""#, r#"" True ""#, r#""1""#, "true", "1", "1.0"] {
            check(on, Some(true));
        }
        for off in [r#""Inactivo""#, r#""off""#, r#""FALSE""#, r#""0""#, "false", "0"] {
            check(off, Some(false));
        }
        for neither in [r#""desconocido""#, r#""""#, "2", "null", "{}", "[1]", r#""sí""#] {
            check(neither, None);
        }
    }

    #[test]
    fn words_for_modes() {
        let check = |text: &str, expected: Option<Mode>| {
            assert_eq!(mode(&text.parse().unwrap()), expected, "{text}");
        };
        check(r#""manual""#, Some(Mode::Manual));
        check(r#""HORARIO""#, Some(Mode::Schedule));
        check(r#""automático""#, None);
        check("1", None);
        for known in [Mode::Manual, Mode::Schedule] {
            assert_eq!(mode(&modo(known).into()), Some(known));
        }
    }
}

//! Texts in quotation marks.

use super::BadExpression;

/// A text, and where it ends.
pub struct Quoted {
    pub text: Box<str>,
    pub end: usize,
}

/// The text that begins at `at`, if one does: `"…"`, `'…'`, `"""…"""`, `'''…'''`, each raw behind an `r`.
pub fn quoted(source: &str, at: usize) -> Result<Option<Quoted>, BadExpression> {
    let rest = &source[at..];
    let raw = rest.starts_with(['r', 'R']) && rest[1..].starts_with(['"', '\'']);
    if rest.starts_with(['b', 'B']) && rest[1..].starts_with(['"', '\'']) {
        return Err(BadExpression::new(at, "there are no bytes here: leave the `b` out"));
    }
    let body = &rest[usize::from(raw)..];
    let mark = match body.as_bytes() {
        [b'"', b'"', b'"', ..] => "\"\"\"",
        [b'\'', b'\'', b'\'', ..] => "'''",
        [b'"', ..] => "\"",
        [b'\'', ..] => "'",
        _ => return Ok(None),
    };
    let start = at + usize::from(raw) + mark.len();
    let mut text = String::new();
    let mut here = start;
    loop {
        let rest = &source[here..];
        let Some(next) = rest.chars().next() else { break };
        if rest.starts_with(mark) {
            return Ok(Some(Quoted { text: text.into(), end: here + mark.len() }));
        }
        if mark.len() == 1 && (next == '\n' || next == '\r') {
            break;
        }
        if next == '\\' && !raw {
            let (meant, length) = escaped(rest)
                .ok_or_else(|| BadExpression::new(here, "this `\\` begins nothing: write `\\\\`"))?;
            text.push(meant);
            here += length;
        } else {
            text.push(next);
            here += next.len_utf8();
        }
    }
    Err(BadExpression::new(at, format!("this text has no end: a `{mark}` is missing")))
}

/// The meaning of an escape, and its length.
fn escaped(rest: &str) -> Option<(char, usize)> {
    let kind = *rest.as_bytes().get(1)?;
    let code = |digits: usize, from: usize, base: u32| {
        let digits_text = rest.get(from..from + digits)?;
        let all_digits = digits_text.chars().all(|c| c.is_digit(base));
        let code = u32::from_str_radix(digits_text, base).ok().filter(|_| all_digits)?;
        Some((char::from_u32(code)?, from + digits))
    };
    let plain = match kind {
        b'a' => '\u{7}',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'v' => '\u{b}',
        b'\\' | b'?' | b'"' | b'\'' | b'`' => char::from(kind),
        b'x' | b'X' => return code(2, 2, 16),
        b'u' => return code(4, 2, 16),
        b'U' => return code(8, 2, 16),
        b'0'..=b'3' => return code(3, 1, 8),
        _ => return None,
    };
    Some((plain, 2))
}

//! An expression's words.

use super::BadExpression;
use super::text;

/// A word, with its place.
#[derive(Clone, Debug, PartialEq)]
pub struct Token<'a> {
    pub word: TokenKind<'a>,
    pub start: usize,
    pub end: usize,
}

/// The kinds of words.
#[derive(Clone, Debug, PartialEq)]
pub enum TokenKind<'a> {
    Ident(&'a str),
    Int(i128),
    Double(f64),
    Text(Box<str>),
    Sign(&'static str),
    End,
}

/// Longer ones first.
const SIGNS: [&str; 24] = [
    "&&", "||", "==", "!=", "<=", ">=", "<", ">", "+", "-", "*", "/", "%", "!", "?", ":", ".", ",", "(", ")",
    "[", "]", "{", "}",
];

/// The words of `text`, the last of which is its end.
pub fn words(text: &str) -> Result<Vec<Token<'_>>, BadExpression> {
    let mut words = Vec::new();
    let mut at = 0;
    loop {
        at = skip_blank(text, at);
        let Some(first) = text[at..].chars().next() else {
            words.push(Token { word: TokenKind::End, start: at, end: at });
            return Ok(words);
        };
        let (word, end) = word(text, at, first)?;
        words.push(Token { word, start: at, end });
        at = end;
    }
}

fn skip_blank(text: &str, mut at: usize) -> usize {
    loop {
        let rest = &text[at..];
        let trimmed = rest.trim_start_matches([' ', '\t', '\n', '\r', '\u{c}']);
        at += rest.len() - trimmed.len();
        if !trimmed.starts_with("//") {
            return at;
        }
        at += trimmed.find('\n').unwrap_or(trimmed.len());
    }
}

fn word(text: &str, at: usize, first: char) -> Result<(TokenKind<'_>, usize), BadExpression> {
    let rest = &text[at..];
    if let Some(quoted) = text::quoted(text, at)? {
        return Ok((TokenKind::Text(quoted.text), quoted.end));
    }
    if first.is_ascii_alphabetic() || first == '_' {
        let length = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        return Ok((TokenKind::Ident(&rest[..length]), at + length));
    }
    if first.is_ascii_digit() || (first == '.' && rest[1..].starts_with(|c: char| c.is_ascii_digit())) {
        return number(text, at);
    }
    if let Some(sign) = SIGNS.into_iter().find(|sign| rest.starts_with(sign)) {
        return Ok((TokenKind::Sign(sign), at + sign.len()));
    }
    Err(BadExpression::new(
        at,
        match first {
            '=' => "a single `=` compares nothing: write `==`".into(),
            '&' => "a single `&` means nothing: write `&&`".into(),
            '|' => "a single `|` means nothing: write `||`".into(),
            '“' | '”' | '‘' | '’' | '„' => {
                format!("`{first}` is no quotation mark here: write `\"`")
            }
            '`' => "a name in backticks is not understood: write twin['…'] or ['…']".into(),
            other => format!("`{}` means nothing here", other.escape_default()),
        },
    ))
}

fn number(text: &str, at: usize) -> Result<(TokenKind<'_>, usize), BadExpression> {
    let rest = &text[at..];
    if let Some(hex) = rest.strip_prefix("0x").or_else(|| rest.strip_prefix("0X")) {
        let digits = hex.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(hex.len());
        let value = i128::from_str_radix(&hex[..digits], 16)
            .map_err(|_| BadExpression::new(at, "this is no number in base 16"))?;
        return end_of_number(text, at, at + 2 + digits, TokenKind::Int(value));
    }
    let count = |from: usize| rest[from..].bytes().take_while(u8::is_ascii_digit).count();
    let mut end = count(0);
    let mut whole = true;
    if rest[end..].starts_with('.') && count(end + 1) > 0 {
        end += 1 + count(end + 1);
        whole = false;
    }
    if rest[end..].starts_with(['e', 'E']) {
        let sign = usize::from(rest[end + 1..].starts_with(['+', '-']));
        let digits = count(end + 1 + sign);
        if digits > 0 {
            end += 1 + sign + digits;
            whole = false;
        }
    }
    let digits = &rest[..end];
    let word = if !whole {
        let value: Option<f64> = digits.parse().ok();
        value.filter(|value| value.is_finite()).map(TokenKind::Double)
    } else {
        digits.parse().ok().map(TokenKind::Int)
    };
    let word = word.ok_or_else(|| BadExpression::new(at, format!("the number {digits} is too large")))?;
    end_of_number(text, at, at + end, word)
}

/// A number must not run into a name: `5m` is a length of time only within `duration("5m")`.
fn end_of_number<'a>(
    text: &str,
    at: usize,
    end: usize,
    word: TokenKind<'a>,
) -> Result<(TokenKind<'a>, usize), BadExpression> {
    let rest = &text[end..];
    let tail = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
    match &rest[..tail] {
        "" => Ok((word, end)),
        "u" | "U" => Ok((word, end + 1)),
        "ms" | "s" | "m" | "h" | "d" => {
            let detail = format!("a length of time is written duration(\"{}\")", &text[at..end + tail]);
            Err(BadExpression::new(at, detail))
        }
        _ => {
            let detail = format!(
                "`{}` is neither a number nor a name; an id that begins with a digit is written \
                 twin['{0}']",
                &text[at..end + tail]
            );
            Err(BadExpression::new(at, detail))
        }
    }
}

//! A template's parts: text, `{{ … }}`, `{% … %}`, `{# … #}`.

use super::BadTextTemplate;

/// A part, by its place.
#[derive(Clone, Debug)]
pub enum TemplatePart {
    Text {
        from: usize,
        to: usize,
    },
    Print(Print),
    /// A tag, with the text within its marks.
    Tag {
        from: usize,
        to: usize,
        body: (usize, usize),
    },
    Comment {
        from: usize,
        to: usize,
    },
}

/// `{{ head | filters }}`
#[derive(Clone, Debug)]
pub struct Print {
    pub from: usize,
    pub to: usize,
    head: (usize, usize),
    /// From the first `|` on.
    filters: (usize, usize),
    /// `{{-` and `-}}`.
    pub trims: (bool, bool),
}

/// Words that only Jinja knows.
const JINJA_WORDS: [&str; 5] = ["if", "and", "or", "not", "is"];

/// Tags that a template may have. The others assign, include or define: they could make texts grow without end.
const TAGS: [&str; 8] = ["if", "elif", "else", "endif", "for", "endfor", "raw", "endraw"];

impl Print {
    /// The text before the first filter.
    pub fn head<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.head.0..self.head.1).unwrap_or_default()
    }

    pub fn head_at(&self) -> usize {
        self.head.0
    }

    /// The filters with the `|` before them; empty where there are none.
    pub fn filters<'t>(&self, text: &'t str) -> &'t str {
        text.get(self.filters.0..self.filters.1).unwrap_or_default()
    }

    /// The start of the first filter.
    pub fn filters_at(&self) -> usize {
        self.filters.0
    }

    /// Neither filters nor trimmed blanks.
    pub fn is_plain(&self) -> bool {
        self.filters.0 == self.filters.1 && self.trims == (false, false)
    }

    /// Does it say something that only Jinja knows?
    pub fn needs_jinja(&self, text: &str) -> bool {
        let bare = without_texts(self.head(text));
        bare.contains('~')
            || bare
                .split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
                .any(|w| JINJA_WORDS.contains(&w))
    }
}

/// Splits `text`.
///
/// # Errors
/// A mark is not closed, or a tag is not allowed.
pub fn parts(text: &str) -> Result<Vec<TemplatePart>, BadTextTemplate> {
    let mut parts = Vec::new();
    let mut at = 0;
    while at < text.len() {
        let open = ["{{", "{%", "{#"].into_iter().filter_map(|mark| Some(at + text[at..].find(mark)?)).min();
        let from = open.unwrap_or(text.len());
        if from > at {
            parts.push(TemplatePart::Text { from: at, to: from });
        }
        if open.is_none() {
            break;
        }
        let part = match &text[from..from + 2] {
            "{{" => TemplatePart::Print(print(text, from)?),
            "{%" => tag(text, from)?,
            _ => {
                let end = text[from..].find("#}").ok_or_else(|| unclosed(from, "{#", "#}"))?;
                TemplatePart::Comment { from, to: from + end + 2 }
            }
        };
        at = match &part {
            TemplatePart::Text { to, .. }
            | TemplatePart::Tag { to, .. }
            | TemplatePart::Comment { to, .. } => *to,
            TemplatePart::Print(print) => print.to,
        };
        parts.push(part);
    }
    Ok(parts)
}

/// The variables of `{% for … %}`, and `loop`; empty where there is none.
pub fn loop_names<'t>(parts: &[TemplatePart], text: &'t str) -> Vec<&'t str> {
    let mut names = Vec::new();
    for part in parts {
        let TemplatePart::Tag { body, .. } = part else { continue };
        let body = text.get(body.0..body.1).unwrap_or_default();
        let Some(rest) = body.trim_start().strip_prefix("for ") else { continue };
        let named = rest.split(" in ").next().unwrap_or_default();
        names.extend(
            named.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|name| !name.is_empty()),
        );
        names.push("loop");
    }
    names
}

/// `source` with blanks in place of quoted texts.
pub fn without_texts(source: &str) -> String {
    let mut quote = None;
    let mut escaped = false;
    let blank = source.chars().map(|c| match quote {
        Some(mark) => {
            if !escaped && c == mark {
                quote = None;
            }
            escaped = !escaped && c == '\\';
            ' '
        }
        None => {
            if c == '"' || c == '\'' {
                quote = Some(c);
                return ' ';
            }
            c
        }
    });
    blank.collect()
}

fn print(text: &str, from: usize) -> Result<Print, BadTextTemplate> {
    let end = close(text, from + 2, "}}").ok_or_else(|| unclosed(from, "{{", "}}"))?;
    let (mut start, mut stop) = (from + 2, end);
    let trims = (text[start..stop].starts_with(['-', '+']), text[start..stop].ends_with(['-', '+']));
    // `{{-1}}` takes the blanks before it away, in Jinja too.
    start += usize::from(trims.0);
    stop = stop.saturating_sub(usize::from(trims.1)).max(start);
    let bar = bar(&text[start..stop]).map_or(stop, |bar| start + bar);
    let head = &text[start..bar];
    let head_start = start + (head.len() - head.trim_start().len());
    let head_end = head_start + head.trim().len();
    Ok(Print { from, to: end + 2, head: (head_start, head_end), filters: (bar, stop), trims })
}

fn tag(text: &str, from: usize) -> Result<TemplatePart, BadTextTemplate> {
    let end = close(text, from + 2, "%}").ok_or_else(|| unclosed(from, "{%", "%}"))?;
    let body = text[from + 2..end].trim_matches(['-', '+']);
    let body_from = from + 2 + text[from + 2..end].find(body).unwrap_or(0);
    let word: &str = body.split_whitespace().next().unwrap_or_default();
    if !TAGS.contains(&word) {
        let detail = format!("`{{% {word} %}}` may not stand here: only {} may", TAGS[..6].join(", "));
        return Err(BadTextTemplate::new(from, detail));
    }
    let mut to = end + 2;
    if word == "raw" {
        let rest = &text[to..];
        let length = rest.find("endraw").ok_or_else(|| unclosed(from, "{% raw %}", "{% endraw %}"))?;
        let close = rest[length..].find("%}").ok_or_else(|| unclosed(from, "{% raw %}", "{% endraw %}"))?;
        to += length + close + 2;
        return Ok(TemplatePart::Tag { from, to, body: (body_from, body_from) });
    }
    Ok(TemplatePart::Tag { from, to, body: (body_from, body_from + body.len()) })
}

/// The place of `mark` outside of quotation marks.
fn close(text: &str, from: usize, mark: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (index, c) in text[from..].char_indices() {
        match quote {
            Some(open) => {
                if !escaped && c == open {
                    quote = None;
                }
                escaped = !escaped && c == '\\';
            }
            None if text[from + index..].starts_with(mark) => return Some(from + index),
            None => quote = Some(c).filter(|c| matches!(c, '"' | '\'')),
        }
    }
    None
}

/// The start of the first filter: a single `|` outside of quotation marks and brackets.
fn bar(body: &str) -> Option<usize> {
    let (mut quote, mut escaped, mut depth) = (None, false, 0_i32);
    let bytes = body.as_bytes();
    let mut index = 0;
    while let Some(byte) = bytes.get(index).copied() {
        match quote {
            Some(open) => {
                if !escaped && byte == open {
                    quote = None;
                }
                escaped = !escaped && byte == b'\\';
            }
            None => match byte {
                b'"' | b'\'' => quote = Some(byte),
                b'(' | b'[' | b'{' => depth += 1,
                b')' | b']' | b'}' => depth -= 1,
                b'|' if bytes.get(index + 1) == Some(&b'|') => index += 1,
                b'|' if depth == 0 => return Some(index),
                _ => {}
            },
        }
        index += 1;
    }
    None
}

fn unclosed(at: usize, open: &str, close: &str) -> BadTextTemplate {
    BadTextTemplate::new(at, format!("this `{open}` is not closed: `{close}` is missing"))
}

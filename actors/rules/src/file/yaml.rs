//! YAML text to a tree. JSON is YAML too.
//!
//! Any text takes little memory: aliases are copies and count against one budget, and nothing is deeper
//! than a document of ours may be.

use std::collections::HashMap;

use granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, options};

use super::FileProblem;
use super::node::{YamlKey, YamlNode, YamlScalar, YamlValue};
use twinhub_domain::json::DEEPEST;

/// The most values and keys of a file, copies by aliases counted too: five times as many as in the largest sensible
/// file of a megabyte.
const MOST_NODES: usize = 250_000;
/// Bytes of text in them.
const MOST_BYTES: usize = 4 << 20;

/// A document as it was read.
#[derive(Debug, Default)]
pub(super) struct YamlDocument {
    /// None: the file is empty.
    pub root: Option<YamlNode>,
    /// Forms that are YAML, and that a rule file may not have.
    pub flaws: Vec<YamlFlaw>,
}

/// Something wrong with the value or key of this id.
#[derive(Debug)]
pub(crate) struct YamlFlaw {
    pub id: u32,
    /// The node by whose pointer it is reported: its own, but for a value that is not in the tree.
    pub of: u32,
    pub line: u32,
    pub column: u32,
    pub message: String,
    pub hint: Option<String>,
}

/// Reads YAML text.
///
/// # Errors
/// The text is no YAML, or too large.
pub(super) fn read(text: &str) -> Result<YamlDocument, FileProblem> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let options = options! {
        emit_comments: false,
        emit_unresolved_aliases: true,
        flow_nesting_limit: DEEPEST + 1,
        block_nesting_limit: DEEPEST + 1,
    };
    let mut builder = Builder { text, ..Builder::default() };
    for event in Parser::new_from_str_with_options(text, options) {
        let (event, span) = event.map_err(|error| not_yaml(text, &error))?;
        builder.take(event, span)?;
    }
    Ok(YamlDocument { root: builder.root, flaws: builder.flaws })
}

#[derive(Default)]
struct Builder<'t> {
    text: &'t str,
    next: u32,
    documents: usize,
    open: Vec<OpenCollection>,
    root: Option<YamlNode>,
    anchors: HashMap<usize, YamlNode>,
    flaws: Vec<YamlFlaw>,
    nodes: usize,
    bytes: usize,
}

/// A list or a map whose end has not come.
struct OpenCollection {
    node: YamlNode,
    anchor: usize,
    /// Of a map: the key whose value comes next.
    key: Option<YamlKey>,
    /// The value has a tag.
    flawed: bool,
}

impl Builder<'_> {
    fn take(&mut self, event: Event<'_>, span: Span) -> Result<(), FileProblem> {
        match event {
            Event::DocumentStart(..) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(problem(&span, "a rule file is one document: a second begins here"));
                }
            }
            Event::Scalar(text, style, anchor, tag) => {
                self.pay(1, text.len(), &span)?;
                if self.awaits_key() {
                    return self.key(&text, style, &span);
                }
                let inset = self.inset(&text, style, &span);
                let scalar = YamlScalar { text: text.into(), plain: style == ScalarStyle::Plain, inset };
                let mut node = self.node(&span, YamlValue::Scalar(scalar));
                if tag.is_some() {
                    self.tagged(&mut node, &span);
                }
                self.put(node, anchor, &span)?;
            }
            Event::SequenceStart(_, anchor, tag) => {
                self.begin(YamlValue::List(Vec::new()), anchor, tag.is_some(), &span)?;
            }
            Event::MappingStart(_, anchor, tag) => {
                self.begin(YamlValue::Map(Vec::new()), anchor, tag.is_some(), &span)?;
            }
            Event::SequenceEnd | Event::MappingEnd => {
                if let Some(OpenCollection { mut node, anchor, flawed, .. }) = self.open.pop() {
                    if flawed {
                        self.tagged(&mut node, &span);
                    }
                    if let YamlValue::Map(entries) = &mut node.value {
                        drop_repeats(entries, &mut self.flaws);
                    }
                    self.put(node, anchor, &span)?;
                }
            }
            Event::Alias(anchor) => self.alias(anchor, &span)?,
            Event::UnresolvedAlias(name) => {
                if self.awaits_key() {
                    return Err(problem(&span, "a key is a text, and this is an alias"));
                }
                self.pay(1, 0, &span)?;
                let node = self.node(&span, YamlValue::Flawed);
                let message = format!(
                    "in YAML `*{name}` is an alias of `&{name}`, which is missing: a text that begins with `*` must be in quotes"
                );
                self.flaw(&node, message, Some(format!("\"*{name}\"")));
                self.put(node, 0, &span)?;
            }
            Event::StreamStart | Event::StreamEnd | Event::DocumentEnd | Event::Anchor(..) => {}
            // The parser may come to tell of more.
            _ => return Err(problem(&span, "this part of YAML is not known here")),
        }
        Ok(())
    }

    fn node(&mut self, span: &Span, value: YamlValue) -> YamlNode {
        self.next += 1;
        let (line, column) = place(span);
        YamlNode { id: self.next, line, column, value }
    }

    fn awaits_key(&self) -> bool {
        matches!(
            self.open.last(),
            Some(OpenCollection { node: YamlNode { value: YamlValue::Map(_), .. }, key: None, .. })
        )
    }

    fn key(&mut self, text: &str, style: ScalarStyle, span: &Span) -> Result<(), FileProblem> {
        self.next += 1;
        let (line, column) = place(span);
        let key = YamlKey { id: self.next, line, column, text: text.into() };
        if text == "<<" && style == ScalarStyle::Plain {
            return Err(problem(span, "`<<` merges nothing in here: write the members out"));
        }
        if let Some(open) = self.open.last_mut() {
            open.key = Some(key);
        }
        Ok(())
    }

    fn begin(
        &mut self,
        value: YamlValue,
        anchor: usize,
        tagged: bool,
        span: &Span,
    ) -> Result<(), FileProblem> {
        if self.awaits_key() {
            return Err(problem(
                span,
                "a key is a text, and this is a list or a map: braces at the beginning of a text need quotes around it",
            ));
        }
        if self.open.len() >= DEEPEST {
            return Err(problem(span, &format!("nested deeper than {DEEPEST} levels")));
        }
        self.pay(1, 0, span)?;
        let node = self.node(span, value);
        self.open.push(OpenCollection { node, anchor, key: None, flawed: tagged });
        Ok(())
    }

    /// Puts a whole value where it belongs.
    fn put(&mut self, node: YamlNode, anchor: usize, span: &Span) -> Result<(), FileProblem> {
        if anchor > 0 {
            let (nodes, bytes, _) = node.size();
            self.pay(nodes, bytes, span)?;
            self.anchors.insert(anchor, node.clone());
        }
        match self.open.last_mut() {
            None => self.root = Some(node),
            Some(open) => match (&mut open.node.value, open.key.take()) {
                (YamlValue::List(items), _) => items.push(node),
                (YamlValue::Map(entries), Some(key)) => entries.push((key, node)),
                // A map's value comes after its key, and what is open is a list or a map.
                (YamlValue::Map(_) | YamlValue::Scalar(_) | YamlValue::Flawed, _) => {}
            },
        }
        Ok(())
    }

    fn alias(&mut self, anchor: usize, span: &Span) -> Result<(), FileProblem> {
        if self.awaits_key() {
            return Err(problem(span, "a key is a text, and this is an alias"));
        }
        let Some(marked) = self.anchors.get(&anchor) else {
            return Err(problem(span, "this alias is within its own anchor"));
        };
        let (nodes, bytes, depth) = marked.size();
        if self.open.len() + depth > DEEPEST + 1 {
            return Err(problem(span, &format!("nested deeper than {DEEPEST} levels")));
        }
        self.pay(nodes, bytes, span)?;
        let Some(mut copy) = self.anchors.get(&anchor).cloned() else { return Ok(()) };
        renumber(&mut copy, &mut self.next);
        self.put(copy, 0, span)
    }

    /// A copy by an alias costs like the original.
    fn pay(&mut self, nodes: usize, bytes: usize, span: &Span) -> Result<(), FileProblem> {
        self.nodes += nodes;
        self.bytes += bytes;
        if self.nodes > MOST_NODES || self.bytes > MOST_BYTES {
            return Err(problem(
                span,
                "the file has too many values, copies by aliases counted too: make two of it",
            ));
        }
        Ok(())
    }

    fn tagged(&mut self, node: &mut YamlNode, span: &Span) {
        let tag = span.tag_span().and_then(|tag| tag.slice(self.text)).unwrap_or("!");
        let message = format!(
            "in YAML `{tag}` is a tag, and no tag means anything here: a text that begins with `!` must be in quotes"
        );
        if let Some(start) = span.tag_start() {
            (node.line, node.column) = (narrow(start.line()), narrow(start.col() + 1));
        }
        self.flaw(node, message, None);
        node.value = YamlValue::Flawed;
    }

    fn flaw(&mut self, node: &YamlNode, message: String, hint: Option<String>) {
        self.flaws.push(YamlFlaw {
            id: node.id,
            of: node.id,
            line: node.line,
            column: node.column,
            message,
            hint,
        });
    }

    /// See [`YamlScalar::inset`].
    fn inset(&self, text: &str, style: ScalarStyle, span: &Span) -> Option<u8> {
        let quote = match style {
            ScalarStyle::Plain => 0,
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => 1,
            _ => return None,
        };
        let written = self.text.get(span.start.byte_offset()? + usize::from(quote)..)?;
        written.starts_with(text).then_some(quote)
    }
}

/// New ids for a copy, in the order of the text.
fn renumber(node: &mut YamlNode, next: &mut u32) {
    *next += 1;
    node.id = *next;
    match &mut node.value {
        YamlValue::List(items) => items.iter_mut().for_each(|item| renumber(item, next)),
        YamlValue::Map(entries) => {
            for (key, value) in entries {
                *next += 1;
                key.id = *next;
                renumber(value, next);
            }
        }
        YamlValue::Scalar(_) | YamlValue::Flawed => {}
    }
}

/// Of keys that are there twice the first stays.
fn drop_repeats(entries: &mut Vec<(YamlKey, YamlNode)>, flaws: &mut Vec<YamlFlaw>) {
    let mut first: HashMap<Box<str>, (u32, u32)> = HashMap::new();
    entries.retain(|(key, _)| {
        let Some(&(of, line)) = first.get(&key.text) else {
            first.insert(key.text.clone(), (key.id, key.line));
            return true;
        };
        let message = format!("`{}` is a duplicate: it is in line {line} already", shorten(&key.text));
        flaws.push(YamlFlaw { id: key.id, of, line: key.line, column: key.column, message, hint: None });
        false
    });
}

/// The parser's error, in words that help.
fn not_yaml(text: &str, error: &ScanError) -> FileProblem {
    let mark = error.marker();
    let line = text.lines().nth(mark.line().saturating_sub(1)).unwrap_or_default();
    let begins = line.trim_start_matches([' ', '-']);
    let value = begins.split_once(": ").map_or(begins, |(_, value)| value.trim_start());
    let hint = if line.trim_start_matches(' ').starts_with('\t') {
        Some("indent with spaces: YAML takes no tabs")
    } else if value.starts_with(['@', '`', '%', '|', '>', '&', '*', '!']) || is_half_quoted(value) {
        Some("a text that begins with a sign of YAML's own must be in quotes as a whole")
    } else if value.contains(": ") && !value.starts_with(['{', '[']) {
        Some("a text with a colon and a space in it must be in quotes")
    } else {
        None
    };
    let mut info = error.info();
    if let Some(inner) = info.strip_prefix("while parsing") {
        info = format!("while reading{inner}");
    }
    FileProblem {
        line: narrow(mark.line()).max(1),
        column: narrow(mark.col() + 1),
        pointer: String::new(),
        message: format!("this is no YAML: {info}"),
        hint: hint.map(str::to_owned),
    }
}

/// `"on" == fan.power`: in quotes, and then not.
fn is_half_quoted(value: &str) -> bool {
    let quote = value.chars().next().filter(|first| matches!(first, '"' | '\''));
    quote.is_some_and(|quote| value[1..].contains(quote))
}

fn problem(span: &Span, message: &str) -> FileProblem {
    let (line, column) = place(span);
    FileProblem { line, column, pointer: String::new(), message: message.into(), hint: None }
}

fn place(span: &Span) -> (u32, u32) {
    (narrow(span.start.line()), narrow(span.start.col() + 1))
}

/// A file of a megabyte has no more lines than fit.
fn narrow(number: usize) -> u32 {
    u32::try_from(number).unwrap_or(u32::MAX)
}

fn shorten(text: &str) -> String {
    text.chars().take(64).collect()
}

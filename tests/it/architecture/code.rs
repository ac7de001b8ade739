//! The code of a Rust file: without comments, and without what is there for tests alone. Strings stay as they are.

/// The code of one Rust file.
pub struct Code {
    /// The lines that have code, with their numbers from 1.
    pub lines: Vec<(usize, String)>,
    /// Modules in files of their own that are there for tests: `#[cfg(test)] mod name;`
    pub test_modules: Vec<String>,
}

/// A character and what it stands in.
#[derive(Clone, Copy, PartialEq)]
enum CharKind {
    Code,
    Comment,
    /// Or a character in quotes.
    Text,
}

/// Words that an item begins with. What begins otherwise is a field, a parameter or an arm, and ends with a comma.
const ITEMS: [&str; 15] = [
    "use",
    "mod",
    "fn",
    "struct",
    "enum",
    "trait",
    "impl",
    "const",
    "static",
    "type",
    "async",
    "unsafe",
    "extern",
    "macro_rules",
    "let",
];
/// Items that end with a semicolon, whatever braces are in them.
const TO_SEMICOLON: [&str; 5] = ["use", "const", "static", "type", "let"];

impl Code {
    /// The types that have an `impl` of their own here, or one of an actor's `Handler`, once for each.
    pub fn implemented(&self) -> Vec<String> {
        let mut found = Vec::new();
        let mut lines = self.lines.iter().map(|(_, line)| line.as_str());
        while let Some(line) = lines.next() {
            let mut head = match line.strip_prefix("impl") {
                Some(rest) if rest.starts_with([' ', '<']) => rest.to_owned(),
                _ => continue,
            };
            while !head.contains('{')
                && let Some(line) = lines.next()
            {
                head.push(' ');
                head.push_str(line.trim());
            }
            found.extend(implemented(&head));
        }
        found
    }

    /// The structs, enums, traits and aliases that are defined here, with their lines.
    pub fn defined(&self) -> Vec<(usize, String)> {
        let of = |(number, line): &(usize, String)| Some((*number, definition(line)?));
        self.lines.iter().filter_map(of).collect()
    }
}

/// The type that an item defines whose first line this is: an associated type, which is indented, is none.
fn definition(line: &str) -> Option<String> {
    let item = line.trim_start();
    let item = match item.strip_prefix("pub") {
        Some(rest) if rest.starts_with('(') => rest.split_once(')')?.1.trim_start(),
        Some(rest) if rest.starts_with(' ') => rest.trim_start(),
        _ => item,
    };
    let (keyword, rest) = item.split_once(' ')?;
    let is_type = match keyword {
        "struct" | "enum" | "trait" | "union" => true,
        "type" => line.len() == line.trim_start().len(),
        _ => false,
    };
    let name: String = rest.chars().take_while(|c| c.is_alphanumeric() || *c == '_').collect();
    (is_type && name.starts_with(char::is_uppercase)).then_some(name)
}

/// The type that an `impl` with this head is counted for: what follows the word `impl`.
fn implemented(head: &str) -> Option<String> {
    let head = match head.strip_prefix('<') {
        Some(_) => &head[generics_end(head)..],
        None => head,
    };
    let head = head.trim_start();
    let of = match head.split_once(" for ") {
        Some((name, of)) if name.starts_with("Handler<") => of,
        Some(_) => return None,
        None => head,
    };
    let path: String = of.chars().take_while(|c| c.is_alphanumeric() || "_:".contains(*c)).collect();
    path.rsplit("::").next().map(str::to_owned)
}

/// Behind the angle bracket that closes the first one.
fn generics_end(text: &str) -> usize {
    let mut depth = 0_i32;
    let mut before = ' ';
    for (at, c) in text.char_indices() {
        match c {
            '<' => depth += 1,
            '>' if before != '-' => depth -= 1,
            _ => {}
        }
        if depth == 0 {
            return at + 1;
        }
        before = c;
    }
    text.len()
}

/// Reads `text`.
pub fn read(text: &str) -> Code {
    let chars: Vec<char> = text.chars().collect();
    let kinds = kinds(&chars);
    let mut shown: Vec<char> = chars
        .iter()
        .zip(&kinds)
        .map(|(c, kind)| if *kind == CharKind::Comment && *c != '\n' { ' ' } else { *c })
        .collect();
    let mut test_modules = Vec::new();
    let mut at = 0;
    while at < shown.len() {
        let Some(behind) = test_attribute(&shown, &kinds, at) else {
            at += 1;
            continue;
        };
        let end = item_end(&shown, &kinds, behind);
        let item: String = shown[behind..end].iter().collect();
        test_modules.extend(declared(&item));
        for c in &mut shown[at..end] {
            if *c != '\n' {
                *c = ' ';
            }
        }
        at = end;
    }
    let text: String = shown.into_iter().collect();
    let lines = (1..).zip(text.lines()).filter(|(_, line)| !line.trim().is_empty());
    Code { lines: lines.map(|(number, line)| (number, line.to_owned())).collect(), test_modules }
}

fn kinds(chars: &[char]) -> Vec<CharKind> {
    let mut kinds = vec![CharKind::Code; chars.len()];
    let mut at = 0;
    while at < chars.len() {
        let (kind, end) = match (chars[at], chars.get(at + 1)) {
            ('/', Some('/')) => (CharKind::Comment, find(chars, at, |c| c == '\n')),
            ('/', Some('*')) => (CharKind::Comment, block_end(chars, at)),
            ('"', _) => (CharKind::Text, quoted_end(chars, at, '"')),
            ('r', Some('"' | '#')) if raw_end(chars, at).is_some() && !in_word(chars, at) => {
                (CharKind::Text, raw_end(chars, at).unwrap_or(at + 1))
            }
            ('\'', Some('\\')) => (CharKind::Text, quoted_end(chars, at, '\'')),
            ('\'', Some(_)) if chars.get(at + 2) == Some(&'\'') => (CharKind::Text, at + 3),
            _ => (CharKind::Code, at + 1),
        };
        let end = end.min(chars.len());
        kinds[at..end].fill(kind);
        at = end;
    }
    kinds
}

/// `br"…"` is a raw string too, `for"…"` is none.
fn in_word(chars: &[char], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).map(|at| chars[at]);
    let is_name = |c: Option<char>| c.is_some_and(|c| c.is_alphanumeric() || c == '_');
    let is_prefix = matches!(before(1), Some('b' | 'c')) && !is_name(before(2));
    is_name(before(1)) && !is_prefix
}

fn find(chars: &[char], from: usize, is_it: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|at| is_it(chars[*at])).unwrap_or(chars.len())
}

/// Comments of this kind stand in each other.
fn block_end(chars: &[char], from: usize) -> usize {
    let (mut at, mut depth) = (from, 0);
    while at + 1 < chars.len() {
        match (chars[at], chars[at + 1]) {
            ('/', '*') => (depth, at) = (depth + 1, at + 2),
            ('*', '/') if depth == 1 => return at + 2,
            ('*', '/') => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
    }
    chars.len()
}

fn quoted_end(chars: &[char], from: usize, quote: char) -> usize {
    let mut at = from + 1;
    while at < chars.len() && chars[at] != quote {
        at += if chars[at] == '\\' { 2 } else { 1 };
    }
    at + 1
}

fn raw_end(chars: &[char], from: usize) -> Option<usize> {
    let hashes = find(chars, from + 1, |c| c != '#') - from - 1;
    let open = from + 1 + hashes;
    (chars.get(open) == Some(&'"')).then_some(())?;
    let closes =
        |at: &usize| chars[*at] == '"' && (1..=hashes).all(|hash| chars.get(at + hash) == Some(&'#'));
    Some((open + 1..chars.len()).find(closes).map_or(chars.len(), |at| at + 1 + hashes))
}

/// Where the attribute ends that begins here and has what follows be there for tests alone.
fn test_attribute(chars: &[char], kinds: &[CharKind], at: usize) -> Option<usize> {
    if kinds[at] != CharKind::Code || chars[at] != '#' {
        return None;
    }
    let end = closing(chars, kinds, at + 1)?;
    let attribute: String = chars[at..end].iter().filter(|c| !c.is_whitespace()).collect();
    let is_test = attribute == "#[cfg(test)]" || attribute.starts_with("#[cfg(all(test,");
    is_test.then_some(end)
}

/// Behind the bracket that closes the one at `at`.
fn closing(chars: &[char], kinds: &[CharKind], at: usize) -> Option<usize> {
    let mut depth = 0_i32;
    for (index, c) in chars.iter().enumerate().skip(at).filter(|(index, _)| kinds[*index] == CharKind::Code) {
        match c {
            '(' | '[' | '{' => depth += 1,
            ')' | ']' | '}' => depth -= 1,
            _ => {}
        }
        if depth <= 0 {
            return (index > at).then_some(index + 1);
        }
    }
    None
}

/// Where the item ends that begins at `from`, maybe with further attributes.
fn item_end(chars: &[char], kinds: &[CharKind], from: usize) -> usize {
    let mut start = find(chars, from, |c| !c.is_whitespace());
    while chars.get(start) == Some(&'#') {
        let end = closing(chars, kinds, start + 1).unwrap_or(chars.len());
        start = find(chars, end, |c| !c.is_whitespace());
    }
    let rest: String = chars[start..].iter().take(200).collect();
    let words: Vec<&str> =
        rest.split(|c: char| !(c.is_alphanumeric() || c == '_')).filter(|word| !word.is_empty()).collect();
    let words: &[&str] = match words[..] {
        ["pub", "crate" | "super", ..] if rest.starts_with("pub(") => &words[2..],
        ["pub", ..] => &words[1..],
        _ => &words,
    };
    let first = words.first().copied().unwrap_or_default();
    let is_item = ITEMS.contains(&first);
    let is_function = first == "const" && matches!(words.get(1), Some(&("fn" | "unsafe" | "async")));
    let to_semicolon = TO_SEMICOLON.contains(&first) && !is_function;
    let mut at = start;
    while at < chars.len() {
        if kinds[at] != CharKind::Code {
            at += 1;
            continue;
        }
        match chars[at] {
            ';' => return at + 1,
            ',' if !is_item => return at + 1,
            ')' | ']' | '}' => return at, // the end of what it is a part of
            '{' if is_item && !to_semicolon => return closing(chars, kinds, at).unwrap_or(chars.len()),
            '(' | '[' | '{' => at = closing(chars, kinds, at).unwrap_or(chars.len()),
            _ => at += 1,
        }
    }
    at
}

/// The module that `item` declares, where it is one in a file of its own.
fn declared(item: &str) -> Option<String> {
    let name = item.trim().strip_suffix(';')?.rsplit_once("mod ")?;
    let is_name = name.1.chars().all(|c| c.is_alphanumeric() || c == '_');
    is_name.then(|| name.1.to_owned())
}

#[test]
fn code_is_read_to_the_end_of_the_file() {
    let check = |text: &str, expected: &[(usize, &str)]| {
        let code = read(text);
        let lines: Vec<(usize, &str)> = code.lines.iter().map(|(at, line)| (*at, line.trim())).collect();
        assert_eq!(lines, expected, "{text}");
    };
    check("a // b\nc /* d\n e /* f */ g */ h", &[(1, "a"), (2, "c"), (3, "h")]);
    check("\"// no { comment\" a", &[(1, "\"// no { comment\" a")]);
    check("r#\"a\" // \"# b // c", &[(1, "r#\"a\" // \"# b")]);
    check("'\"' a // b\n'\\'' c 'x: 'y // d", &[(1, "'\"' a"), (2, "'\\'' c 'x: 'y")]);
    check("#[cfg(test)]\nmod tests;\nuse a;", &[(3, "use a;")]);
    check("#[cfg(test)]\nmod tests {\n fn a() { \"}\" }\n}\nfn b() {}", &[(5, "fn b() {}")]);
    check("#[cfg(test)]\nuse a::{b, c};\nuse d;", &[(3, "use d;")]);
    check("#[cfg(test)]\n#[derive(A, B)]\npub(crate) struct A<B, C> { d: E }\nf", &[(4, "f")]);
    check("#[cfg(test)]\npub const fn a() -> [u8; 2] { b }\nc", &[(3, "c")]);
    check("#[cfg(test)]\nconst A: [u8; 2] = { 1 };\nc", &[(3, "c")]);
    check("struct A {\n #[cfg(test)]\n b: C<D>,\n e: F,\n}", &[(1, "struct A {"), (4, "e: F,"), (5, "}")]);
    check("A { b,\n #[cfg(test)]\n c: d(e, f)\n}", &[(1, "A { b,"), (4, "}")]);
    check("#[cfg(all(test, unix))] fn a() {}\nb", &[(2, "b")]);
    check("#[cfg(not(test))]\nfn a() {}", &[(1, "#[cfg(not(test))]"), (2, "fn a() {}")]);
    check("// #[cfg(test)]\na\n\"#[cfg(test)]\" b", &[(2, "a"), (3, "\"#[cfg(test)]\" b")]);
}

#[test]
fn modules_that_are_there_for_tests_alone_are_known() {
    let modules =
        read("#[cfg(test)]\nmod tests;\nmod a;\n#[cfg(test)]\npub(crate) mod dice;\n#[cfg(test)]\nmod b {}");
    assert_eq!(modules.test_modules, ["tests", "dice"]);
}

#[test]
fn types_are_counted_where_they_are_implemented() {
    let check = |text: &str, expected: &[&str]| assert_eq!(read(text).implemented(), expected, "{text}");
    check("impl A {}\nimpl<T> B<T> {}\nimpl C<'_> {", &["A", "B", "C"]);
    check("impl<F: Fn() -> Vec<u8>> D<F>\nwhere\n    F: Copy,\n{", &["D"]);
    check("impl super::E {}\n// impl F {}\n#[cfg(test)]\nimpl G {}", &["E"]);
    check("impl Clone for H {}\nimpl Handler<M> for I {}\nimpl<M> Handler<M> for J<M> {}", &["I", "J"]);
    check("    impl K {}\nimplement!(L);", &[]);
}

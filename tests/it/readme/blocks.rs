//! The code blocks of a Markdown text.

use std::fmt;

/// A fenced block.
pub struct Block {
    /// The line, from 1, on which its text begins.
    pub line: usize,
    /// The word behind the fence; empty for a picture.
    pub language: String,
    /// The last `rules/….yaml` that was named before it.
    pub file: Option<String>,
    pub text: String,
}

impl fmt::Display for Block {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "README.md:{}:\n{}", self.line, self.text)
    }
}

/// All fenced blocks of `text`, in order.
pub fn blocks(text: &str) -> Vec<Block> {
    let mut found = Vec::new();
    let mut open: Option<Block> = None;
    let mut file = None;
    for (index, line) in text.lines().enumerate() {
        match (line.strip_prefix("```"), &mut open) {
            (Some(_), Some(_)) => found.extend(open.take()),
            (Some(language), None) => {
                let (language, file) = (language.trim().to_owned(), file.clone());
                open = Some(Block { line: index + 2, language, file, text: String::new() });
            }
            (None, Some(block)) => {
                block.text.push_str(line);
                block.text.push('\n');
            }
            (None, None) => {
                let named = line.split('`').skip(1).step_by(2);
                file = named.filter(|word| is_rule_file(word)).last().map(str::to_owned).or(file);
            }
        }
    }
    assert!(open.is_none(), "the last block has no end");
    found
}

fn is_rule_file(word: &str) -> bool {
    word.strip_prefix("rules/")
        .and_then(|name| name.strip_suffix(".yaml"))
        .is_some_and(|name| !name.contains(' '))
}

//! Words that many devices have in common, each stored once for as long as it is used.

use std::collections::HashMap;
use std::sync::Arc;

/// A word's number while it is used.
pub type WordNumber = u32;

/// A reference-counted table of words.
#[derive(Clone, Debug, Default)]
pub struct WordTable {
    numbers: HashMap<Arc<str>, WordNumber>,
    words: Vec<(Arc<str>, u32)>,
    free: Vec<WordNumber>,
}

impl WordTable {
    /// The number of a word that is used once more.
    pub fn intern(&mut self, text: &str) -> WordNumber {
        if let Some(word) = self.numbers.get(text) {
            self.words[*word as usize].1 += 1;
            return *word;
        }
        let text: Arc<str> = text.into();
        let word = match self.free.pop() {
            Some(word) => {
                self.words[word as usize] = (Arc::clone(&text), 1);
                word
            }
            None => {
                self.words.push((Arc::clone(&text), 1));
                u32::try_from(self.words.len() - 1).unwrap_or(u32::MAX) // memory ends long before
            }
        };
        self.numbers.insert(text, word);
        word
    }

    /// Releases one use of the word.
    pub fn release(&mut self, word: WordNumber) {
        let (text, uses) = &mut self.words[word as usize];
        *uses -= 1;
        if *uses == 0 {
            self.numbers.remove(text);
            *text = Arc::from("");
            self.free.push(word);
        }
    }

    /// The number of a word that is used.
    pub fn find(&self, text: &str) -> Option<WordNumber> {
        self.numbers.get(text).copied()
    }

    /// The word with this number.
    pub fn text(&self, word: WordNumber) -> &Arc<str> {
        &self.words[word as usize].0
    }
}

//! Texts as people read them: one written form for each, and numbers in them in the order of numbers.

use std::borrow::Cow;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfc_quick};

/// The text in its composed form (NFC): a keyboard may send `ü` as one character or as `u` and two dots above, and
/// both are the same text. Nothing is copied where it is in that form already.
#[must_use]
pub fn composed(text: &str) -> Cow<'_, str> {
    if text.is_ascii() || is_nfc_quick(text.chars()) == IsNormalized::Yes {
        Cow::Borrowed(text)
    } else {
        Cow::Owned(text.nfc().collect())
    }
}

/// A text as searches compare it: in lower case, and in one form however it was typed.
#[must_use]
pub fn searched(text: &str) -> String {
    match text.to_lowercase() {
        lower if lower.is_ascii() => lower,
        lower => composed(&lower).into_owned(),
    }
}

/// Has it control characters? They would be lines of their own in logs and files, and cannot be typed in a filter.
#[must_use]
pub fn has_control(text: &str) -> bool {
    text.bytes().any(|byte| byte.is_ascii_control())
        || (!text.is_ascii() && text.chars().any(char::is_control))
}

/// A key that sorts byte by byte as people sort the texts: `climate-2` before `climate-10`, and `ü` alike however it
/// is written. Has `most` characters at most. Numbers that differ only by zeros in front have the same key.
///
/// Before the digits of a number comes their count: one digit up to 8; for longer ones `9` and three digits. So digits
/// stay among digits, in their order with the characters before and behind them.
#[must_use]
pub fn order_key(text: &str, most: usize) -> String {
    let text = composed(text);
    let mut key = String::with_capacity(text.len() + 4);
    let mut rest = &*text;
    while let Some(first) = rest.chars().next() {
        if first.is_ascii_digit() {
            let end = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
            let (run, behind) = rest.split_at(end);
            let digits = run.trim_start_matches('0');
            match digits.len() {
                few @ 0..=8 => key.push_str(&few.to_string()),
                many => key.push_str(&format!("9{:03}", many.min(999))),
            }
            key.push_str(digits);
            rest = behind;
        } else {
            let end = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
            key.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    if let Some((end, _)) = key.char_indices().nth(most) {
        key.truncate(end);
    }
    key
}

/// Bytes as hexadecimal digits in lower case, two for each.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    digits.map(|digit| char::from(DIGITS[usize::from(digit)])).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn numbers_in_texts_sort_as_numbers() {
        let in_order = [
            "",
            "-",
            "0",
            "1",
            "2",
            "2-a",
            "9",
            "10",
            "10-1",
            "10-2",
            "10-10",
            "99999999",
            "100000000",
            "1000000000",
            "a",
            "a-1",
            "a-2",
            "a-2b",
            "a-10",
            "a1",
            "a2",
            "a2b1",
            "a2b11",
            "a10",
            "a10b",
            "b",
            "bü2",
            "bü10",
            "c",
        ];
        for pair in in_order.windows(2) {
            assert!(order_key(pair[0], 190) < order_key(pair[1], 190), "{pair:?}");
        }
        assert_eq!(order_key("a007", 190), order_key("a7", 190));
        assert_eq!(order_key("bu\u{308}ro", 190), order_key("büro", 190));
        let long = "7".repeat(100);
        assert!(order_key(&long, 190) < order_key(&format!("{long}0"), 190));
        assert_eq!(order_key(&"ä".repeat(300), 190), "ä".repeat(190));
        assert_eq!(order_key("abcdef", 3), "abc");
    }

    #[test]
    fn one_text_has_one_form() {
        assert!(matches!(composed("pump"), Cow::Borrowed("pump")));
        assert!(matches!(composed("büro"), Cow::Borrowed("büro")));
        assert_eq!(composed("bu\u{308}ro"), "büro");
    }

    proptest! {
        #[test]
        fn keys_of_numbers_sort_as_the_numbers(one in any::<u128>(), other in any::<u64>(), small in 0_u8..=120) {
            for (one, other) in [(one, u128::from(other)), (u128::from(other), u128::from(small))] {
                let key = |number: u128| order_key(&format!("d-{number}x"), 190);
                prop_assert_eq!(key(one).cmp(&key(other)), one.cmp(&other));
            }
        }
    }
}

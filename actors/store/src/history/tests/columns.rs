//! Columns of whole numbers.

use super::*;
use crate::codec::bytes::ByteReader;
use crate::history::bits::{BitReader, BitWriter};
use crate::history::integers;

fn check(values: &[i64], groups: &[usize]) -> usize {
    let mut out = Vec::new();
    integers::put(&mut out, values, groups);
    let mut bytes = ByteReader(&out);
    assert_eq!(integers::get(&mut bytes, groups).unwrap(), values);
    assert_eq!(bytes.left(), 0);
    out.len()
}

fn check_alone(values: &[i64], most: usize) {
    let bytes = check(values, &[values.len()]);
    assert!(bytes <= most, "{bytes} bytes for {} numbers from {:?}", values.len(), values.first());
}

#[test]
fn columns_take_what_they_tell() {
    check_alone(&[], 0);
    check_alone(&[0; 1_000], 1);
    check_alone(&[-7; 1_000], 2);
    check_alone(&[i64::MIN, i64::MAX, 0, -1, 1, i64::MAX, i64::MIN], 100);
    // The first number, the difference, and 7 bits for each 64 numbers.
    check_alone(&(0..1_000).map(|index| 1_767_225_600_000 + index * 10_000).collect::<Vec<_>>(), 12 + 16);
    check_alone(&(0..1_000).map(|index| index * index).collect::<Vec<_>>(), 16 + 16);
    // Half degrees in tenths: steps of five count as steps of one.
    check_alone(&(0..1_000).map(|index| 200 + 5 * (index * index % 7 % 2)).collect::<Vec<_>>(), 150);
    // One that leaps costs its own bits alone.
    let leap: Vec<i64> = (0..1_000).map(|index| if index == 500 { 1 << 60 } else { index % 2 }).collect();
    check_alone(&leap, 200);
}

/// Each group begins where it will: no difference leads from one into the next.
#[test]
fn groups_begin_anew() {
    let groups = vec![16; 50];
    let values: Vec<i64> =
        (0..50).flat_map(|group| (0..16).map(move |index| group * 7_919 % 50 * 1_000_000 + index)).collect();
    let bytes = check(&values, &groups);
    assert!(bytes < 50 * 4, "{bytes} bytes");
    assert_eq!(check(&[1, 5, 9], &[0, 1, 0, 2, 0]), check(&[1, 5, 9], &[1, 2]));
}

fn sized() -> impl Strategy<Value = i64> {
    (any::<i64>(), 0u32..64).prop_map(|(value, shift)| value >> shift)
}

proptest! {
    #[test]
    fn columns_come_back(values in prop::collection::vec(sized(), 0..300), cuts in prop::collection::vec(0usize..40, 0..30)) {
        let mut groups = Vec::new();
        let mut left = values.len();
        for cut in cuts {
            groups.push(cut.min(left));
            left -= cut.min(left);
        }
        groups.push(left);
        check(&values, &groups);
    }

    #[test]
    fn bits_come_back(numbers in prop::collection::vec((any::<u64>(), 0u32..=64), 0..200)) {
        let mut writer = BitWriter::default();
        let cut = |value: u64, width: u32| value & 1u64.checked_shl(width).unwrap_or_default().wrapping_sub(1);
        for (value, width) in &numbers {
            writer.put(cut(*value, *width), *width);
        }
        let bytes = writer.finish();
        prop_assert_eq!(bytes.len(), numbers.iter().map(|(_, width)| *width as usize).sum::<usize>().div_ceil(8));
        let mut reader = BitReader::new(&bytes);
        for (value, width) in numbers {
            prop_assert_eq!(reader.get(width), cut(value, width));
        }
        prop_assert!(!reader.is_beyond());
        reader.skip(8);
        prop_assert!(reader.is_beyond());
    }
}

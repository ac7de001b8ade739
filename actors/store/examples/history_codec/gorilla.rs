//! The bits that Gorilla takes for a series (Pelkonen and others, VLDB 2015), section 4.1: to compare with.

/// The bits for points of a time in ms and a value.
pub fn bits(points: &[(i64, f64)]) -> u64 {
    let Some((first, rest)) = points.split_first() else { return 0 };
    let mut bits = 64 + 64;
    let (mut at, mut difference, mut value) = (first.0, 0, first.1.to_bits());
    let mut window: Option<(u32, u32)> = None;
    for (next_at, next_value) in rest {
        let next_difference = next_at - at;
        bits += match next_difference - difference {
            0 => 1,
            -63..=64 => 2 + 7,
            -255..=256 => 3 + 9,
            -2_047..=2_048 => 4 + 12,
            _ => 4 + 32,
        };
        (at, difference) = (*next_at, next_difference);
        let xor = next_value.to_bits() ^ value;
        value = next_value.to_bits();
        if xor == 0 {
            bits += 1;
            continue;
        }
        let (leading, trailing) = (xor.leading_zeros().min(31), xor.trailing_zeros());
        bits += match window {
            Some((lead, trail)) if leading >= lead && trailing >= trail => 2 + u64::from(64 - lead - trail),
            _ => {
                window = Some((leading, trailing));
                2 + 5 + 6 + u64::from(64 - leading - trailing)
            }
        };
    }
    bits
}

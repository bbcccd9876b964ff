//! Variable-length integers: seven bits a byte, lowest first, in the shortest form only.

/// Bytes that the longest one, `u64::MAX`, takes.
const LONGEST: usize = 10;

/// Appends `value`.
pub(crate) fn put_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

/// Bytes that `value` takes.
pub(crate) const fn varint_len(value: u64) -> usize {
    // `| 1` so that zero counts as one bit, and takes its one byte.
    (70 - (value | 1).leading_zeros() as usize) / 7
}

/// Takes a varint off the front, or says `None` for one that is cut off, too long or not shortest.
pub(crate) fn take_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    // Nearly all deltas, indices and lengths are one byte.
    if let Some((&first, rest)) = bytes.split_first()
        && first < 0x80
    {
        return Some((u64::from(first), rest));
    }
    let mut value = 0_u64;
    for (n, &byte) in bytes.iter().take(LONGEST).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * n);
        if byte < 0x80 {
            let shortest = byte != 0 && (n + 1 < LONGEST || byte == 1);
            return shortest.then(|| (value, bytes.get(n + 1..).unwrap_or_default()));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::{put_varint, take_varint, varint_len};

    #[test]
    fn round_trips_at_every_width() {
        for bits in 0..=64 {
            for value in [(1_u128 << bits) - 1, 1_u128 << bits, (1_u128 << bits) + 1] {
                let Ok(value) = u64::try_from(value) else {
                    continue;
                };
                let mut out = Vec::new();
                put_varint(&mut out, value);
                assert_eq!(out.len(), varint_len(value), "{value}");
                out.push(0xee);
                assert_eq!(take_varint(&out), Some((value, &[0xee][..])));
            }
        }
    }

    #[test]
    fn refuses_what_is_not_the_shortest_form() {
        for bad in [
            &[][..],
            &[0x80],
            &[0x80, 0x00],
            &[0xff, 0x80, 0x00],
            &[0xff; 11],
        ] {
            assert_eq!(take_varint(bad), None, "{bad:x?}");
        }
        let mut over = [0xff_u8; 10];
        over[9] = 2;
        assert_eq!(take_varint(&over), None);
        over[9] = 1;
        assert_eq!(take_varint(&over), Some((u64::MAX, &[][..])));
    }
}

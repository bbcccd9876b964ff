//! Checksums that bind bytes to the place they belong to (R26).
//!
//! A row's checksum covers the store's id, the table, the key and the value, so that a value which is
//! read back intact but from the wrong place (a swapped page, another store's file) is damage too.
//! The hash is XXH3-64, seeded with a hash of the place.

use xxhash_rust::xxh3::xxh3_64_with_seed;

/// Bytes that a sealed row carries behind its value.
pub(crate) const CHECKSUM_LEN: usize = 8;

/// The checksum of `bytes` at the place named by `store` and `place`.
pub(crate) fn checksum(store: u64, place: &[u8], bytes: &[u8]) -> u64 {
    let seed = xxh3_64_with_seed(place, store);
    xxh3_64_with_seed(bytes, seed)
}

/// Appends the checksum to a row's value.
pub(crate) fn seal(store: u64, place: &[u8], mut value: Vec<u8>) -> Vec<u8> {
    let sum = checksum(store, place, &value);
    value.extend_from_slice(&sum.to_le_bytes());
    value
}

/// Verifies a sealed row and returns its value, or `None` when the bytes do not belong here.
pub(crate) fn unseal<'a>(store: u64, place: &[u8], sealed: &'a [u8]) -> Option<&'a [u8]> {
    let (value, sum) = sealed.split_last_chunk::<CHECKSUM_LEN>()?;
    (checksum(store, place, value) == u64::from_le_bytes(*sum)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::{seal, unseal};

    #[test]
    fn a_sealed_row_opens_only_in_its_own_place() {
        let sealed = seal(7, b"streams/1", b"value".to_vec());
        assert_eq!(unseal(7, b"streams/1", &sealed), Some(&b"value"[..]));
        assert_eq!(unseal(8, b"streams/1", &sealed), None);
        assert_eq!(unseal(7, b"streams/2", &sealed), None);
        let mut damaged = sealed;
        damaged[0] ^= 1;
        assert_eq!(unseal(7, b"streams/1", &damaged), None);
        assert_eq!(unseal(7, b"streams/1", b"short"), None);
    }
}

//! Messages: what is published, the same for everybody.

use riverbed::Publish;

/// The subject, where a workload does not care; also the name of its stream.
pub(crate) const SUBJECT: &str = "marks";
/// Bytes of a payload, where a workload does not say otherwise.
pub(crate) const PAYLOAD: usize = 100;

/// A batch of messages on one subject, numbered from here on.
pub(crate) fn batch(first: u64, messages: u64, size: usize) -> Vec<Publish> {
    (first..first + messages)
        .map(|number| Publish::new(SUBJECT, payload(number, size)))
        .collect()
}

/// The number, then half noise and half text: about what a JSON document with ids in it is like.
pub(crate) fn payload(number: u64, size: usize) -> Vec<u8> {
    let mut payload = Vec::with_capacity(size + 16);
    payload.extend_from_slice(&number.to_le_bytes());
    let mut word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while payload.len() < size {
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        payload.extend_from_slice(&word.to_le_bytes());
        payload.extend_from_slice(b"\"order\":");
    }
    payload.truncate(size);
    payload
}

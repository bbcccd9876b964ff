//! Payloads that can be told apart, and the count of those that came out again.

use anyhow::{Result, ensure};
use std::sync::atomic::{AtomicU64, Ordering};

/// Makes payloads of one size; each begins with its number.
pub struct Payloads {
    size: usize,
    next: AtomicU64,
}

impl Payloads {
    pub fn new(size: usize) -> Self {
        let next = AtomicU64::new(0);
        Self { size, next }
    }

    /// How many were made.
    pub fn made(&self) -> u64 {
        self.next.load(Ordering::SeqCst)
    }

    /// Refills the batch. A peer that borrowed them last time leaves them here, and they are used again.
    pub fn fill(&self, batch: &mut Vec<Vec<u8>>, messages: usize) {
        batch.truncate(messages);
        let first = self.next.fetch_add(messages as u64, Ordering::SeqCst);
        for (at, number) in (first..first + messages as u64).enumerate() {
            match batch.get_mut(at) {
                Some(used) => used.clear(),
                None => batch.push(Vec::with_capacity(self.size)),
            }
            if let Some(payload) = batch.get_mut(at) {
                write(payload, number, self.size);
            }
        }
    }
}

/// The number, then bytes that a compressor can do something with, but not everything.
fn write(payload: &mut Vec<u8>, number: u64, size: usize) {
    payload.extend_from_slice(&number.to_le_bytes());
    let mut word = number.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    while payload.len() < size {
        // Half noise, half text: about what a JSON document with ids in it is like.
        word ^= word << 13;
        word ^= word >> 7;
        word ^= word << 17;
        payload.extend_from_slice(&word.to_le_bytes());
        payload.extend_from_slice(b"\"order\":");
    }
    payload.truncate(size);
}

/// What came out: enough to notice a message that is missing, foreign, cut or there twice.
#[derive(Clone, Copy, Debug, Default)]
pub struct Seen {
    pub messages: u64,
    sum: u64,
    squares: u64,
    wrong_size: u64,
}

impl Seen {
    pub fn take(&mut self, payload: &[u8], size: usize) {
        let number = payload
            .first_chunk::<8>()
            .map_or(u64::MAX, |bytes| u64::from_le_bytes(*bytes));
        self.messages += 1;
        self.sum = self.sum.wrapping_add(number);
        self.squares = self.squares.wrapping_add(number.wrapping_mul(number));
        self.wrong_size += u64::from(payload.len() != size);
    }

    pub fn add(&mut self, other: &Self) {
        self.messages += other.messages;
        self.sum = self.sum.wrapping_add(other.sum);
        self.squares = self.squares.wrapping_add(other.squares);
        self.wrong_size += other.wrong_size;
    }

    /// Whether these are the numbers from 0 on, each once.
    pub fn verify(&self) -> Result<()> {
        ensure!(self.wrong_size == 0, "{} payloads cut", self.wrong_size);
        let mut right = Self::default();
        for number in 0..self.messages {
            right.sum = right.sum.wrapping_add(number);
            right.squares = right.squares.wrapping_add(number.wrapping_mul(number));
        }
        ensure!(
            (right.sum, right.squares) == (self.sum, self.squares),
            "the {} messages that came out are not the first {} that went in, each once",
            self.messages,
            self.messages
        );
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(numbers: &[u64]) -> Seen {
        let mut seen = Seen::default();
        for number in numbers {
            seen.take(&number.to_le_bytes(), 8);
        }
        seen
    }

    #[test]
    fn what_went_in_is_verified_in_any_order() {
        let payloads = Payloads::new(100);
        let mut batch = Vec::new();
        let mut out = Seen::default();
        for messages in [3, 1, 7] {
            payloads.fill(&mut batch, messages);
            assert_eq!(batch.len(), messages);
            batch
                .iter()
                .rev()
                .for_each(|payload| out.take(payload, 100));
        }
        assert_eq!((payloads.made(), out.messages), (11, 11));
        out.verify().unwrap();
    }

    #[test]
    fn a_message_that_is_missing_twice_there_or_cut_is_noticed() {
        seen(&[0, 1, 2]).verify().unwrap();
        assert!(seen(&[0, 1, 3]).verify().is_err());
        assert!(seen(&[0, 1, 1]).verify().is_err());
        let mut cut = seen(&[0]);
        cut.take(&[1], 8);
        assert!(cut.verify().is_err());
    }
}

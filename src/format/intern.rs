//! The distinct subjects of a block under construction, numbered by first appearance.

use xxhash_rust::xxh3::xxh3_64;

/// Bytes of a subject's fixed part in the summary: end of its name, records, last record.
pub(crate) const ENTRY_LEN: usize = 12;

#[derive(Clone, Copy, Debug)]
struct Entry {
    hash: u64,
    /// Where its name ends in `names`; it starts where the one before ends.
    end: u32,
    count: u32,
    last: u32,
}

/// Where a subject stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Found {
    Known(u32),
    /// Not there yet; the hash is kept so that adding it need not hash again.
    New(u64),
}

/// A subject table that is cleared and used again, so that packing many blocks allocates once.
#[derive(Clone, Debug, Default)]
pub(crate) struct Interner {
    names: String,
    entries: Vec<Entry>,
    /// Open addressing: 0 is free, n stands for entry n - 1. Its length is a power of two.
    slots: Vec<u32>,
    /// Most records have the subject of the record before them.
    recent: u32,
}

impl Interner {
    pub(crate) fn clear(&mut self) {
        self.names.clear();
        self.entries.clear();
        self.slots.fill(0);
        self.recent = 0;
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Bytes of the summary, fixed parts and names.
    pub(crate) fn encoded_len(&self) -> usize {
        self.entries.len() * ENTRY_LEN + self.names.len()
    }

    pub(crate) fn find(&self, subject: &str) -> Found {
        if self.name(self.recent) == Some(subject) {
            return Found::Known(self.recent);
        }
        let hash = xxh3_64(subject.as_bytes());
        let mut at = hash as usize;
        while let Some(index) = self.slot(at).and_then(|slot| slot.checked_sub(1)) {
            let same = self
                .entries
                .get(index as usize)
                .is_some_and(|entry| entry.hash == hash);
            if same && self.name(index) == Some(subject) {
                return Found::Known(index);
            }
            at = at.wrapping_add(1);
        }
        Found::New(hash)
    }

    /// Counts record `n` for a subject that `find` found, and returns the subject's index.
    pub(crate) fn count(&mut self, found: Found, subject: &str, n: u32) -> u32 {
        let index = match found {
            Found::Known(index) => index,
            Found::New(hash) => self.add(hash, subject),
        };
        if let Some(entry) = self.entries.get_mut(index as usize) {
            entry.count += 1;
            entry.last = n;
        }
        self.recent = index;
        index
    }

    /// Takes over a subject of an existing block, which comes in order and only once.
    pub(crate) fn restore(&mut self, subject: &str, count: u32, last: u32) {
        let index = self.add(xxh3_64(subject.as_bytes()), subject);
        if let Some(entry) = self.entries.get_mut(index as usize) {
            (entry.count, entry.last) = (count, last);
        }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for entry in &self.entries {
            for field in [entry.end, entry.count, entry.last] {
                out.extend_from_slice(&field.to_le_bytes());
            }
        }
        out.extend_from_slice(self.names.as_bytes());
    }

    fn add(&mut self, hash: u64, subject: &str) -> u32 {
        self.names.push_str(subject);
        let index = self.entries.len() as u32;
        self.entries.push(Entry {
            hash,
            end: self.names.len() as u32,
            count: 0,
            last: 0,
        });
        if self.entries.len() * 2 > self.slots.len() {
            self.grow();
        } else {
            self.place(hash, index);
        }
        index
    }

    fn grow(&mut self) {
        self.rebuild((self.slots.len() * 2).max(32));
    }

    /// Gives back memory that only what it held before needed.
    pub(crate) fn shrink(&mut self) {
        self.names.shrink_to_fit();
        self.entries.shrink_to_fit();
        let enough = (self.entries.len() * 2).next_power_of_two().max(32);
        if self.slots.len() > enough {
            self.rebuild(enough);
            self.slots.shrink_to_fit();
        }
    }

    fn rebuild(&mut self, len: usize) {
        self.slots.clear();
        self.slots.resize(len, 0);
        for index in 0..self.entries.len() {
            if let Some(hash) = self.entries.get(index).map(|entry| entry.hash) {
                self.place(hash, index as u32);
            }
        }
    }

    fn place(&mut self, hash: u64, index: u32) {
        let mut at = hash as usize;
        while self.slot(at).is_some_and(|slot| slot != 0) {
            at = at.wrapping_add(1);
        }
        let mask = self.slots.len().wrapping_sub(1);
        if let Some(slot) = self.slots.get_mut(at & mask) {
            *slot = index + 1;
        }
    }

    fn slot(&self, at: usize) -> Option<u32> {
        self.slots
            .get(at & self.slots.len().wrapping_sub(1))
            .copied()
    }

    fn name(&self, index: u32) -> Option<&str> {
        let index = index as usize;
        let start = match index.checked_sub(1) {
            None => 0,
            Some(before) => self.entries.get(before)?.end as usize,
        };
        self.names.get(start..self.entries.get(index)?.end as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::{Found, Interner};

    #[test]
    fn numbers_subjects_in_order_of_appearance() {
        let mut interner = Interner::default();
        for round in 0..3 {
            for n in 0..1000_u32 {
                let subject = format!("s.{n}");
                let found = interner.find(&subject);
                assert_eq!(matches!(found, Found::New(_)), round == 0);
                assert_eq!(interner.count(found, &subject, round * 1000 + n), n);
            }
        }
        assert_eq!(interner.len(), 1000);
        interner.clear();
        assert!(matches!(interner.find("s.1"), Found::New(_)));
        for n in 0..16_u32 {
            let subject = format!("t.{n}");
            let found = interner.find(&subject);
            assert_eq!(interner.count(found, &subject, n), n);
        }
        interner.shrink();
        assert_eq!(interner.slots.capacity(), 32);
        for n in 0..20_u32 {
            let found = interner.find(&format!("t.{n}"));
            assert_eq!(found == Found::Known(n), n < 16);
        }
    }
}

//! A stream's messages that are not yet in the store: by group, and those of the open group.
//!
//! They lie side by side in one allocation a group, because one a message is what a large batch spends
//! its time on.

use super::stored::Stored;
use std::collections::VecDeque;
use std::sync::Arc;

#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// Groups on their way to the disk, oldest first; none is empty.
    sealed: VecDeque<Arc<Vec<Stored>>>,
    /// The open group's.
    open: Vec<Stored>,
}

impl Recent {
    /// The first of them; the others follow without a gap.
    pub(crate) fn first_seq(&self) -> Option<u64> {
        let oldest = self.sealed.front().map_or(&self.open, |group| group);
        oldest.first().map(|stored| stored.seq)
    }

    pub(crate) fn get(&self, seq: u64) -> Option<&Stored> {
        let groups = self.sealed.iter().map(Arc::as_ref).chain([&self.open]);
        groups.into_iter().find_map(|group| {
            let at = usize::try_from(seq.checked_sub(group.first()?.seq)?).ok()?;
            group.get(at)
        })
    }

    /// Those from a sequence on.
    pub(crate) fn iter_from(&self, seq: u64) -> impl Iterator<Item = &Stored> {
        let groups = self.sealed.iter().map(Arc::as_ref).chain([&self.open]);
        groups.flat_map(move |group| {
            let first = group.first().map_or(u64::MAX, |stored| stored.seq);
            let skipped = usize::try_from(seq.saturating_sub(first)).unwrap_or(usize::MAX);
            group.iter().skip(skipped)
        })
    }

    /// Makes room for as many more messages.
    pub(crate) fn reserve(&mut self, messages: usize) {
        self.open.reserve(messages);
    }

    pub(crate) fn push(&mut self, stored: Stored) {
        debug_assert!(
            self.open
                .last()
                .is_none_or(|last| last.seq + 1 == stored.seq)
        );
        self.open.push(stored);
    }

    /// Seals the open group's messages; `None` when there are none.
    pub(crate) fn seal(&mut self) -> Option<Arc<Vec<Stored>>> {
        if self.open.is_empty() {
            return None;
        }
        let sealed = Arc::new(std::mem::take(&mut self.open));
        self.sealed.push_back(Arc::clone(&sealed));
        Some(sealed)
    }

    /// Lets the groups go that are in the store up to a sequence.
    pub(crate) fn complete(&mut self, last: u64) {
        let stored = |group: &Arc<Vec<Stored>>| group.last().is_none_or(|known| known.seq <= last);
        while self.sealed.front().is_some_and(stored) {
            self.sealed.pop_front();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Recent, Stored};
    use crate::headers::Headers;

    fn message(seq: u64) -> Stored {
        let (subject, headers) = ("s".into(), Headers::new());
        Stored {
            seq,
            time: seq,
            subject,
            id: None,
            headers,
            payload: Vec::new().into(),
        }
    }

    #[test]
    fn messages_are_found_by_sequence_in_whatever_group_they_are() {
        let mut recent = Recent::default();
        assert_eq!((recent.first_seq(), recent.seal().is_some()), (None, false));
        (5..8).for_each(|seq| recent.push(message(seq)));
        recent.seal();
        (8..10).for_each(|seq| recent.push(message(seq)));
        assert_eq!(recent.first_seq(), Some(5));
        let seqs = |from| {
            recent
                .iter_from(from)
                .map(|stored| stored.seq)
                .collect::<Vec<_>>()
        };
        assert_eq!(
            (seqs(0), seqs(6), seqs(9), seqs(10)),
            (vec![5, 6, 7, 8, 9], vec![6, 7, 8, 9], vec![9], vec![])
        );
        assert_eq!(recent.get(7).map(|stored| stored.seq), Some(7));
        assert_eq!(recent.get(9).map(|stored| stored.seq), Some(9));
        assert!(recent.get(4).is_none() && recent.get(10).is_none());
        recent.complete(7);
        assert_eq!(recent.first_seq(), Some(8));
        recent.seal();
        recent.complete(8);
        assert_eq!(recent.first_seq(), Some(8), "a group goes as a whole");
        recent.complete(9);
        assert_eq!(recent.first_seq(), None);
    }
}

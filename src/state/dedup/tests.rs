//! Tests of remembered ids, against rows as a store would keep them.

use super::{Dedup, hash_id};
use crate::changes::{Change, RowKey, Table};
use crate::format::rows::{DedupRow, decode_row};
use std::collections::BTreeMap;

/// The rows of the table, and what a store finds that is opened with them.
#[derive(Default)]
struct Rows(BTreeMap<u64, Vec<u8>>);

impl Rows {
    fn commit(&mut self, dedup: &mut Dedup) {
        let mut changes = Vec::new();
        dedup.take_changes(7, &mut changes);
        for change in changes {
            match change {
                Change::Put { key, value } => drop(self.0.insert(key.part, value)),
                Change::Delete { key } => {
                    assert_eq!(key, RowKey::new(Table::Dedup, 7, key.part));
                    self.0.remove(&key.part);
                }
                Change::DeleteParts { from, to, .. } => {
                    self.0.retain(|number, _| !(from..=to).contains(number));
                }
                other => panic!("{other:?}"),
            }
        }
    }

    fn ids(&self) -> usize {
        let rows = self.0.values();
        rows.map(|row| decode_row::<DedupRow>(row).unwrap().ids.len())
            .sum()
    }

    fn opened(&self, mut dedup: Dedup, next: u64) -> Dedup {
        dedup.restore_next(next);
        for (number, row) in &self.0 {
            dedup.restore(*number, decode_row(row).unwrap());
        }
        assert!(dedup.adds_up());
        dedup
    }
}

fn releasing() -> Dedup {
    let mut dedup = Dedup::default();
    dedup.keep_places();
    dedup
}

#[test]
fn ids_are_forgotten_by_age_and_rows_go_when_they_are_empty() {
    let mut dedup = Dedup::default();
    let mut rows = Rows::default();
    dedup.remember(1, 10, 100);
    dedup.remember(2, 11, 200);
    rows.commit(&mut dedup);
    dedup.remember(3, 12, 300);
    rows.commit(&mut dedup);
    assert_eq!((rows.0.len(), dedup.oldest()), (2, Some(100)));
    assert!(!dedup.forget(200, 100));
    assert_eq!(
        (dedup.find(1, 0), dedup.find(2, 0), dedup.find(3, 0)),
        (None, None, Some(12))
    );
    rows.commit(&mut dedup);
    assert_eq!(rows.0.len(), 1, "the first row is dropped");
    assert_eq!(dedup.len(), 1);
}

#[test]
fn the_hash_depends_on_the_secret() {
    assert_eq!(hash_id([1; 16], "a"), hash_id([1; 16], "a"));
    assert_ne!(hash_id([1; 16], "a"), hash_id([2; 16], "a"));
}

#[test]
fn what_is_released_is_in_no_row_and_what_takes_its_id_stays() {
    let (mut dedup, mut rows) = (releasing(), Rows::default());
    dedup.remember(1, 10, 100);
    dedup.remember(2, 11, 100);
    rows.commit(&mut dedup);
    assert!(dedup.renew(1, 100, 150), "it moves to another row");
    rows.commit(&mut dedup);
    assert_eq!(rows.ids(), 2);
    assert!(dedup.release(10) && !dedup.release(10));
    dedup.remember(1, 12, 200);
    rows.commit(&mut dedup);
    let mut dedup = rows.opened(releasing(), dedup.next_row());
    assert_eq!((dedup.find(1, 0), dedup.find(2, 0)), (Some(12), Some(11)));
    assert!(!dedup.release(10), "the id is another message's");
    // In the group that remembers it, and the last one of its row.
    dedup.remember(3, 13, 300);
    assert!(dedup.release(13) && dedup.release(12) && dedup.release(11));
    rows.commit(&mut dedup);
    assert!(rows.0.is_empty() && dedup.len() == 0 && dedup.adds_up());
}

#[test]
fn rows_are_small_where_ids_are_released_and_made_so_when_that_begins() {
    let (mut dedup, mut rows) = (Dedup::default(), Rows::default());
    for seq in 1..=200 {
        dedup.remember(u128::from(seq), seq, 100);
    }
    rows.commit(&mut dedup);
    assert!(dedup.renew(5, 100, 200));
    rows.commit(&mut dedup);
    assert_eq!((rows.0.len(), rows.ids()), (2, 201));
    dedup.keep_places();
    rows.commit(&mut dedup);
    assert_eq!((rows.0.len(), rows.ids()), (4, 200));
    assert!(dedup.release(5));
    rows.commit(&mut dedup);
    let dedup = rows.opened(releasing(), dedup.next_row());
    assert_eq!((dedup.find(5, 0), dedup.find(6, 0)), (None, Some(6)));
}

/// Whatever is done, what is found is what a map would find, also by who opens the store.
#[test]
fn it_is_a_map_whose_ids_run_out() {
    const WINDOW: u64 = 40;
    for seed in 0..60 {
        let mut rng = fastrand::Rng::with_seed(seed);
        let (mut dedup, mut rows) = (Dedup::default(), Rows::default());
        let mut known: BTreeMap<u128, (u64, u64)> = BTreeMap::new();
        let (mut now, mut seq, mut releases) = (100, 0, false);
        for _ in 0..400 {
            now += rng.u64(..4);
            let (horizon, hash) = (now - WINDOW, u128::from(rng.u8(..12)));
            known.retain(|_, (_, time)| *time > horizon);
            match rng.u8(..12) {
                0..=4 if known.contains_key(&hash) => {
                    let before = now - rng.u64(..8);
                    let renewed = dedup.renew(hash, before, now);
                    let entry = known.get_mut(&hash).unwrap();
                    assert_eq!(renewed, entry.1 <= before);
                    entry.1 = if renewed { now } else { entry.1 };
                }
                0..=4 => {
                    seq += 1;
                    dedup.remember(hash, seq, now);
                    known.insert(hash, (seq, now));
                }
                5..=6 if releases => {
                    let done = rng.u64(seq.saturating_sub(8)..=seq);
                    dedup.release(done);
                    known.retain(|_, (seq, _)| *seq != done);
                }
                7 => drop(dedup.forget(horizon, rng.usize(..6))),
                8 if rng.u8(..8) == 0 => {
                    releases = !releases;
                    if releases {
                        dedup.keep_places();
                    } else {
                        dedup.let_places_go();
                    }
                }
                9 if rng.u8(..4) == 0 => dedup.forget_for_good(horizon),
                10 => {
                    rows.commit(&mut dedup);
                    let as_it_was = if releases {
                        releasing()
                    } else {
                        Dedup::default()
                    };
                    dedup = rows.opened(as_it_was, dedup.next_row());
                }
                _ => rows.commit(&mut dedup),
            }
            assert!(dedup.adds_up(), "seed {seed}");
            for hash in 0..12 {
                let found = known.get(&hash).map(|(seq, _)| *seq);
                assert_eq!(dedup.find(hash, horizon), found, "seed {seed}, {hash}");
            }
        }
        dedup.forget(now, usize::MAX);
        rows.commit(&mut dedup);
        assert!(rows.0.is_empty() && dedup.len() == 0);
    }
}

#[test]
fn what_was_released_is_gone_though_places_were_let_go_and_kept_anew_in_one_group() {
    let mut dedup = releasing();
    let mut rows = Rows::default();
    dedup.remember(1, 10, 100);
    rows.commit(&mut dedup);
    dedup.remember(2, 11, 200);
    rows.commit(&mut dedup);
    dedup.release(11);
    dedup.let_places_go();
    dedup.keep_places();
    rows.commit(&mut dedup);
    assert_eq!(dedup.find(2, 0), None);
    let dedup = rows.opened(releasing(), dedup.next_row());
    assert_eq!((dedup.find(1, 0), dedup.find(2, 0)), (Some(10), None));
}

//! What is read with a journal is what is read without one, whatever was written and wherever it is by now.

use fastrand::Rng;

use super::journal::journaled;
use super::{apply, block, content, put};
use crate::changes::{Change, RowKey, Table};
use crate::disk::MemoryDisk;
use crate::store::{Store, StoreError};

/// A change of anything.
fn any(rng: &mut Rng, store: &Store) -> Change {
    let tables = [Table::Holes, Table::Dedup, Table::Subjects];
    let (table, id) = (tables[rng.usize(..3)], rng.u32(1..3));
    let (part, stream, first) = (rng.u64(..8), rng.u32(1..3), rng.u64(1..12));
    match rng.u8(..20) {
        0..=5 => put(table, id, part, &rng.u64(..).to_le_bytes()),
        6..=8 => Change::Delete {
            key: RowKey::new(table, id, part),
        },
        9 => Change::DeleteParts {
            table,
            id,
            from: part,
            to: part + rng.u64(..4),
        },
        10..=16 => block(store, stream, first, &rng.u64(..).to_le_bytes()),
        17 | 18 => Change::DropBlocks {
            stream,
            from: first,
            to: first + rng.u64(..6),
        },
        _ => Change::DropStream { stream },
    }
}

/// What every way of reading blocks says.
fn views(store: &Store) -> Vec<String> {
    let read = store.read(|reader| {
        let mut views = Vec::new();
        for stream in 1..3 {
            views.push(format!("{:?}", reader.last_block(stream)?));
            for seq in 0..14 {
                views.push(format!("{:?}", reader.block_at(stream, seq)?));
                views.push(format!("{:?}", reader.block_starts(stream, seq, 3)?));
                let mut seen = Vec::new();
                reader.blocks_from(stream, seq, |block| {
                    seen.push(block.first_seq());
                    Ok(std::ops::ControlFlow::Continue(()))
                })?;
                reader.blocks_back(stream, seq, |block| {
                    seen.push(block.first_seq());
                    Ok(std::ops::ControlFlow::Continue(()))
                })?;
                views.push(format!("{seen:?}"));
            }
        }
        Ok::<_, StoreError>(views)
    });
    read.unwrap()
}

#[test]
fn readers_see_the_same_with_a_journal_as_without() {
    for seed in 0..40 {
        let mut rng = Rng::with_seed(seed);
        let (plain_disk, mut disk) = (MemoryDisk::new(), MemoryDisk::new());
        let plain = super::open(&plain_disk).unwrap();
        let mut store = journaled(&disk).unwrap();
        for step in 0..120 {
            let changes: Vec<Change> = (0..rng.usize(1..5))
                .map(|_| any(&mut rng, &store))
                .collect();
            // Blocks say whose they are.
            let mine = |change: &Change| match change {
                Change::Block {
                    stream, first_seq, ..
                } => block(&plain, *stream, *first_seq, &step_payload(step)),
                other => other.clone(),
            };
            let theirs = |change: &Change| match change {
                Change::Block {
                    stream, first_seq, ..
                } => block(&store, *stream, *first_seq, &step_payload(step)),
                other => other.clone(),
            };
            apply(&plain, changes.iter().map(mine).collect()).unwrap();
            apply(&store, changes.iter().map(theirs).collect()).unwrap();
            match rng.u8(..12) {
                _ if store.wants_checkpoint() => store.checkpoint().unwrap(),
                0 => store.checkpoint().unwrap(),
                1 => {
                    disk = disk.crash_image(rng.u64(..));
                    store = journaled(&disk).unwrap();
                }
                _ => {}
            }
            let (found, expected) = (content(&store).unwrap(), content(&plain).unwrap());
            assert_eq!(found.rows, expected.rows, "seed {seed}, step {step}");
            let starts = |blocks: &[(u32, u64, Vec<u8>)]| {
                let starts = blocks.iter().map(|(stream, first, _)| (*stream, *first));
                starts.collect::<Vec<_>>()
            };
            assert_eq!(
                starts(&found.blocks),
                starts(&expected.blocks),
                "{seed} {step}"
            );
            let strip = |views: Vec<String>| {
                views
                    .into_iter()
                    .filter(|v| !v.contains('('))
                    .collect::<Vec<_>>()
            };
            assert_eq!(strip(views(&store)), strip(views(&plain)), "{seed} {step}");
        }
    }
}

fn step_payload(step: u64) -> [u8; 8] {
    step.to_le_bytes()
}

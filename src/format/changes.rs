//! The byte encoding of `Changes`: a version, the group, the changes in order.
//!
//! Every allocation is bounded by the bytes at hand; the whole is bounded by whoever frames it
//! (a group's size, a journal's record), so that nothing that was encoded is refused later.

use super::reader::Reader;
use super::varint::put_varint;
use crate::changes::{Change, Changes, RowKey, Table};

const VERSION: u8 = 1;

const PUT: u8 = 1;
const DELETE: u8 = 2;
const DELETE_PARTS: u8 = 3;
const BLOCK: u8 = 4;
const DROP_BLOCKS: u8 = 5;
const DROP_STREAM: u8 = 6;
const GROW: u8 = 7;

/// Why bytes are not the encoding of `Changes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum ChangesError {
    #[error("the changes have format version {version}; this riverbed reads version 1")]
    Version { version: u8 },
    #[error("the changes end before their version, group and count")]
    Short,
    #[error("change {n} of {count} is cut off or malformed")]
    Change { n: u64, count: u64 },
    #[error("{len} bytes follow the last change")]
    Trailing { len: usize },
}

/// The bytes of a group's changes.
#[cfg(any(test, fuzzing))]
pub(crate) fn encode_changes(changes: &Changes) -> Vec<u8> {
    let mut out = Vec::new();
    put_changes(&mut out, changes);
    out
}

/// Adds the bytes of a group's changes.
pub(crate) fn put_changes(out: &mut Vec<u8>, changes: &Changes) {
    out.reserve(32 * (1 + changes.changes.len()) + least_len(changes));
    out.push(VERSION);
    put_varint(out, changes.group);
    put_varint(out, changes.changes.len() as u64);
    for change in &changes.changes {
        encode_change(out, change);
    }
}

/// What [`put_changes`] made these bytes of.
pub(crate) fn decode_changes(bytes: &[u8]) -> Result<Changes, ChangesError> {
    let mut reader = Reader::new(bytes);
    match reader.u8().ok_or(ChangesError::Short)? {
        VERSION => {}
        version => return Err(ChangesError::Version { version }),
    }
    let group = reader.varint().ok_or(ChangesError::Short)?;
    let count = reader.varint().ok_or(ChangesError::Short)?;
    // Grows as changes are found, since a wrong count must not allocate.
    let mut changes = Vec::new();
    for n in 0..count {
        changes.push(decode_change(&mut reader).ok_or(ChangesError::Change { n, count })?);
    }
    match reader.rest().len() {
        0 => Ok(Changes { group, changes }),
        len => Err(ChangesError::Trailing { len }),
    }
}

/// Fewer bytes than [`put_changes`] adds, and not many fewer if there are many.
pub(crate) fn least_len(changes: &Changes) -> usize {
    changes.changes.iter().map(content_len).sum()
}

/// Bytes of one change beside its kind and key, which have at most 32.
fn content_len(change: &Change) -> usize {
    match change {
        Change::Put { value, .. } => value.len(),
        Change::Block { bytes, .. } => bytes.len(),
        Change::Grow { added, .. } => added.len(),
        _ => 0,
    }
}

fn encode_change(out: &mut Vec<u8>, change: &Change) {
    match change {
        Change::Put { key, value } => {
            put_key(out, PUT, *key);
            put_bytes(out, value);
        }
        Change::Delete { key } => put_key(out, DELETE, *key),
        Change::DeleteParts {
            table,
            id,
            from,
            to,
        } => {
            put_key(out, DELETE_PARTS, RowKey::new(*table, *id, *from));
            put_varint(out, *to);
        }
        Change::Block {
            stream,
            first_seq,
            bytes,
        } => {
            put_stream(out, BLOCK, *stream);
            put_varint(out, *first_seq);
            put_bytes(out, bytes);
        }
        Change::Grow {
            stream,
            first_seq,
            added,
            whole: _,
        } => {
            put_stream(out, GROW, *stream);
            put_varint(out, *first_seq);
            put_bytes(out, added);
        }
        Change::DropBlocks { stream, from, to } => {
            put_stream(out, DROP_BLOCKS, *stream);
            put_varint(out, *from);
            put_varint(out, *to);
        }
        Change::DropStream { stream } => put_stream(out, DROP_STREAM, *stream),
    }
}

fn decode_change(reader: &mut Reader<'_>) -> Option<Change> {
    Some(match reader.u8()? {
        PUT => Change::Put {
            key: take_key(reader)?,
            value: reader.bytes()?.to_vec(),
        },
        DELETE => Change::Delete {
            key: take_key(reader)?,
        },
        DELETE_PARTS => {
            let RowKey {
                table,
                id,
                part: from,
            } = take_key(reader)?;
            Change::DeleteParts {
                table,
                id,
                from,
                to: reader.varint()?,
            }
        }
        BLOCK => Change::Block {
            stream: reader.varint_u32()?,
            first_seq: reader.varint()?,
            bytes: reader.bytes()?.to_vec(),
        },
        GROW => Change::Grow {
            stream: reader.varint_u32()?,
            first_seq: reader.varint()?,
            added: reader.bytes()?.to_vec(),
            whole: None,
        },
        DROP_BLOCKS => Change::DropBlocks {
            stream: reader.varint_u32()?,
            from: reader.varint()?,
            to: reader.varint()?,
        },
        DROP_STREAM => Change::DropStream {
            stream: reader.varint_u32()?,
        },
        _ => return None,
    })
}

fn put_stream(out: &mut Vec<u8>, tag: u8, stream: u32) {
    out.push(tag);
    put_varint(out, stream.into());
}

fn put_key(out: &mut Vec<u8>, tag: u8, key: RowKey) {
    out.extend_from_slice(&[tag, key.table as u8]);
    put_varint(out, key.id.into());
    put_varint(out, key.part);
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn take_key(reader: &mut Reader<'_>) -> Option<RowKey> {
    let table = table_of(reader.u8()?)?;
    Some(RowKey::new(table, reader.varint_u32()?, reader.varint()?))
}

/// The table with this number on disk.
fn table_of(tag: u8) -> Option<Table> {
    const ALL: [Table; 15] = [
        Table::Meta,
        Table::StreamConfig,
        Table::StreamState,
        Table::Holes,
        Table::Subjects,
        Table::Dedup,
        Table::ConsumerConfig,
        Table::ConsumerState,
        Table::Exceptions,
        Table::Drops,
        Table::Scheduled,
        Table::ScheduledIndex,
        Table::Expiries,
        Table::Removals,
        Table::Losses,
    ];
    ALL.into_iter().find(|table| *table as u8 == tag)
}

#[cfg(test)]
mod tests {
    use super::{ChangesError, decode_changes, encode_changes, table_of};
    use crate::changes::{Change, Changes, RowKey, Table};

    fn one_of_each() -> Changes {
        let key = RowKey::new(Table::ConsumerState, 300, u64::MAX);
        let changes = vec![
            Change::Put {
                key,
                value: b"state".to_vec(),
            },
            Change::Delete {
                key: RowKey::new(Table::Meta, 0, 1),
            },
            Change::DeleteParts {
                table: Table::Dedup,
                id: 7,
                from: 0,
                to: 128,
            },
            Change::Block {
                stream: 9,
                first_seq: 1,
                bytes: b"block".to_vec(),
            },
            Change::DropBlocks {
                stream: 9,
                from: 1,
                to: 2,
            },
            Change::DropStream { stream: u32::MAX },
            Change::Grow {
                stream: 9,
                first_seq: 1,
                added: b"more".to_vec(),
                whole: None,
            },
        ];
        Changes {
            group: 200,
            changes,
        }
    }

    #[test]
    fn golden_bytes() {
        let expected = [
            &[1, 0xc8, 0x01, 7][..],
            &[
                1, 8, 0xac, 0x02, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01, 5,
            ],
            b"state",
            &[2, 1, 0, 1],
            &[3, 6, 7, 0, 0x80, 0x01],
            &[4, 9, 1, 5],
            b"block",
            &[5, 9, 1, 2],
            &[6, 0xff, 0xff, 0xff, 0xff, 0x0f],
            &[7, 9, 1, 4],
            b"more",
        ];
        assert_eq!(encode_changes(&one_of_each()), expected.concat());
    }

    #[test]
    fn decodes_to_what_was_encoded() {
        let changes = one_of_each();
        assert_eq!(decode_changes(&encode_changes(&changes)), Ok(changes));
        let empty = Changes::default();
        assert_eq!(decode_changes(&encode_changes(&empty)), Ok(empty));
    }

    #[test]
    fn refuses_everything_shorter_or_longer() {
        let bytes = encode_changes(&one_of_each());
        for len in 0..bytes.len() {
            assert!(decode_changes(&bytes[..len]).is_err(), "{len}");
        }
        let longer = [bytes, vec![0]].concat();
        assert_eq!(
            decode_changes(&longer),
            Err(ChangesError::Trailing { len: 1 })
        );
        assert_eq!(
            decode_changes(&[2, 0, 0]),
            Err(ChangesError::Version { version: 2 })
        );
        // A huge count allocates nothing.
        let huge = [
            1, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1,
        ];
        assert!(matches!(
            decode_changes(&huge),
            Err(ChangesError::Change { n: 0, .. })
        ));
    }

    #[test]
    fn every_table_has_its_number() {
        for tag in 1..=15 {
            assert_eq!(table_of(tag).map(|table| table as u8), Some(tag));
        }
        assert_eq!(table_of(0), None);
        assert_eq!(table_of(16), None);
    }
}

//! Changes: any bytes as their encoding, and any changes encoded and decoded.

use super::source::Source;
use crate::changes::{Change, Changes, RowKey, Table};
use crate::format::{decode_changes, encode_changes};

/// Decodes the bytes; then makes changes of them, which must come back.
pub fn changes(data: &[u8]) {
    if let Ok(changes) = decode_changes(data) {
        assert_eq!(encode_changes(&changes), data);
    }
    let mut source = Source::new(data);
    let mut made = Changes {
        group: source.number(),
        changes: Vec::new(),
    };
    while !source.is_empty() {
        made.changes.push(change(&mut source));
    }
    assert_eq!(decode_changes(&encode_changes(&made)), Ok(made));
}

fn change(source: &mut Source<'_>) -> Change {
    let shape = source.below(7);
    let key = RowKey::new(table(source), source.number() as u32, source.number());
    let (stream, from) = (key.id, key.part);
    match shape {
        0 => Change::Put {
            key,
            value: source.bytes(300).to_vec(),
        },
        1 => Change::Delete { key },
        2 => Change::DeleteParts {
            table: key.table,
            id: key.id,
            from,
            to: source.number(),
        },
        3 => Change::Block {
            stream,
            first_seq: from,
            bytes: source.bytes(300).to_vec(),
        },
        4 => Change::DropBlocks {
            stream,
            from,
            to: source.number(),
        },
        5 => Change::Grow {
            stream,
            first_seq: from,
            added: source.bytes(300).to_vec(),
            whole: None,
        },
        _ => Change::DropStream { stream },
    }
}

fn table(source: &mut Source<'_>) -> Table {
    match source.below(5) {
        0 => Table::Meta,
        1 => Table::Dedup,
        2 => Table::Exceptions,
        3 => Table::Scheduled,
        _ => Table::Drops,
    }
}

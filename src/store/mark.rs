//! `Mark`: what redb says of the journal, in a row that is written with what it says it has (RULES J1, J6).

use super::error::StoreError;
use super::tables;
use crate::changes::{Change, RowKey, Table};

/// The row that says which journal redb expects, and from where on.
pub(super) const KEY: RowKey = RowKey::new(Table::Meta, 0, u64::MAX);

/// Up to where redb has what is in a journal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// Which journal.
    pub(super) journal: u64,
    /// The lap whose records redb does not have.
    pub(super) lap: u64,
    /// The last record that redb has.
    pub(super) number: u64,
    /// Its checksum.
    pub(super) after: u64,
}

const EXPECTED: u8 = 1;
const NOT_EXPECTED: u8 = 0;

/// What redb says of journals.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Expected {
    /// None; there never was one.
    Never,
    /// None: it has all that was in this one.
    Ended {
        journal: u64,
    },
    This(Mark),
}

impl Expected {
    /// The row that says so.
    pub(super) fn change(self) -> Change {
        let (kind, fields) = match self {
            Self::Never => (NOT_EXPECTED, vec![]),
            Self::Ended { journal } => (NOT_EXPECTED, vec![journal]),
            Self::This(mark) => (
                EXPECTED,
                vec![mark.journal, mark.lap, mark.number, mark.after],
            ),
        };
        let mut value = vec![kind];
        value.extend(fields.into_iter().flat_map(u64::to_le_bytes));
        Change::Put { key: KEY, value }
    }

    pub(super) fn decode(row: Option<&[u8]>) -> Result<Self, StoreError> {
        let damaged = || StoreError::Damaged {
            place: tables::row_name(KEY),
        };
        let Some(row) = row else {
            return Ok(Self::Never);
        };
        let (kind, fields) = row.split_first().ok_or_else(damaged)?;
        let (fields, rest) = fields.as_chunks::<8>();
        let fields: Vec<u64> = fields
            .iter()
            .map(|field| u64::from_le_bytes(*field))
            .collect();
        match (*kind, fields.as_slice(), rest) {
            (NOT_EXPECTED, [], []) => Ok(Self::Never),
            (NOT_EXPECTED, &[journal], []) => Ok(Self::Ended { journal }),
            (EXPECTED, &[journal, lap, number, after], []) => Ok(Self::This(Mark {
                journal,
                lap,
                number,
                after,
            })),
            _ => Err(damaged()),
        }
    }
}

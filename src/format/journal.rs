//! The byte format of the journal: the head of its file, and its records.
//!
//! The file has three segments of equal size behind its head, and laps go round them: lap `n` is written
//! to segment `n mod 3`, from its start. A record says of which store, lap and number it is and carries the
//! checksum of the record before it, so that nothing of an earlier lap, of another file or of another
//! place can pass for one.

use super::checksum::checksum;

/// Bytes of the head of the file.
pub(crate) const HEAD_LEN: u64 = 4096;
/// Segments that laps go round.
pub(crate) const SEGMENTS: u64 = 3;
/// Bytes in front of a record's payload.
pub(crate) const RECORD_HEAD_LEN: usize = 56;
/// Records begin at multiples of this.
const ALIGNMENT: u64 = 8;

const FILE_MAGIC: [u8; 8] = *b"RvJournl";
/// What a record begins with.
pub(crate) const RECORD_MAGIC: [u8; 4] = *b"RvJr";
const VERSION: u32 = 1;
/// Bytes of the head that say something; the rest are zeros.
const HEAD_USED: usize = 48;

/// Why the head of a file is not that of this store's journal.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeadError {
    #[error("it does not begin as a journal does")]
    NotAJournal,
    #[error("its format version is {version}; this riverbed reads version 1")]
    Version { version: u32 },
    #[error("its head does not match its checksum")]
    Damaged,
}

/// The head of a journal's file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Head {
    /// The store that it belongs to.
    pub(crate) store: u64,
    /// Which of that store's journals it is: random.
    pub(crate) journal: u64,
    /// Bytes of a segment.
    pub(crate) segment: u64,
}

impl Head {
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEAD_USED);
        out.extend_from_slice(&FILE_MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 4]);
        for field in [self.store, self.journal, self.segment] {
            out.extend_from_slice(&field.to_le_bytes());
        }
        let sum = checksum(self.store, &FILE_MAGIC, &out);
        out.extend_from_slice(&sum.to_le_bytes());
        out
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, HeadError> {
        let used = bytes.get(..HEAD_USED).ok_or(HeadError::NotAJournal)?;
        let (body, sum) = used.split_last_chunk::<8>().ok_or(HeadError::NotAJournal)?;
        if body.get(..8) != Some(FILE_MAGIC.as_slice()) {
            return Err(HeadError::NotAJournal);
        }
        let version = u32_at(body, 8).unwrap_or(0);
        if version != VERSION {
            return Err(HeadError::Version { version });
        }
        let field = |at| u64_at(body, at).ok_or(HeadError::NotAJournal);
        let head = Self {
            store: field(16)?,
            journal: field(24)?,
            segment: field(32)?,
        };
        let whole = checksum(head.store, &FILE_MAGIC, body) == u64::from_le_bytes(*sum);
        let sound = head.segment >= ALIGNMENT && head.segment <= 1 << 40;
        if whole && sound {
            Ok(head)
        } else {
            Err(HeadError::Damaged)
        }
    }

    /// Bytes of the whole file.
    pub(crate) fn file_len(self) -> u64 {
        HEAD_LEN + SEGMENTS * self.segment
    }

    /// Where a lap begins in the file.
    pub(crate) fn start_of(self, lap: u64) -> u64 {
        HEAD_LEN + (lap % SEGMENTS) * self.segment
    }
}

/// What names a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) journal: u64,
    pub(crate) lap: u64,
    /// Grows by one from record to record, over all laps.
    pub(crate) number: u64,
    /// The checksum of the record before it; what it is in the first of a lap nobody asks.
    pub(crate) after: u64,
    /// How many records before it were not known to be synced when it was written.
    pub(crate) unsynced: u32,
}

/// A record, and where the next one begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) number: u64,
    pub(crate) payload: &'a [u8],
    pub(crate) checksum: u64,
    /// Bytes from its beginning to that of the next.
    pub(crate) len: u64,
    unsynced: u32,
}

impl Record<'_> {
    #[cfg(any(test, fuzzing))]
    pub(crate) fn unsynced(&self) -> u32 {
        self.unsynced
    }

    /// The last record that was synced before this one was written.
    pub(crate) fn last_synced(&self) -> u64 {
        self.number.saturating_sub(1 + u64::from(self.unsynced))
    }
}

/// Bytes that a record takes.
pub(crate) fn record_len(payload: usize) -> u64 {
    (RECORD_HEAD_LEN as u64 + payload as u64).next_multiple_of(ALIGNMENT)
}

/// A record whose payload is written where it belongs, and then the head in front of it.
#[derive(Clone, Debug)]
pub(crate) struct Draft(Vec<u8>);

impl Draft {
    /// With the payload that `write` adds.
    pub(crate) fn new(write: impl FnOnce(&mut Vec<u8>)) -> Self {
        let mut bytes = vec![0; RECORD_HEAD_LEN];
        write(&mut bytes);
        Self(bytes)
    }

    /// Bytes of its payload.
    fn payload_len(&self) -> usize {
        self.0.len() - RECORD_HEAD_LEN
    }

    /// Bytes that the record takes.
    pub(crate) fn record_len(&self) -> u64 {
        record_len(self.payload_len())
    }

    /// The record's bytes, and its checksum.
    pub(crate) fn finish(self, store: u64, place: Place) -> (Vec<u8>, u64) {
        let len = usize::try_from(self.record_len()).unwrap_or(usize::MAX);
        let mut head = Vec::with_capacity(RECORD_HEAD_LEN);
        head.extend_from_slice(&RECORD_MAGIC);
        head.extend_from_slice(&place.unsynced.to_le_bytes());
        for field in [
            place.journal,
            place.lap,
            place.number,
            place.after,
            self.payload_len() as u64,
        ] {
            head.extend_from_slice(&field.to_le_bytes());
        }
        let Self(mut bytes) = self;
        let (room, payload) = bytes.split_at_mut(RECORD_HEAD_LEN);
        let sum = sum_of(store, &head, payload);
        head.extend_from_slice(&sum.to_le_bytes());
        room.copy_from_slice(&head);
        bytes.resize(len, 0);
        (bytes, sum)
    }
}

/// A record's bytes, and its checksum.
#[cfg(any(test, fuzzing))]
pub(crate) fn encode_record(store: u64, place: Place, payload: &[u8]) -> (Vec<u8>, u64) {
    Draft::new(|out| out.extend_from_slice(payload)).finish(store, place)
}

/// The record that stands at the beginning of `bytes`, if it is one of this lap.
pub(crate) fn decode_record(
    store: u64,
    journal: u64,
    lap: u64,
    bytes: &[u8],
) -> Option<Record<'_>> {
    let head = bytes.get(..RECORD_HEAD_LEN)?;
    let (fields, sum) = head.split_last_chunk::<8>()?;
    if !begins_record(journal, lap, fields) {
        return None;
    }
    let len = usize::try_from(u64_at(fields, 40)?).ok()?;
    let end = RECORD_HEAD_LEN.checked_add(len)?;
    let payload = bytes.get(RECORD_HEAD_LEN..end)?;
    let sum = u64::from_le_bytes(*sum);
    (sum_of(store, fields, payload) == sum).then_some(Record {
        number: u64_at(fields, 24)?,
        payload,
        checksum: sum,
        len: record_len(len),
        unsynced: u32_at(fields, 4).unwrap_or(0),
    })
}

/// Whether bytes begin as a record of a lap does.
fn begins_record(journal: u64, lap: u64, bytes: &[u8]) -> bool {
    bytes.starts_with(&RECORD_MAGIC)
        && u64_at(bytes, 8) == Some(journal)
        && u64_at(bytes, 16) == Some(lap)
}

/// The bytes up to the end of a record's payload, if one begins like this: for salvage, which finds records
/// wherever they are.
pub(crate) fn declared_len(head: &[u8]) -> Option<u64> {
    let payload = u64_at(head, 40).filter(|_| head.starts_with(&RECORD_MAGIC))?;
    payload.checked_add(RECORD_HEAD_LEN as u64)
}

/// The payload of a whole record of a store, of whichever of its journals and laps: for salvage.
pub(crate) fn decode_any(store: u64, bytes: &[u8]) -> Option<&[u8]> {
    let record = decode_record(store, u64_at(bytes, 8)?, u64_at(bytes, 16)?, bytes)?;
    Some(record.payload)
}

/// The lap of the whole record that stands at the beginning of a segment, if one does.
pub(crate) fn lap_of(store: u64, journal: u64, bytes: &[u8]) -> Option<u64> {
    let lap = u64_at(bytes, 16)?;
    decode_record(store, journal, lap, bytes).map(|_| lap)
}

/// The checksum that a record says the one before it has.
pub(crate) fn follows(bytes: &[u8]) -> Option<u64> {
    u64_at(bytes, 32)
}

/// How often as many bytes are hashed in vain as there are, in the search for a record.
const IN_VAIN: u64 = 16;

/// Whether any whole record of a lap stands in these bytes that is one of those looked for, at whatever place
/// records may begin. So does one, for all that can be told, where so much begins like a record that the
/// search would not end.
pub(crate) fn holds_record(
    store: u64,
    journal: u64,
    lap: u64,
    bytes: &[u8],
    is_looked_for: impl Fn(&Record<'_>) -> bool,
) -> bool {
    let mut room = (bytes.len() as u64).saturating_mul(IN_VAIN);
    for at in (0..bytes.len()).step_by(ALIGNMENT as usize) {
        let rest = bytes.get(at..).unwrap_or_default();
        if !begins_record(journal, lap, rest) {
            continue;
        }
        if decode_record(store, journal, lap, rest).is_some_and(|found| is_looked_for(&found)) {
            return true;
        }
        let hashed = declared_len(rest).filter(|len| *len <= rest.len() as u64);
        match room.checked_sub(hashed.unwrap_or(0)) {
            Some(left) => room = left,
            None => return true,
        }
    }
    false
}

fn sum_of(store: u64, fields: &[u8], payload: &[u8]) -> u64 {
    checksum(store, fields, payload)
}

fn u64_at(bytes: &[u8], at: usize) -> Option<u64> {
    let field = bytes.get(at..)?.first_chunk::<8>()?;
    Some(u64::from_le_bytes(*field))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    let field = bytes.get(at..)?.first_chunk::<4>()?;
    Some(u32::from_le_bytes(*field))
}

#[cfg(test)]
mod tests {
    use super::{
        Head, HeadError, Place, declared_len, decode_any, decode_record, encode_record, follows,
        holds_record, lap_of,
    };

    const PLACE: Place = Place {
        journal: 7,
        lap: 3,
        number: 12,
        after: 99,
        unsynced: 2,
    };

    #[test]
    fn a_head_reads_back_and_no_flip_passes() {
        let head = Head {
            store: 5,
            journal: 7,
            segment: 4096,
        };
        let bytes = head.encode();
        assert_eq!(Head::decode(&bytes), Ok(head));
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            // Four bytes are reserved, and covered as well.
            assert!(Head::decode(&damaged).is_err(), "bit {bit}");
        }
        assert_eq!(Head::decode(&bytes[..47]), Err(HeadError::NotAJournal));
    }

    #[test]
    fn a_record_passes_only_where_it_belongs() {
        let (bytes, sum) = encode_record(5, PLACE, b"payload");
        let record = decode_record(5, 7, 3, &bytes).unwrap();
        assert_eq!((record.number, record.payload), (12, &b"payload"[..]));
        assert_eq!((record.checksum, record.len), (sum, bytes.len() as u64));
        assert_eq!(record.last_synced(), 9);
        assert_eq!(follows(&bytes), Some(99));
        assert_eq!(decode_record(6, 7, 3, &bytes), None);
        assert_eq!(decode_record(5, 8, 3, &bytes), None);
        assert_eq!(decode_record(5, 7, 6, &bytes), None);
        for bit in 0..(56 + 7) * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert_eq!(decode_record(5, 7, 3, &damaged), None, "bit {bit}");
        }
        for len in 0..56 + 7 {
            assert_eq!(decode_record(5, 7, 3, &bytes[..len]), None, "{len} bytes");
        }
    }

    #[test]
    fn a_later_record_is_found_wherever_it_may_begin() {
        let (record, _) = encode_record(5, PLACE, b"later");
        let mut bytes = vec![0; 4096];
        assert!(!holds_record(5, 7, 3, &bytes, |_| true));
        bytes[1032..1032 + record.len()].copy_from_slice(&record);
        assert!(holds_record(5, 7, 3, &bytes, |_| true));
        assert!(!holds_record(5, 7, 2, &bytes, |_| true));
    }

    #[test]
    fn a_search_that_would_not_end_is_taken_for_a_find() {
        let (record, _) = encode_record(5, PLACE, &vec![1; 100_000]);
        // Heads alone, each with bytes behind it that are not its own.
        let heads = record[..56].repeat(5_000);
        assert!(holds_record(5, 7, 3, &heads, |_| true));
        assert!(!holds_record(5, 7, 4, &heads, |_| true));
        assert!(!holds_record(5, 7, 3, &heads[..40_000], |_| true));
    }

    #[test]
    fn a_record_is_found_without_knowing_its_journal() {
        let (record, _) = encode_record(5, PLACE, b"payload");
        assert_eq!(declared_len(&record), Some(63));
        assert_eq!(decode_any(5, &record), Some(&b"payload"[..]));
        assert_eq!(decode_any(6, &record), None);
        assert_eq!(lap_of(5, 7, &record), Some(3));
        assert_eq!(lap_of(5, 8, &record), None);
        assert_eq!(
            (declared_len(b"RvJr"), declared_len(&[1; 60])),
            (None, None)
        );
    }
}

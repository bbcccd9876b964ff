//! Any bytes: an error, or a block that encodes back to the same bytes.

use crate::format::checksum::{CHECKSUM_LEN, checksum};
use crate::format::{
    Block, BlockBuilder, Growth, HEADER_LEN, Header, RecordInput, SummaryRow, cut, open_block,
};
use crate::headers::Headers;

/// Decodes the bytes as they are, and again with lengths and checksum made right, since no
/// mutation would get past those.
pub fn block(data: &[u8]) {
    decode(data);
    if let Some(mended) = mend(data) {
        decode(&mended);
    }
}

fn decode(bytes: &[u8]) {
    if let Some(row) = SummaryRow::decode(bytes, 1) {
        assert_ne!(row.subjects().count(), 0);
    }
    let Ok(block) = Block::open_any(bytes) else {
        return;
    };
    assert_eq!(Block::declared_len(bytes), Ok(bytes.len()));
    assert!(Block::open(bytes, block.store(), block.stream(), block.first_seq()).is_ok());
    let counted: u64 = block
        .subjects()
        .map(|subject| u64::from(subject.count))
        .sum();
    assert_eq!(counted, u64::from(block.count()));
    read_all(&block);
    summarize(&block, bytes);
    if let Ok(resumed) = BlockBuilder::resume(&block) {
        assert_eq!(resumed.finish(), bytes);
    }
    let verified = block.verify().is_ok();
    if verified {
        assert_eq!(encode_again(&block), bytes);
    }
    grow(&block, bytes, verified);
}

/// Its row, if it has one, says what it says.
fn summarize(block: &Block<'_>, bytes: &[u8]) {
    let (stream, first_seq) = (block.stream(), block.first_seq());
    let row = SummaryRow::encode_of(block);
    assert_eq!(row, SummaryRow::encode(bytes, stream, first_seq));
    if let Some(row) = row {
        let row = SummaryRow::decode(&row, first_seq).expect("it was encoded");
        assert_eq!(row.last_seq(), block.last_seq());
        let subjects = block.subjects().map(|known| known.subject);
        assert!(row.subjects().eq(subjects));
    }
}

/// Every accessor answers, and they agree.
fn read_all(block: &Block<'_>) {
    let subjects: Vec<_> = block.subjects().collect();
    for n in 0..block.count() {
        let Ok(record) = block.record(n) else {
            continue;
        };
        let index = block.subject_index_of(n).expect("the record is readable");
        assert_eq!(subjects[index as usize].subject, record.subject);
        assert_eq!(
            block
                .record_at_seq(record.seq)
                .expect("same record")
                .payload,
            record.payload
        );
        assert_eq!(
            record.headers.is_empty(),
            record.headers.to_headers().is_empty()
        );
    }
    assert!(block.record(block.count()).is_err());
}

fn encode_again(block: &Block<'_>) -> Vec<u8> {
    let mut builder = BlockBuilder::new(block.store(), block.stream(), block.first_seq());
    for record in block.records() {
        let record = record.expect("verified");
        let headers = record.headers.to_headers();
        let (time, subject, id, payload) = (record.time, record.subject, record.id, record.payload);
        let input = RecordInput {
            time,
            subject,
            id,
            headers: &headers,
            payload,
        };
        builder.push(&input).expect("verified");
    }
    builder.finish()
}

/// A damaged tail may be refused, a sound one may not.
fn grow(block: &Block<'_>, bytes: &[u8], verified: bool) {
    let Some(next) = block.last_seq().checked_add(1) else {
        return;
    };
    let headers = Headers::new();
    let time = block.last_time().unwrap_or_default();
    let new = RecordInput {
        time,
        subject: "new",
        id: None,
        headers: &headers,
        payload: b"new",
    };
    for growth in [Growth::Whole, Growth::InJournal] {
        let open = open_block(block.store(), block.stream(), next, Some(bytes), growth);
        let Ok(open) = open else {
            assert!(!verified, "a sound tail");
            continue;
        };
        let grown = cut(open, growth, [new]);
        if !verified {
            continue;
        }
        for (first_seq, bytes) in grown.expect("a sound tail").blocks {
            let block = Block::open(&bytes, block.store(), block.stream(), first_seq);
            assert_eq!(block.expect("just made").verify(), Ok(()));
        }
    }
}

/// Gives the bytes a header that fits their length, and their checksum.
fn mend(data: &[u8]) -> Option<Vec<u8>> {
    let mut bytes = data.to_vec();
    bytes.get_mut(..8)?.copy_from_slice(b"RvBk\x01\0\0\0");
    // The numbers of records and subjects must suit the length: keep them small.
    for at in [29, 30, 31, 41, 42, 43, 46, 47] {
        *bytes.get_mut(at)? = 0;
    }
    let len = u32::try_from(data.len()).ok()?;
    let word = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
    let fixed = word(44)? + word(28)? * 4 + (HEADER_LEN + CHECKSUM_LEN) as u32;
    let records_len = len.checked_sub(fixed)?;
    bytes
        .get_mut(48..52)?
        .copy_from_slice(&records_len.to_le_bytes());
    let header = Header::read(&bytes).ok()?;
    let (sealed, sum) = bytes.split_last_chunk_mut::<CHECKSUM_LEN>()?;
    *sum = checksum(header.store, &header.place(), sealed).to_le_bytes();
    Some(bytes)
}

//! A record: one message inside a block.
//!
//! Its subject and its sequence are the block's to tell; this is the rest, as bytes.

use super::reader::Reader;
use super::varint::{put_varint, varint_len};
use crate::headers::Headers;

/// Bytes that a message id may have.
pub(crate) const MAX_ID: usize = 1024;

/// The subject of a record that only stands in the place of a message that was excluded. No message has
/// it: there is no white space in a subject.
pub(crate) const FILLER: &str = "an excluded message";

const HAS_ID: u8 = 1;
const HAS_HEADERS: u8 = 2;

/// A message, as it is read from a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordRef<'a> {
    pub(crate) seq: u64,
    pub(crate) time: u64,
    pub(crate) subject: &'a str,
    pub(crate) id: Option<&'a str>,
    pub(crate) headers: HeadersRef<'a>,
    pub(crate) payload: &'a [u8],
}

impl RecordRef<'_> {
    /// Whether it is no message, but stands where one was excluded.
    pub(crate) fn is_filler(&self) -> bool {
        self.subject == FILLER
    }
}

/// A message, as it is put into a block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RecordInput<'a> {
    /// Microseconds since the Unix epoch.
    pub(crate) time: u64,
    pub(crate) subject: &'a str,
    /// 1 to [`MAX_ID`] bytes.
    pub(crate) id: Option<&'a str>,
    pub(crate) headers: &'a Headers,
    pub(crate) payload: &'a [u8],
}

/// A record's headers, checked but still encoded.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct HeadersRef<'a> {
    count: u32,
    raw: &'a [u8],
}

impl<'a> HeadersRef<'a> {
    fn read(reader: &mut Reader<'a>) -> Option<Self> {
        let count = reader.varint_u32().filter(|&count| count > 0)?;
        let before = reader.rest();
        for _ in 0..count {
            reader.text()?;
            reader.text()?;
        }
        let raw = before.get(..before.len() - reader.rest().len())?;
        Some(Self { count, raw })
    }

    pub(crate) const fn is_empty(&self) -> bool {
        self.count == 0
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = (&'a str, &'a str)> + use<'a> {
        let mut reader = Reader::new(self.raw);
        // `read` has walked these bytes, so that this ends with the last header and not before.
        std::iter::from_fn(move || Some((reader.text()?, reader.text()?)))
    }

    pub(crate) fn to_headers(self) -> Headers {
        self.iter().collect()
    }
}

/// Where a record's headers come from: a list, or another block's bytes.
#[derive(Clone, Copy, Debug)]
enum HeaderSource<'a> {
    List(&'a Headers),
    Encoded(HeadersRef<'a>),
}

impl HeaderSource<'_> {
    fn is_empty(&self) -> bool {
        match self {
            Self::List(headers) => headers.is_empty(),
            Self::Encoded(headers) => headers.is_empty(),
        }
    }

    fn encoded_len(&self) -> usize {
        match self {
            Self::List(headers) => {
                let lens = headers
                    .iter()
                    .map(|(name, value)| text_len(name) + text_len(value));
                varint_len(headers.len() as u64) + lens.sum::<usize>()
            }
            Self::Encoded(headers) => varint_len(headers.count.into()) + headers.raw.len(),
        }
    }

    fn encode(&self, out: &mut Vec<u8>) {
        match self {
            Self::List(headers) => {
                put_varint(out, headers.len() as u64);
                for (name, value) in headers.iter() {
                    put_text(out, name);
                    put_text(out, value);
                }
            }
            Self::Encoded(headers) => {
                put_varint(out, headers.count.into());
                out.extend_from_slice(headers.raw);
            }
        }
    }
}

/// The parts of a record that do not depend on the block around it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Body<'a> {
    pub(crate) id: Option<&'a str>,
    headers: HeaderSource<'a>,
    payload: &'a [u8],
}

impl<'a> Body<'a> {
    pub(crate) const fn of_input(input: &RecordInput<'a>) -> Self {
        Self {
            id: input.id,
            headers: HeaderSource::List(input.headers),
            payload: input.payload,
        }
    }

    /// The body of a record that moves to another block: its headers are copied, not parsed.
    pub(crate) const fn of_record(record: &RecordRef<'a>) -> Self {
        let headers = HeaderSource::Encoded(record.headers);
        Self {
            id: record.id,
            headers,
            payload: record.payload,
        }
    }

    pub(crate) fn encoded_len(&self) -> usize {
        let headers = if self.headers.is_empty() {
            0
        } else {
            self.headers.encoded_len()
        };
        1 + self.id.map_or(0, text_len) + headers + self.payload.len()
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut flags = 0;
        if self.id.is_some() {
            flags |= HAS_ID;
        }
        if !self.headers.is_empty() {
            flags |= HAS_HEADERS;
        }
        out.push(flags);
        if let Some(id) = self.id {
            put_text(out, id);
        }
        if !self.headers.is_empty() {
            self.headers.encode(out);
        }
        out.extend_from_slice(self.payload);
    }
}

/// A record as its bytes tell it: time and subject are still relative to the block.
#[derive(Clone, Copy, Debug)]
pub(crate) struct RawRecord<'a> {
    pub(crate) delta: u64,
    pub(crate) subject: u32,
    pub(crate) id: Option<&'a str>,
    pub(crate) headers: HeadersRef<'a>,
    pub(crate) payload: &'a [u8],
}

impl<'a> RawRecord<'a> {
    pub(crate) fn read(bytes: &'a [u8]) -> Option<Self> {
        let mut reader = Reader::new(bytes);
        let delta = reader.varint()?;
        let subject = reader.varint_u32()?;
        let flags = reader
            .u8()
            .filter(|flags| flags & !(HAS_ID | HAS_HEADERS) == 0)?;
        let id = match flags & HAS_ID {
            0 => None,
            _ => Some(
                reader
                    .text()
                    .filter(|id| (1..=MAX_ID).contains(&id.len()))?,
            ),
        };
        let headers = match flags & HAS_HEADERS {
            0 => HeadersRef::default(),
            _ => HeadersRef::read(&mut reader)?,
        };
        Some(Self {
            delta,
            subject,
            id,
            headers,
            payload: reader.rest(),
        })
    }

    /// Only the subject's index: what a filter needs of a record that it will skip.
    pub(crate) fn read_subject(bytes: &[u8]) -> Option<u32> {
        let mut reader = Reader::new(bytes);
        reader.varint()?;
        reader.varint_u32()
    }
}

fn text_len(text: &str) -> usize {
    varint_len(text.len() as u64) + text.len()
}

fn put_text(out: &mut Vec<u8>, text: &str) {
    put_varint(out, text.len() as u64);
    out.extend_from_slice(text.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::FILLER;

    #[test]
    fn nobody_can_publish_a_filler() {
        assert!(crate::subject::validate_subject(FILLER).is_err());
    }
}

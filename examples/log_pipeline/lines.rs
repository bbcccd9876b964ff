//! Lines of any input, in bounded memory.

use std::io::{self, BufRead, BufReader, ErrorKind, Read};

/// The longest line that is kept whole. A message takes 8 MiB; half of it leaves room for what goes
/// with the line, and for several lines in one batch.
pub(crate) const LONGEST: usize = 4 << 20;

/// One line, without its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Line {
    /// Counted from 1.
    pub(crate) number: u64,
    /// At most [`LONGEST`] bytes, of any kind.
    pub(crate) bytes: Vec<u8>,
    /// The line's length in the file, its end not counted; more than `bytes` has when it was cut.
    pub(crate) length: u64,
    /// What the line took of the file.
    pub(crate) taken: u64,
}

/// Reads lines that end in `\n` or `\r\n`; the last one may have no end. Bytes that are no text are kept
/// as they are.
#[derive(Debug)]
pub(crate) struct Lines<R> {
    reader: BufReader<R>,
    number: u64,
}

impl<R: Read> Lines<R> {
    pub(crate) fn new(input: R) -> Self {
        Self {
            reader: BufReader::with_capacity(256 << 10, input),
            number: 0,
        }
    }

    fn read(&mut self) -> io::Result<Option<Line>> {
        let mut bytes = Vec::new();
        let (mut taken, mut ended) = (0, false);
        while !ended {
            let chunk = match self.reader.fill_buf() {
                Ok(chunk) => chunk,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Err(error),
            };
            if chunk.is_empty() {
                break;
            }
            let end = chunk.iter().position(|byte| *byte == b'\n');
            let of_line = end.unwrap_or(chunk.len());
            let kept = of_line.min(LONGEST.saturating_sub(bytes.len()));
            bytes.extend_from_slice(chunk.get(..kept).unwrap_or_default());
            ended = end.is_some();
            let used = of_line + usize::from(ended);
            taken += used as u64;
            self.reader.consume(used);
        }
        if taken == 0 {
            return Ok(None);
        }
        let mut length = taken - u64::from(ended);
        if ended && bytes.len() as u64 == length && bytes.last() == Some(&b'\r') {
            bytes.pop();
            length -= 1;
        }
        self.number += 1;
        Ok(Some(Line {
            number: self.number,
            bytes,
            length,
            taken,
        }))
    }
}

impl<R: Read> Iterator for Lines<R> {
    type Item = io::Result<Line>;

    fn next(&mut self) -> Option<Self::Item> {
        self.read().transpose()
    }
}

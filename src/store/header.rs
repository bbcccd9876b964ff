//! `Header`: the first page of the file, which says whose it is (R25).
//!
//! redb would change a foreign file just by opening it. So redb never sees a file before this page
//! was read and found to be ours: identity and version are decided here, without writing a byte,
//! and a file that is refused stays as it is. (R25 first planned a probe that kept redb's writes in
//! memory; a page of our own says more, costs one read, and does not depend on redb at all.)

use std::io;
use std::path::Path;

use xxhash_rust::xxh3::xxh3_64;

use super::error::OpenError;
use crate::disk::DiskFile;

/// What the header takes of the file; redb lives behind it.
pub(super) const HEADER_LEN: u64 = PAGE as u64;

const PAGE: usize = 4096;
const MAGIC: [u8; 8] = *b"riverbed";
/// Where the checksum of the page begins, in every version of the format.
const SUM_AT: usize = PAGE - 8;

/// The version of the format that this program writes, and the newest that it reads.
pub(super) const VERSION: u32 = 1;

/// Who a store is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Header {
    pub(super) version: u32,
    /// Random, and part of every checksum, so that another store's bytes are never taken for ours.
    pub(super) store: u64,
    /// In milliseconds since 1970.
    pub(super) created: u64,
}

impl Header {
    pub(super) fn encode(&self) -> [u8; PAGE] {
        let mut page = [0; PAGE];
        let fields = [
            &MAGIC[..],
            &self.version.to_le_bytes(),
            &[0; 4],
            &self.store.to_le_bytes(),
            &self.created.to_le_bytes(),
        ];
        let bytes = fields
            .into_iter()
            .flatten()
            .chain(std::iter::repeat_n(&0, PAGE));
        let (body, sum) = page.split_at_mut(SUM_AT);
        body.iter_mut()
            .zip(bytes)
            .for_each(|(place, byte)| *place = *byte);
        sum.copy_from_slice(&xxh3_64(body).to_le_bytes());
        page
    }

    /// Reads a file's header without changing the file.
    pub(super) fn read(file: &dyn DiskFile, path: &Path) -> Result<Self, OpenError> {
        let io = |error| OpenError::io(path, "reading the header of")(error);
        let len = file.len().map_err(io)?;
        let mut page = [0; PAGE];
        let (start, _) = page.split_at_mut(usize::try_from(len).map_or(PAGE, |len| len.min(PAGE)));
        file.read_at(0, start).map_err(io)?;
        if !start.starts_with(&MAGIC) {
            let found = foreign(start, len);
            return Err(OpenError::NotAStore {
                path: path.to_owned(),
                found,
            });
        }
        if len <= HEADER_LEN {
            let what = format!("it ends after {len} bytes, inside or right behind its header");
            return Err(OpenError::damaged(path, what));
        }
        Self::decode(&page, path)
    }

    pub(super) fn decode(page: &[u8; PAGE], path: &Path) -> Result<Self, OpenError> {
        let (body, sum) = page.split_at(SUM_AT);
        if xxh3_64(body).to_le_bytes() != sum {
            return Err(OpenError::damaged(
                path,
                "the checksum of its header does not match",
            ));
        }
        let header = Self {
            version: u32::from_le_bytes(field(body, 8)),
            store: u64::from_le_bytes(field(body, 16)),
            created: u64::from_le_bytes(field(body, 24)),
        };
        if header.version > VERSION {
            let (path, found) = (path.to_owned(), header.version);
            return Err(OpenError::NewerFormat {
                path,
                found,
                supported: VERSION,
            });
        }
        Ok(header)
    }

    /// Writes the header and makes it, and everything behind it, durable.
    pub(super) fn write(&self, file: &dyn DiskFile) -> io::Result<()> {
        file.write_at(0, &self.encode())?;
        file.sync()
    }
}

/// The `N` bytes at `at`; zeros where the page ends, which no caller asks for.
fn field<const N: usize>(body: &[u8], at: usize) -> [u8; N] {
    body.get(at..)
        .and_then(|rest| rest.first_chunk())
        .copied()
        .unwrap_or([0; N])
}

/// Says what a file that is not ours looks like.
fn foreign(start: &[u8], len: u64) -> String {
    if len == 0 {
        "an empty file".to_owned()
    } else if start.starts_with(b"redb") {
        "a plain redb database".to_owned()
    } else if start.starts_with(b"SQLite format 3") {
        "an SQLite database".to_owned()
    } else {
        let begin = start
            .get(..start.len().min(16))
            .unwrap_or(start)
            .escape_ascii();
        format!("a file of {len} bytes that begins with \"{begin}\"")
    }
}

#[cfg(test)]
mod tests {
    use super::{HEADER_LEN, Header, OpenError, SUM_AT, VERSION, xxh3_64};
    use crate::disk::{Disk, MemoryDisk};
    use std::path::Path;

    const HEADER: Header = Header {
        version: VERSION,
        store: 7,
        created: 9,
    };

    fn read(bytes: &[u8]) -> Result<Header, OpenError> {
        let file = MemoryDisk::new().create(Path::new("/a")).unwrap();
        file.write_at(0, bytes).unwrap();
        Header::read(&*file, Path::new("/a"))
    }

    fn followed(page: &[u8]) -> Vec<u8> {
        [page, b"redb"].concat()
    }

    #[test]
    fn a_header_reads_back() {
        assert_eq!(read(&followed(&HEADER.encode())).unwrap(), HEADER);
        assert_eq!(HEADER.encode().len() as u64, HEADER_LEN);
    }

    #[test]
    fn every_flipped_bit_is_noticed() {
        let page = HEADER.encode();
        for at in (0..64).chain(4000..4096) {
            let mut damaged = page;
            damaged[at] ^= 0x10;
            assert!(read(&followed(&damaged)).is_err(), "byte {at}");
        }
    }

    #[test]
    fn a_newer_version_is_told_from_damage() {
        let mut page = Header {
            version: VERSION + 1,
            ..HEADER
        }
        .encode();
        let newer = read(&followed(&page));
        assert!(matches!(
            newer,
            Err(OpenError::NewerFormat {
                found: 2,
                supported: 1,
                ..
            })
        ));
        page[8] = 9;
        assert!(matches!(
            read(&followed(&page)),
            Err(OpenError::Damaged { .. })
        ));
        let sum = xxh3_64(&page[..SUM_AT]).to_le_bytes();
        page[SUM_AT..].copy_from_slice(&sum);
        assert!(matches!(
            read(&followed(&page)),
            Err(OpenError::NewerFormat { found: 9, .. })
        ));
    }

    #[test]
    fn a_file_cut_inside_its_header_is_damaged_and_a_foreign_one_is_named() {
        let page = HEADER.encode();
        for len in [8, 100, 4095, 4096] {
            assert!(
                matches!(read(&page[..len]), Err(OpenError::Damaged { .. })),
                "{len}"
            );
        }
        for (bytes, name) in [
            (&b""[..], "an empty file"),
            (b"redb\x1a\x0a", "redb database"),
            (
                b"hello\n",
                "a file of 6 bytes that begins with \"hello\\n\"",
            ),
            (b"river", "a file of 5 bytes"),
        ] {
            let error = read(bytes).unwrap_err();
            assert!(matches!(error, OpenError::NotAStore { .. }));
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

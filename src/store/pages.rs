//! `Pages`: redb's pages are verified before redb sees them (R26).
//!
//! redb keeps a checksum of every page in the page above it, up to the commit slots of its header, but
//! looks at them only while it repairs. What it then makes of a damaged page is anything: missing keys,
//! panics, and in its clean-up even an abort of the process. So its file is read through this: who
//! reads a page learns the checksums of the pages below it, and a page that comes back different is an
//! error that says where.
//!
//! One kind of page is let through although it is damaged: a leaf of a stream's blocks, or of their summaries,
//! whose entries are in order. Each of these carries a checksum of its own, so that one damaged block stops
//! nothing but its own messages, and a damaged summary nothing at all.

mod header;
mod known;
mod node;
pub(super) mod rows;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;
use xxhash_rust::xxh3::xxh3_128;

use self::header::Begin;
pub(super) use self::header::may_be_unclean;
use self::known::Known;
use self::node::Node;
use super::header::HEADER_LEN;
use super::tables::damaged_row;

/// Where redb's pages begin; its own header lies before.
const PAGE: u64 = 4096;

/// What is expected of redb's pages, as far as it is known.
#[derive(Debug, Default)]
pub(super) struct Pages {
    /// The store, for the checksums of rows; unknown while it is being made.
    store: u64,
    known: Mutex<Known>,
    /// Off while redb repairs: it verifies all pages itself then, and goes back to the commit before
    /// when the last one was torn.
    enforced: AtomicBool,
    /// The first page that was not as expected.
    damage: Mutex<Option<String>>,
}

/// What a page has to be.
#[derive(Clone, Debug)]
struct Expected {
    len: u64,
    checksum: u128,
    tree: Tree,
}

/// The tree that a page belongs to.
#[derive(Clone, Debug)]
enum Tree {
    /// The names of all tables, and where each begins.
    Tables {
        system: bool,
    },
    Table(Arc<Shape>),
}

/// What there is to know of a table to read its pages.
#[derive(Debug)]
struct Shape {
    name: String,
    key: Option<usize>,
    value: Option<usize>,
    /// What it holds is verified value by value.
    apart: bool,
}

impl Pages {
    /// Nothing is known yet.
    pub(super) fn of(store: u64) -> Self {
        Self {
            store,
            ..Self::default()
        }
    }

    /// Begins with the roots that redb's header names; `page` is the first page of its file.
    pub(super) fn begin(&self, page: &[u8]) -> io::Result<()> {
        let Begin {
            geometry,
            roots,
            trusted,
        } = header::read(page).map_err(invalid)?;
        let mut known = self.known.lock();
        known.geometry = Some(geometry);
        for (root, system) in roots {
            known.expect(root.page, root.checksum, Tree::Tables { system });
        }
        drop(known);
        self.enforced.store(trusted, Ordering::Release);
        Ok(())
    }

    /// redb has opened: whatever was torn is repaired now.
    pub(super) fn enforce(&self) {
        self.enforced.store(true, Ordering::Release);
    }

    /// The first damaged page, if one was read.
    pub(super) fn damage(&self) -> Option<String> {
        self.damage.lock().clone()
    }

    /// Judges what was read.
    pub(super) fn verify(&self, offset: u64, bytes: &[u8]) -> io::Result<()> {
        let len = bytes.len() as u64;
        let Some(expected) = self.known.lock().at(offset).filter(|it| it.len == len) else {
            return Ok(());
        };
        let node = Node::parse(bytes, &expected.tree);
        let used = node.as_ref().and_then(|node| bytes.get(..node.used()));
        match (&node, used) {
            (Some(node), Some(used)) if xxh3_128(used) == expected.checksum => {
                let below = node.below(&expected.tree);
                let mut known = self.known.lock();
                for (page, checksum, tree) in below {
                    known.expect(page, checksum, tree);
                }
                Ok(())
            }
            _ => self.damaged(offset, &expected.tree, node.as_ref()),
        }
    }

    fn damaged(&self, offset: u64, tree: &Tree, node: Option<&Node<'_>>) -> io::Result<()> {
        let at = offset + HEADER_LEN;
        let rows = node.map_or_else(String::new, |node| self.damaged_rows(node, tree));
        let place = format!("{rows}the page at byte {at} of the file, {}", tree.name());
        self.damage.lock().get_or_insert_with(|| place.clone());
        let readable = tree.is_verified_apart() && node.is_some_and(Node::is_ordered_leaf);
        if readable || !self.enforced.load(Ordering::Acquire) {
            return Ok(());
        }
        Err(invalid(format!("{place}, does not match its checksum")))
    }

    /// The rows of a leaf that are not what was written there, for people.
    fn damaged_rows(&self, node: &Node<'_>, tree: &Tree) -> String {
        let Tree::Table(shape) = tree else {
            return String::new();
        };
        let damaged = node
            .entries()
            .filter_map(|(key, sealed)| damaged_row(self.store, &shape.name, key, sealed));
        damaged.map(|row| row + ", in ").take(3).collect()
    }

    /// What is written is as it should be; what was there is gone.
    pub(super) fn forget(&self, offset: u64, len: u64) {
        self.known.lock().forget(offset, offset.saturating_add(len));
    }

    /// Nothing lies behind the end of the file.
    pub(super) fn truncate(&self, len: u64) {
        self.known.lock().truncate(len);
    }
}

impl Tree {
    fn name(&self) -> String {
        match self {
            Self::Tables { system: false } => "in the list of tables".to_owned(),
            Self::Tables { system: true } => "in redb's list of its own tables".to_owned(),
            Self::Table(shape) => format!("in table {}", shape.name),
        }
    }

    fn is_verified_apart(&self) -> bool {
        matches!(self, Self::Table(shape) if shape.apart)
    }
}

fn invalid(what: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

//! `Names`: the directory entries, and the changes to them that may not survive a power cut.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// A change of names that no sync of its directory has covered yet.
#[derive(Clone, Debug)]
pub(super) enum NameChange {
    Add { path: PathBuf, file: u64 },
    Rename { from: PathBuf, to: PathBuf },
    Remove { path: PathBuf },
}

pub(super) type Names = BTreeMap<PathBuf, u64>;

impl NameChange {
    pub(super) fn apply(&self, names: &mut Names) {
        match self {
            Self::Add { path, file } => {
                names.insert(path.clone(), *file);
            }
            Self::Rename { from, to } => {
                if let Some(file) = names.remove(from) {
                    names.insert(to.clone(), file);
                }
            }
            Self::Remove { path } => {
                names.remove(path);
            }
        }
    }

    pub(super) fn is_in(&self, dir: &Path) -> bool {
        let (Self::Add { path, .. } | Self::Rename { to: path, .. } | Self::Remove { path }) = self;
        path.parent() == Some(dir)
    }
}

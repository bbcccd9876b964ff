//! System calls per commit, as `count_syncs` counted them.

use anyhow::{Context, Result};
use serde::Deserialize;
use std::collections::HashMap;
use std::path::Path;

/// By peer.
#[derive(Default)]
pub struct Syncs(HashMap<String, PerCommit>);

#[derive(Deserialize)]
struct PerCommit {
    peer: String,
    fsync: f64,
    fdatasync: f64,
    sync_file_range: f64,
    msync: f64,
    writes: f64,
}

pub fn read(path: &Path) -> Result<Syncs> {
    let text = std::fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let mut syncs = HashMap::new();
    for line in text.lines() {
        let counted: PerCommit = serde_json::from_str(line).context("a line of the sync counts")?;
        syncs.insert(counted.peer.clone(), counted);
    }
    Ok(Syncs(syncs))
}

impl Syncs {
    /// For the table; nothing when it was not counted.
    pub fn of(&self, peer: &str) -> String {
        let Some(counted) = self.0.get(peer) else {
            return "not counted".to_owned();
        };
        let kinds = [
            ("fsync", counted.fsync),
            ("fdatasync", counted.fdatasync),
            ("sync_file_range", counted.sync_file_range),
            ("msync", counted.msync),
        ];
        let syncs: Vec<String> = kinds
            .iter()
            .filter(|(_, count)| *count >= 0.005)
            .map(|(name, count)| format!("{count:.2} {name}"))
            .collect();
        let syncs = if syncs.is_empty() {
            "0 syncs".to_owned()
        } else {
            syncs.join(", ")
        };
        format!("{syncs}; {:.2} writes", counted.writes)
    }
}

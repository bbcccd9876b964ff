//! From files to batches of messages.

use crate::lines::{LONGEST, Line, Lines};
use crate::parse::Severity;
use riverbed::Publish;
use std::collections::HashSet;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::sync::mpsc::SyncSender;

/// A batch is sent when its payloads reach this, however few lines it has.
const BATCH_BYTES: usize = 4 << 20;
/// A message id may have 1,024 bytes; the line's number takes at most 21 of them.
const NAME_BYTES: usize = 1_000;

/// One input.
#[derive(Debug)]
pub(crate) struct Source {
    /// What ids start with: the full path, or `-`.
    name: String,
    /// The file's token in subjects.
    token: String,
    /// `None` for standard input.
    path: Option<PathBuf>,
    /// Its size, if it has one.
    pub(crate) bytes: Option<u64>,
}

/// Lines on their way to the store.
#[derive(Debug)]
pub(crate) struct Lot {
    pub(crate) messages: Vec<Publish>,
    /// What they took of their files.
    pub(crate) taken: u64,
}

/// Names every input by its full path, so that the same line has the same id in every run, from
/// whatever directory, and two files of one name do not pass for each other.
pub(crate) fn sources(files: &[PathBuf]) -> Result<Vec<Source>, Box<dyn Error>> {
    let mut seen = HashSet::new();
    let mut sources = Vec::new();
    for file in files {
        let source = if file.as_os_str() == "-" {
            Source {
                name: "-".to_owned(),
                token: "stdin".to_owned(),
                path: None,
                bytes: None,
            }
        } else {
            of_file(file).map_err(|why| format!("{}: {why}", file.display()))?
        };
        if seen.insert(source.name.clone()) {
            sources.push(source);
        } else {
            eprintln!("{} is given twice; it is read once", file.display());
        }
    }
    Ok(sources)
}

fn of_file(file: &Path) -> Result<Source, Box<dyn Error>> {
    let facts = fs::metadata(file)?;
    if facts.is_dir() {
        return Err("it is a directory; name the files in it".into());
    }
    // A pipe has no canonical path.
    let path = fs::canonicalize(file).or_else(|_| std::path::absolute(file))?;
    let name = match path.to_str() {
        Some(text) => text.to_owned(),
        // No full path starts like this, so no two names meet.
        None => format!(
            "bytes:{}",
            path.as_os_str().as_encoded_bytes().escape_ascii()
        ),
    };
    if name.len() > NAME_BYTES {
        return Err(format!("its full path has more than {NAME_BYTES} bytes").into());
    }
    let last = path
        .file_name()
        .map(|last| last.to_string_lossy().into_owned());
    let token = token(&last.unwrap_or_default());
    let bytes = facts.is_file().then_some(facts.len());
    Ok(Source {
        name,
        token,
        path: Some(path),
        bytes,
    })
}

/// A file's name as one token of a subject.
fn token(name: &str) -> String {
    let plain = |c: char| {
        if c.is_ascii_alphanumeric() || c == '-' {
            c
        } else {
            '_'
        }
    };
    let token: String = name.chars().take(64).map(plain).collect();
    if token.is_empty() {
        "file".to_owned()
    } else {
        token
    }
}

/// Reads every source to its end. Stops early, without an error, when nobody takes the batches.
pub(crate) fn read_all(
    sources: Vec<Source>,
    lines_per_lot: usize,
    to: &SyncSender<Lot>,
) -> Result<(), Box<dyn Error + Send + Sync>> {
    for source in sources {
        let wrong = |why: io::Error| format!("{}: {why}", source.name);
        let input: Box<dyn Read> = match &source.path {
            None => Box::new(io::stdin()),
            Some(path) => Box::new(File::open(path).map_err(wrong)?),
        };
        let (mut lot, mut bytes) = (empty_lot(lines_per_lot), 0);
        for line in Lines::new(input) {
            let line = line.map_err(wrong)?;
            (lot.taken, bytes) = (lot.taken + line.taken, bytes + line.bytes.len());
            lot.messages.push(message(&source, line));
            if lot.messages.len() >= lines_per_lot || bytes >= BATCH_BYTES {
                bytes = 0;
                let full = std::mem::replace(&mut lot, empty_lot(lines_per_lot));
                if to.send(full).is_err() {
                    return Ok(());
                }
            }
        }
        if !lot.messages.is_empty() && to.send(lot).is_err() {
            return Ok(());
        }
    }
    Ok(())
}

fn empty_lot(lines: usize) -> Lot {
    Lot {
        messages: Vec::with_capacity(lines),
        taken: 0,
    }
}

fn message(source: &Source, line: Line) -> Publish {
    let severity = Severity::of(&line.bytes).as_str();
    let subject = format!("logs.{}.{severity}", source.token);
    let id = format!("{}:{}", source.name, line.number);
    let cut = line.bytes.len() == LONGEST && line.length > LONGEST as u64;
    let message = Publish::new(subject, line.bytes).id(id);
    if !cut {
        return message;
    }
    eprintln!(
        "{} line {}: {} bytes, cut to {LONGEST}",
        source.name, line.number, line.length
    );
    message.header("Line-Bytes", line.length.to_string())
}

//! Four log formats, parsed by hand into borrowed fields, and a severity for every line.
//!
//! A parser here answers only for what it recognises from the first byte to the last field. A line that
//! merely resembles a format is refused with a reason, because a wrong field is worse than none.

use std::fmt;

/// How bad a line says it is. It is the last token of the line's subject.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Severity {
    Debug,
    Info,
    Warning,
    Error,
    /// The line does not say.
    Unknown,
}

impl Severity {
    /// The word in the subject.
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warning => "warning",
            Self::Error => "error",
            Self::Unknown => "unknown",
        }
    }

    /// The severity of any line, parsed or not; what is no text counts up to where it stops being text.
    pub(crate) fn of(line: &[u8]) -> Self {
        let text = text_of(line);
        parse_text(text).map_or_else(|_| Self::mentioned(text), |record| record.severity)
    }

    /// The first level named among the first words of a line of no known format.
    fn mentioned(text: &str) -> Self {
        let words = text
            .split(|c: char| !c.is_ascii_alphabetic())
            .filter(|word| !word.is_empty());
        words
            .take(12)
            .find_map(Self::from_level)
            .unwrap_or(Self::Unknown)
    }

    /// The severity that a level's name stands for, in the spellings of the four formats and a few more.
    fn from_level(level: &str) -> Option<Self> {
        let is = |names: &[&str]| names.iter().any(|name| level.eq_ignore_ascii_case(name));
        if is(&["debug", "trace"]) {
            Some(Self::Debug)
        } else if is(&["info", "notice", "audit"]) {
            Some(Self::Info)
        } else if is(&["warn", "warning"]) {
            Some(Self::Warning)
        } else if is(&[
            "error", "err", "crit", "critical", "alert", "emerg", "fatal", "severe",
        ]) {
            Some(Self::Error)
        } else {
            None
        }
    }
}

/// The formats.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Format {
    Apache,
    Hdfs,
    OpenSsh,
    OpenStack,
}

impl Format {
    pub(crate) const ALL: [Self; 4] = [Self::Apache, Self::Hdfs, Self::OpenSsh, Self::OpenStack];
}

impl fmt::Display for Format {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Apache => "Apache",
            Self::Hdfs => "HDFS",
            Self::OpenSsh => "OpenSSH",
            Self::OpenStack => "OpenStack",
        })
    }
}

/// The fields of one line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Record<'a> {
    pub(crate) format: Format,
    /// As written; the formats do not agree on a year or a zone.
    pub(crate) time: &'a str,
    pub(crate) severity: Severity,
    /// The module, class, program or logger; empty where the format has none.
    pub(crate) source: &'a str,
    /// The process or thread.
    pub(crate) process: Option<u64>,
    pub(crate) text: &'a str,
}

/// Parses a line, or says why it can't.
pub(crate) fn parse(line: &[u8]) -> Result<Record<'_>, &'static str> {
    match std::str::from_utf8(line) {
        Ok(text) => parse_text(text),
        Err(_) => Err("the line is not UTF-8 text"),
    }
}

fn parse_text(text: &str) -> Result<Record<'_>, &'static str> {
    if text.trim().is_empty() {
        return Err("the line is empty");
    }
    apache(text)
        .or_else(|| hdfs(text))
        .or_else(|| openssh(text))
        .or_else(|| openstack(text))
        .ok_or("the line has none of the formats Apache, HDFS, OpenSSH, OpenStack")
}

/// The text at the start of a line.
fn text_of(line: &[u8]) -> &str {
    match std::str::from_utf8(line) {
        Ok(text) => text,
        Err(error) => {
            let valid = line.get(..error.valid_up_to()).unwrap_or_default();
            std::str::from_utf8(valid).unwrap_or_default()
        }
    }
}

/// `[Sun Dec 04 04:47:44 2005] [notice] text`, or `[module:notice]` as newer servers write it.
fn apache(line: &str) -> Option<Record<'_>> {
    let (time, rest) = line.strip_prefix('[')?.split_once("] [")?;
    let (level, text) = rest.split_once("] ")?;
    let mut words = time.split_ascii_whitespace();
    let (_weekday, month, _day) = (words.next()?, words.next()?, words.next()?);
    if !is_month(month) || !words.next()?.contains(':') {
        return None;
    }
    let (source, level) = level.split_once(':').unwrap_or(("", level));
    let severity = Severity::from_level(level)?;
    Some(Record {
        format: Format::Apache,
        time,
        severity,
        source,
        process: None,
        text,
    })
}

/// `081109 203615 148 INFO dfs.DataNode$PacketResponder: text`; the third word is a thread.
fn hdfs(line: &str) -> Option<Record<'_>> {
    let (date, rest) = line.split_once(' ')?;
    let (clock, rest) = rest.split_once(' ')?;
    if !shaped(date, "999999") || !shaped(clock, "999999") {
        return None;
    }
    let time = leading(line, date.len() + 1 + clock.len());
    let (thread, rest) = rest.split_once(' ')?;
    let (level, rest) = rest.split_once(' ')?;
    let (source, text) = rest.split_once(": ")?;
    let (severity, process) = (Severity::from_level(level)?, Some(thread.parse().ok()?));
    Some(Record {
        format: Format::Hdfs,
        time,
        severity,
        source,
        process,
        text,
    })
}

/// `Dec 10 06:55:46 host sshd[24200]: text`. The format names no level, so the text has to tell.
fn openssh(line: &str) -> Option<Record<'_>> {
    let (month, rest) = line.split_once(' ')?;
    // A day of one digit is padded.
    let (day, rest) = rest.trim_start_matches(' ').split_once(' ')?;
    let (clock, rest) = rest.split_once(' ')?;
    if !is_month(month) || day.parse::<u8>().is_err() || !shaped(clock, "99:99:99") {
        return None;
    }
    let time = leading(line, line.len() - rest.len()).trim_end();
    let (_host, rest) = rest.split_once(' ')?;
    let (source, text) = rest.split_once("]: ")?;
    let (source, process) = source.split_once('[')?;
    if source.contains(' ') {
        return None;
    }
    let (severity, process) = (severity_of_sshd(text), Some(process.parse().ok()?));
    Some(Record {
        format: Format::OpenSsh,
        time,
        severity,
        source,
        process,
        text,
    })
}

fn severity_of_sshd(text: &str) -> Severity {
    const WARNING: [&str; 7] = [
        "Failed ",
        "failure",
        "nvalid user",
        "BREAK-IN",
        "Too many",
        "max retries",
        "Did not receive",
    ];
    if text.starts_with("error:") || text.starts_with("fatal:") {
        Severity::Error
    } else if WARNING.iter().any(|sign| text.contains(sign)) {
        Severity::Warning
    } else {
        Severity::Info
    }
}

/// `nova-api.log.1.… 2017-05-16 00:00:00.008 25746 INFO nova.wsgi.server [req-…] text`; the file's name
/// in front is there only in collected logs.
fn openstack(line: &str) -> Option<Record<'_>> {
    let (first, rest) = line.split_once(' ')?;
    let (record, date, rest) = if shaped(first, "9999-99-99") {
        (line, first, rest)
    } else if first.contains(".log") {
        let (date, behind) = rest.split_once(' ')?;
        (rest, date, behind)
    } else {
        return None;
    };
    let (clock, rest) = rest.split_once(' ')?;
    if !shaped(date, "9999-99-99") || !shaped(clock, "99:99:99.999") {
        return None;
    }
    let time = leading(record, date.len() + 1 + clock.len());
    let (process, rest) = rest.split_once(' ')?;
    let (level, rest) = rest.split_once(' ')?;
    let (source, text) = rest.split_once(' ')?;
    let (severity, process) = (Severity::from_level(level)?, Some(process.parse().ok()?));
    Some(Record {
        format: Format::OpenStack,
        time,
        severity,
        source,
        process,
        text,
    })
}

fn is_month(word: &str) -> bool {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    MONTHS.contains(&word)
}

/// Whether a word has this shape, where a 9 stands for any digit.
fn shaped(word: &str, shape: &str) -> bool {
    let fits = |(have, want): (u8, u8)| {
        if want == b'9' {
            have.is_ascii_digit()
        } else {
            have == want
        }
    };
    word.len() == shape.len() && word.bytes().zip(shape.bytes()).all(fits)
}

fn leading(text: &str, bytes: usize) -> &str {
    text.get(..bytes).unwrap_or(text)
}

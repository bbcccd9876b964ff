//! Versions of the crates that were built in, from the lock file.

const LOCK: &str = include_str!("../Cargo.lock");

/// The newest version of this crate among the dependencies.
pub fn of(name: &str) -> String {
    let wanted = format!("name = \"{name}\"");
    let mut lines = LOCK.lines();
    let mut newest = None;
    while let Some(line) = lines.next() {
        if line == wanted {
            newest = lines
                .next()
                .and_then(|line| line.strip_prefix("version = \""))
                .map(|rest| rest.trim_end_matches('"'));
        }
    }
    newest.unwrap_or("unknown").to_owned()
}

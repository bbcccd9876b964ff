//! A short, printable piece of what was given, for error messages.

/// Characters that an error message quotes at most.
const LONGEST: usize = 64;

/// Quotes `text`, escaped, and cut when it is long: an error about a huge name stays small.
pub(crate) fn excerpt(text: &str) -> String {
    let mut out = String::from("\"");
    let mut chars = text.chars();
    for c in chars.by_ref().take(LONGEST) {
        out.extend(c.escape_debug());
    }
    out.push('"');
    if chars.next().is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::excerpt;

    #[test]
    fn quotes_escapes_and_cuts() {
        assert_eq!(excerpt("a\nb"), "\"a\\nb\"");
        let long = excerpt(&"é".repeat(10_000));
        assert_eq!(long.chars().count(), 64 + 3);
        assert!(long.ends_with("\"…"));
    }
}

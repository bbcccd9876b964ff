//! `SubjectFilter`: a subject with wildcards.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::{SubjectError, is_literal, validate_shape};
use crate::excerpt::excerpt;

/// Selects subjects: a subject, or one with wildcards.
///
/// `*` stands for exactly one token and `>`, only as the last token, for one or more. As in NATS
/// only a whole token is a wildcard; `a*b` is an ordinary token.
///
/// ```
/// use riverbed::SubjectFilter;
///
/// let filter: SubjectFilter = "orders.*.new".parse()?;
/// assert!(filter.matches("orders.eu.new"));
/// assert!(!filter.matches("orders.eu.de.new"));
/// assert!(SubjectFilter::try_from("orders.>")?.matches("orders.eu.de.new"));
/// # Ok::<(), riverbed::SubjectError>(())
/// ```
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SubjectFilter {
    text: String,
    /// Kept beside the text since it decides how to match, once per message.
    literal: bool,
}

impl SubjectFilter {
    fn parse(text: String) -> Result<Self, SubjectError> {
        validate_shape(&text)?;
        let mut tokens = text.split('.');
        if tokens.any(|token| token == ">") && tokens.next().is_some() {
            return Err(SubjectError::TailNotLast {
                subject: excerpt(&text),
            });
        }
        let literal = is_literal(&text);
        Ok(Self { text, literal })
    }

    /// The filter that selects every subject.
    pub(crate) fn everything() -> Self {
        Self {
            text: ">".to_owned(),
            literal: false,
        }
    }

    /// Whether the filter selects this subject, which is taken to be valid.
    ///
    /// ```
    /// let filter = riverbed::SubjectFilter::try_from("a.>")?;
    /// assert!(filter.matches("a.b.c"));
    /// assert!(!filter.matches("a"));
    /// # Ok::<(), riverbed::SubjectError>(())
    /// ```
    pub fn matches(&self, subject: &str) -> bool {
        if self.literal {
            return self.text == subject;
        }
        let mut tokens = subject.split('.');
        for wanted in self.text.split('.') {
            match (wanted, tokens.next()) {
                (">", Some(_)) => return true,
                ("*", Some(_)) => {}
                (wanted, Some(token)) if wanted == token => {}
                _ => return false,
            }
        }
        tokens.next().is_none()
    }

    /// Whether some subject could match both filters.
    ///
    /// ```
    /// # use riverbed::SubjectFilter;
    /// let (a, b) = (SubjectFilter::try_from("a.*")?, SubjectFilter::try_from("*.b")?);
    /// assert!(a.overlaps(&b));
    /// # Ok::<(), riverbed::SubjectError>(())
    /// ```
    pub fn overlaps(&self, other: &Self) -> bool {
        let (mut mine, mut theirs) = (self.text.split('.'), other.text.split('.'));
        loop {
            match (mine.next(), theirs.next()) {
                (None, None) => return true,
                (None, _) | (_, None) => return false,
                (Some(">"), _) | (_, Some(">")) => return true,
                (Some("*"), _) | (_, Some("*")) => {}
                (a, b) if a == b => {}
                _ => return false,
            }
        }
    }

    /// Whether every subject that this filter selects is selected by `other` too.
    ///
    /// ```
    /// # use riverbed::SubjectFilter;
    /// let (narrow, wide) = (SubjectFilter::try_from("a.*")?, SubjectFilter::try_from("a.>")?);
    /// assert!(narrow.is_subset_of(&wide));
    /// assert!(!wide.is_subset_of(&narrow));
    /// # Ok::<(), riverbed::SubjectError>(())
    /// ```
    pub fn is_subset_of(&self, other: &Self) -> bool {
        let (mut mine, mut theirs) = (self.text.split('.'), other.text.split('.'));
        loop {
            match (mine.next(), theirs.next()) {
                (None, None) => return true,
                (None, _) | (_, None) => return false,
                (_, Some(">")) => return true,
                (Some(">"), _) => return false,
                (_, Some("*")) => {}
                (a, b) if a == b => {}
                _ => return false,
            }
        }
    }

    /// Whether the filter has no wildcard, so that it selects one subject only.
    ///
    /// ```
    /// assert!(riverbed::SubjectFilter::try_from("a.b")?.is_literal());
    /// # Ok::<(), riverbed::SubjectError>(())
    /// ```
    pub fn is_literal(&self) -> bool {
        self.literal
    }

    /// The filter as it was written.
    ///
    /// ```
    /// assert_eq!(riverbed::SubjectFilter::try_from("a.*")?.as_str(), "a.*");
    /// # Ok::<(), riverbed::SubjectError>(())
    /// ```
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Display for SubjectFilter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl FromStr for SubjectFilter {
    type Err = SubjectError;

    fn from_str(text: &str) -> Result<Self, SubjectError> {
        Self::parse(text.to_owned())
    }
}

impl TryFrom<&str> for SubjectFilter {
    type Error = SubjectError;

    fn try_from(text: &str) -> Result<Self, SubjectError> {
        Self::parse(text.to_owned())
    }
}

impl TryFrom<String> for SubjectFilter {
    type Error = SubjectError;

    fn try_from(text: String) -> Result<Self, SubjectError> {
        Self::parse(text)
    }
}

impl From<SubjectFilter> for String {
    fn from(filter: SubjectFilter) -> Self {
        filter.text
    }
}

#[cfg(test)]
mod tests {
    use super::SubjectFilter;

    fn filter(text: &str) -> SubjectFilter {
        text.parse().unwrap()
    }

    #[test]
    fn matching() {
        let cases = [
            ("a.b", "a.b", true),
            ("a.b", "a", false),
            ("*", "a", true),
            ("*", "a.b", false),
            ("a.*", "a", false),
            (">", "a", true),
            (">", "a.b.c", true),
            ("a.>", "a", false),
            ("*.>", "a.b", true),
            ("*.>", "a", false),
            ("a.*.>", "a.b.c.d", true),
            ("a.*.c", "a.b.d", false),
        ];
        for (text, subject, expected) in cases {
            assert_eq!(filter(text).matches(subject), expected, "{text} {subject}");
        }
    }

    #[test]
    fn overlap_and_subset() {
        let cases = [
            // (a, b, overlap, a in b, b in a)
            ("a", "a", true, true, true),
            ("a", "b", false, false, false),
            ("a.*", "*.b", true, false, false),
            ("a.>", "a", false, false, false),
            ("a.>", "a.*", true, false, true),
            (">", "*", true, false, true),
            ("*.*", "*.>", true, true, false),
            ("a.*.c", "a.b.>", true, false, false),
        ];
        for (a, b, overlap, a_in_b, b_in_a) in cases {
            let (a, b) = (filter(a), filter(b));
            assert_eq!(a.overlaps(&b), overlap, "{a} {b}");
            assert_eq!(b.overlaps(&a), overlap, "{b} {a}");
            assert_eq!(a.is_subset_of(&b), a_in_b, "{a} {b}");
            assert_eq!(b.is_subset_of(&a), b_in_a, "{b} {a}");
        }
    }

    #[test]
    fn serde_validates() {
        let config = bincode::config::standard();
        let bytes = bincode::serde::encode_to_vec(filter("a.>"), config).unwrap();
        assert_eq!(bytes, bincode::serde::encode_to_vec("a.>", config).unwrap());
        let (back, _): (SubjectFilter, usize) =
            bincode::serde::decode_from_slice(&bytes, config).unwrap();
        assert_eq!(back, filter("a.>"));
        let bad = bincode::serde::encode_to_vec("a..b", config).unwrap();
        assert!(bincode::serde::decode_from_slice::<SubjectFilter, _>(&bad, config).is_err());
    }
}

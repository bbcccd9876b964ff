//! `Headers`: what travels beside a message's payload.

use crate::excerpt::excerpt;

/// Bytes of one header's name.
const MAX_NAME: usize = 256;
/// Bytes of one header's value.
const MAX_VALUE: usize = 16 * 1024;
/// Bytes of all names and values together.
const MAX_TOTAL: usize = 64 * 1024;

/// An ordered list of names and values that travels with a message.
///
/// A name may occur more than once, as in HTTP and NATS. Names are case-sensitive and keep their
/// order. What a message may carry is checked by [`Headers::validate`], not while the list grows.
///
/// ```
/// let mut headers = riverbed::Headers::new();
/// headers.insert("Content-Type", "text/plain");
/// headers.append("Trace", "a");
/// headers.append("Trace", "b");
/// assert_eq!(headers.get("Content-Type"), Some("text/plain"));
/// assert_eq!(headers.get_all("Trace").collect::<Vec<_>>(), ["a", "b"]);
/// assert!(headers.validate().is_ok());
/// ```
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Headers {
    entries: Vec<(String, String)>,
}

/// Why a message's headers were refused.
///
/// ```
/// let headers: riverbed::Headers = [("a:b", "1")].into_iter().collect();
/// let err = headers.validate().unwrap_err();
/// assert!(err.to_string().contains("\"a:b\""));
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum HeadersError {
    /// A header has an empty name.
    #[error("header {index} has an empty name; a name has 1 to 256 bytes")]
    EmptyName {
        /// Its place in the list, from 0.
        index: usize,
    },
    /// A name is longer than 256 bytes.
    #[error("the header name {name} has {len} bytes; at most 256 are allowed")]
    NameTooLong {
        /// The beginning of the name, quoted.
        name: String,
        /// Its bytes.
        len: usize,
    },
    /// A name contains something else than visible ASCII, or a colon.
    #[error("the header name {name} contains {character:?}; names are visible ASCII without ':'")]
    NameForbidden {
        /// The beginning of the name, quoted.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// A value is longer than 16 KiB.
    #[error("the value of header {name} has {len} bytes; at most 16384 are allowed")]
    ValueTooLong {
        /// The header's name, quoted.
        name: String,
        /// The value's bytes.
        len: usize,
    },
    /// A value contains a carriage return, a line feed or a NUL.
    #[error("the value of header {name} contains {character:?}; CR, LF and NUL are not allowed")]
    ValueForbidden {
        /// The header's name, quoted.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// All names and values together are longer than 64 KiB.
    #[error(
        "the headers have {len} bytes, from header {name} on too many; at most 65536 are allowed"
    )]
    TooLarge {
        /// The name of the header that went over the limit, quoted.
        name: String,
        /// The bytes of all names and values.
        len: usize,
    },
}

impl Headers {
    /// An empty list.
    ///
    /// ```
    /// assert!(riverbed::Headers::new().is_empty());
    /// ```
    pub const fn new() -> Self {
        Self {
            entries: Vec::new(),
        }
    }

    /// Sets `name` to this one value, in the place of its first value; its other values go away.
    ///
    /// ```
    /// let mut headers: riverbed::Headers = [("a", "1"), ("b", "2"), ("a", "3")].into_iter().collect();
    /// headers.insert("a", "4");
    /// assert_eq!(headers.iter().collect::<Vec<_>>(), [("a", "4"), ("b", "2")]);
    /// ```
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        let (name, mut new) = (name.into(), Some(value.into()));
        self.entries.retain_mut(|(known, value)| {
            if *known != name {
                return true;
            }
            new.take().map(|new| *value = new).is_some()
        });
        if let Some(value) = new {
            self.entries.push((name, value));
        }
    }

    /// Adds a value, and keeps those that the name already has.
    ///
    /// ```
    /// let mut headers = riverbed::Headers::new();
    /// headers.append("a", "1");
    /// headers.append("a", "2");
    /// assert_eq!(headers.len(), 2);
    /// ```
    pub fn append(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.entries.push((name.into(), value.into()));
    }

    /// The first value of `name`.
    ///
    /// ```
    /// let headers: riverbed::Headers = [("a", "1"), ("a", "2")].into_iter().collect();
    /// assert_eq!(headers.get("a"), Some("1"));
    /// assert_eq!(headers.get("A"), None);
    /// ```
    pub fn get(&self, name: &str) -> Option<&str> {
        self.get_all(name).next()
    }

    /// All values of `name`, in order.
    ///
    /// ```
    /// let headers: riverbed::Headers = [("a", "1"), ("b", "2"), ("a", "3")].into_iter().collect();
    /// assert!(headers.get_all("a").eq(["1", "3"]));
    /// ```
    pub fn get_all<'a>(&'a self, name: &str) -> impl Iterator<Item = &'a str> {
        self.iter()
            .filter(move |(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// All names and values, in order.
    ///
    /// ```
    /// let headers: riverbed::Headers = [("a", "1"), ("b", "2")].into_iter().collect();
    /// assert!(headers.iter().eq([("a", "1"), ("b", "2")]));
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + '_ {
        self.entries
            .iter()
            .map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// How many values there are, each of a repeated name counted.
    ///
    /// ```
    /// let headers: riverbed::Headers = [("a", "1"), ("a", "2")].into_iter().collect();
    /// assert_eq!(headers.len(), 2);
    /// ```
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there are none.
    ///
    /// ```
    /// assert!(riverbed::Headers::default().is_empty());
    /// ```
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Removes all values of `name` and says whether there were any.
    ///
    /// ```
    /// let mut headers: riverbed::Headers = [("a", "1"), ("a", "2")].into_iter().collect();
    /// assert!(headers.remove("a"));
    /// assert!(!headers.remove("a"));
    /// ```
    pub fn remove(&mut self, name: &str) -> bool {
        let before = self.entries.len();
        self.entries.retain(|(known, _)| known != name);
        self.entries.len() < before
    }

    /// The bytes of all names and values: what counts toward the limits.
    ///
    /// ```
    /// let headers: riverbed::Headers = [("abc", "de")].into_iter().collect();
    /// assert_eq!(headers.encoded_size(), 5);
    /// ```
    pub fn encoded_size(&self) -> usize {
        self.iter()
            .map(|(name, value)| name.len() + value.len())
            .sum()
    }

    /// Checks the limits: names of 1 to 256 bytes of visible ASCII without `:`, values of at most
    /// 16 KiB without CR, LF and NUL, and at most 64 KiB together.
    ///
    /// # Errors
    ///
    /// [`HeadersError`] names the offending header and the limit.
    ///
    /// ```
    /// let headers: riverbed::Headers = [("a", "two\nlines")].into_iter().collect();
    /// assert!(headers.validate().is_err());
    /// ```
    pub fn validate(&self) -> Result<(), HeadersError> {
        let mut total = 0_usize;
        for (index, (name, value)) in self.iter().enumerate() {
            validate_name(index, name)?;
            validate_value(name, value)?;
            total = total.saturating_add(name.len() + value.len());
            if total > MAX_TOTAL {
                return Err(HeadersError::TooLarge {
                    name: excerpt(name),
                    len: self.encoded_size(),
                });
            }
        }
        Ok(())
    }
}

fn validate_name(index: usize, name: &str) -> Result<(), HeadersError> {
    if name.is_empty() {
        return Err(HeadersError::EmptyName { index });
    }
    if name.len() > MAX_NAME {
        return Err(HeadersError::NameTooLong {
            name: excerpt(name),
            len: name.len(),
        });
    }
    match name.chars().find(|c| !c.is_ascii_graphic() || *c == ':') {
        Some(character) => Err(HeadersError::NameForbidden {
            name: excerpt(name),
            character,
        }),
        None => Ok(()),
    }
}

fn validate_value(name: &str, value: &str) -> Result<(), HeadersError> {
    if value.len() > MAX_VALUE {
        return Err(HeadersError::ValueTooLong {
            name: excerpt(name),
            len: value.len(),
        });
    }
    match value.chars().find(|c| matches!(c, '\r' | '\n' | '\0')) {
        Some(character) => Err(HeadersError::ValueForbidden {
            name: excerpt(name),
            character,
        }),
        None => Ok(()),
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Headers {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(pairs: I) -> Self {
        let entries = pairs
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect();
        Self { entries }
    }
}

#[cfg(test)]
mod tests {
    use super::{Headers, HeadersError};

    fn one(name: &str, value: &str) -> Result<(), HeadersError> {
        [(name, value)].into_iter().collect::<Headers>().validate()
    }

    #[test]
    fn limits_hold_to_the_byte() {
        assert_eq!(one(&"n".repeat(256), &"v".repeat(16_384)), Ok(()));
        assert!(matches!(
            one(&"n".repeat(257), ""),
            Err(HeadersError::NameTooLong { len: 257, .. })
        ));
        assert!(matches!(
            one("n", &"v".repeat(16_385)),
            Err(HeadersError::ValueTooLong { .. })
        ));
        assert_eq!(one("", "v"), Err(HeadersError::EmptyName { index: 0 }));
    }

    #[test]
    fn the_total_is_limited() {
        let mut headers: Headers = (0..4)
            .map(|n| (format!("{n:04}"), "v".repeat(16_380)))
            .collect();
        assert_eq!(headers.encoded_size(), 65_536);
        assert_eq!(headers.validate(), Ok(()));
        headers.append("x", "");
        assert!(matches!(
            headers.validate(),
            Err(HeadersError::TooLarge { len: 65_537, .. })
        ));
    }

    #[test]
    fn forbidden_characters_are_named() {
        for bad in [' ', ':', '\t', '\u{7f}', 'é', '\0'] {
            let refused = one(&format!("a{bad}"), "v");
            assert!(
                matches!(refused, Err(HeadersError::NameForbidden { character, .. }) if character == bad)
            );
        }
        for bad in ['\r', '\n', '\0'] {
            let refused = one("a", &format!("v{bad}"));
            assert!(
                matches!(refused, Err(HeadersError::ValueForbidden { character, .. }) if character == bad)
            );
        }
        assert_eq!(one("a", "täb\t and space"), Ok(()));
    }
}

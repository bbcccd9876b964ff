//! Names of streams and consumers.

use crate::excerpt::excerpt;

/// Bytes that a name may have.
const MAX_NAME: usize = 255;

/// Why a stream or consumer name was refused.
///
/// ```
/// let err = riverbed::validate_name("my.orders").unwrap_err();
/// assert_eq!(err.to_string(), "the name \"my.orders\" contains '.', which names may not");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NameError {
    /// The name has no characters.
    #[error("a name must have at least one character")]
    Empty,
    /// The name is longer than 255 bytes.
    #[error("the name {name} has {len} bytes; at most 255 are allowed")]
    TooLong {
        /// The beginning of the name, quoted.
        name: String,
        /// Its bytes.
        len: usize,
    },
    /// The name contains whitespace, a control character or one of `. * > / \`.
    #[error("the name {name} contains {character:?}, which names may not")]
    Forbidden {
        /// The beginning of the name, quoted.
        name: String,
        /// The first character that is not allowed.
        character: char,
    },
}

/// Checks a stream or consumer name: 1 to 255 bytes, without whitespace, control characters and
/// `. * > / \` (JetStream's rule: a name is one token of a subject and one part of a path).
///
/// # Errors
///
/// [`NameError`] says which rule was broken.
///
/// ```
/// assert!(riverbed::validate_name("orders-2024").is_ok());
/// assert!(riverbed::validate_name("two words").is_err());
/// ```
pub fn validate_name(name: &str) -> Result<(), NameError> {
    if name.is_empty() {
        return Err(NameError::Empty);
    }
    if name.len() > MAX_NAME {
        return Err(NameError::TooLong {
            name: excerpt(name),
            len: name.len(),
        });
    }
    match name.chars().find(|&c| is_forbidden(c)) {
        Some(character) => Err(NameError::Forbidden {
            name: excerpt(name),
            character,
        }),
        None => Ok(()),
    }
}

fn is_forbidden(c: char) -> bool {
    c.is_whitespace() || c.is_control() || matches!(c, '.' | '*' | '>' | '/' | '\\')
}

#[cfg(test)]
mod tests {
    use super::{NameError, validate_name};

    #[test]
    fn ordinary_names_pass() {
        for name in ["a", "orders", "ORDERS_2", "größe", "a-b", &"x".repeat(255)] {
            assert_eq!(validate_name(name), Ok(()));
        }
    }

    #[test]
    fn each_rule_has_its_error() {
        assert_eq!(validate_name(""), Err(NameError::Empty));
        assert!(matches!(
            validate_name(&"x".repeat(256)),
            Err(NameError::TooLong { len: 256, .. })
        ));
        for c in [
            '.', '*', '>', '/', '\\', ' ', '\t', '\n', '\0', '\u{7f}', '\u{a0}',
        ] {
            let name = format!("a{c}b");
            let refused = validate_name(&name);
            assert!(
                matches!(refused, Err(NameError::Forbidden { character, .. }) if character == c)
            );
        }
    }
}

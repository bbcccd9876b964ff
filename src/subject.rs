//! Subjects: what a message is about. `filter` selects them.

mod filter;

pub use filter::SubjectFilter;

use crate::excerpt::excerpt;

/// Bytes that a subject or a filter may have.
const MAX_BYTES: usize = 1024;
/// Tokens that a subject or a filter may have.
const MAX_TOKENS: usize = 64;

/// Why a subject or a filter was refused.
///
/// ```
/// let err = riverbed::validate_subject("orders..new").unwrap_err();
/// assert_eq!(err.to_string(), "\"orders..new\" has an empty token between its dots");
/// ```
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SubjectError {
    /// There are no characters.
    #[error("a subject must have at least one character")]
    Empty,
    /// It is longer than 1,024 bytes.
    #[error("{subject} has {len} bytes; a subject has at most 1024")]
    TooLong {
        /// The beginning of what was given, quoted.
        subject: String,
        /// Its bytes.
        len: usize,
    },
    /// It has more than 64 tokens.
    #[error("{subject} has {tokens} tokens; a subject has at most 64")]
    TooManyTokens {
        /// The beginning of what was given, quoted.
        subject: String,
        /// Its tokens.
        tokens: usize,
    },
    /// Two dots follow each other, or a dot is first or last.
    #[error("{subject} has an empty token between its dots")]
    EmptyToken {
        /// The beginning of what was given, quoted.
        subject: String,
    },
    /// It contains whitespace or a control character.
    #[error("{subject} contains {character:?}; whitespace and control characters are not allowed")]
    Forbidden {
        /// The beginning of what was given, quoted.
        subject: String,
        /// The first character that is not allowed.
        character: char,
    },
    /// A subject that names one message's place has a wildcard token.
    #[error("{subject} has a wildcard token; a message's subject has none")]
    Wildcard {
        /// The beginning of what was given, quoted.
        subject: String,
    },
    /// `>` is not the last token of a filter.
    #[error("{subject} has tokens after '>', which must be the last one")]
    TailNotLast {
        /// The beginning of what was given, quoted.
        subject: String,
    },
}

/// Checks the subject of a message: 1 to 1,024 bytes, 1 to 64 tokens separated by `.`, no empty
/// token, no whitespace, no control character, and no token that is a wildcard (`*` or `>`).
///
/// As in NATS, only a whole token is a wildcard: in `a*b` and `a>` those characters are ordinary.
///
/// # Errors
///
/// [`SubjectError`] says which rule was broken, and by what.
///
/// ```
/// assert!(riverbed::validate_subject("orders.eu.new").is_ok());
/// assert!(riverbed::validate_subject("orders.a*b").is_ok());
/// assert!(riverbed::validate_subject("orders.*").is_err());
/// ```
pub fn validate_subject(subject: &str) -> Result<(), SubjectError> {
    validate_shape(subject)?;
    if is_literal(subject) {
        return Ok(());
    }
    Err(SubjectError::Wildcard {
        subject: excerpt(subject),
    })
}

/// The rules that subjects and filters share.
fn validate_shape(text: &str) -> Result<(), SubjectError> {
    let subject = || excerpt(text);
    if text.is_empty() {
        return Err(SubjectError::Empty);
    }
    if text.len() > MAX_BYTES {
        return Err(SubjectError::TooLong {
            subject: subject(),
            len: text.len(),
        });
    }
    if let Some(character) = text.chars().find(|c| c.is_whitespace() || c.is_control()) {
        return Err(SubjectError::Forbidden {
            subject: subject(),
            character,
        });
    }
    if text.split('.').any(str::is_empty) {
        return Err(SubjectError::EmptyToken { subject: subject() });
    }
    let tokens = text.split('.').count();
    if tokens > MAX_TOKENS {
        return Err(SubjectError::TooManyTokens {
            subject: subject(),
            tokens,
        });
    }
    Ok(())
}

fn is_literal(text: &str) -> bool {
    !text.split('.').any(|token| token == "*" || token == ">")
}

#[cfg(test)]
mod tests {
    use super::{SubjectError, SubjectFilter, validate_subject};

    fn filter(text: &str) -> SubjectFilter {
        text.parse().unwrap()
    }

    #[test]
    fn each_rule_has_its_error() {
        use SubjectError as E;
        let many = vec!["t"; 65].join(".");
        assert_eq!(validate_subject(""), Err(E::Empty));
        assert!(matches!(
            validate_subject(&"x".repeat(1025)),
            Err(E::TooLong { len: 1025, .. })
        ));
        assert!(matches!(
            validate_subject(&many),
            Err(E::TooManyTokens { tokens: 65, .. })
        ));
        for text in [".", "a.", ".a", "a..b"] {
            assert!(
                matches!(validate_subject(text), Err(E::EmptyToken { .. })),
                "{text}"
            );
        }
        for text in ["a b", "a\t", "\0", "a.\u{a0}"] {
            assert!(
                matches!(validate_subject(text), Err(E::Forbidden { .. })),
                "{text}"
            );
        }
        for text in ["*", ">", "a.*", "a.>", "*.a"] {
            assert!(
                matches!(validate_subject(text), Err(E::Wildcard { .. })),
                "{text}"
            );
        }
        assert!(matches!(
            SubjectFilter::try_from("a.>.b"),
            Err(E::TailNotLast { .. })
        ));
        assert!(matches!(
            SubjectFilter::try_from(">.>"),
            Err(E::TailNotLast { .. })
        ));
        assert_eq!(validate_subject(&"x".repeat(1024)), Ok(()));
        assert_eq!(validate_subject(&vec!["t"; 64].join(".")), Ok(()));
    }

    #[test]
    fn a_wildcard_is_a_whole_token() {
        for text in ["a*b", "a>", ">a.b", "**", ">>", "*a.>b"] {
            assert_eq!(validate_subject(text), Ok(()), "{text}");
            assert!(filter(text).is_literal());
            assert!(filter(text).matches(text));
        }
        assert!(!filter("a*").matches("ab"));
    }
}

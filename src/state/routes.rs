//! Which stream captures a subject, without asking all of them.

use crate::subject::SubjectFilter;
use std::collections::HashMap;

/// Streams by the first token of their filters; a filter that begins with a wildcard is asked always.
#[derive(Debug, Default)]
pub(crate) struct Routes {
    by_token: HashMap<String, Vec<(SubjectFilter, u32)>>,
    wild: Vec<(SubjectFilter, u32)>,
}

impl Routes {
    pub(crate) fn add(&mut self, stream: u32, filters: &[SubjectFilter]) {
        for filter in filters {
            let route = (filter.clone(), stream);
            match first_token(filter.as_str()) {
                "*" | ">" => self.wild.push(route),
                token => self
                    .by_token
                    .entry(token.to_owned())
                    .or_default()
                    .push(route),
            }
        }
    }

    pub(crate) fn remove(&mut self, stream: u32) {
        self.wild.retain(|(_, id)| *id != stream);
        self.by_token.retain(|_, routes| {
            routes.retain(|(_, id)| *id != stream);
            !routes.is_empty()
        });
    }

    /// The stream that captures a subject; filters of different streams never overlap.
    pub(crate) fn find(&self, subject: &str) -> Option<u32> {
        let tokens = self
            .by_token
            .get(first_token(subject))
            .into_iter()
            .flatten();
        let mut routes = tokens.chain(&self.wild);
        routes
            .find(|(filter, _)| filter.matches(subject))
            .map(|(_, stream)| *stream)
    }
}

fn first_token(subject: &str) -> &str {
    subject.split_once('.').map_or(subject, |(first, _)| first)
}

#[cfg(test)]
mod tests {
    use super::Routes;

    #[test]
    fn a_subject_finds_its_stream_and_only_while_it_is_there() {
        let mut routes = Routes::default();
        routes.add(
            1,
            &["orders.>".parse().unwrap(), "returns".parse().unwrap()],
        );
        routes.add(2, &["*.audit.x".parse().unwrap()]);
        assert_eq!(routes.find("orders.eu"), Some(1));
        assert_eq!(routes.find("returns"), Some(1));
        assert_eq!(routes.find("payments.audit.x"), Some(2));
        assert_eq!(routes.find("orders"), None);
        routes.remove(1);
        assert_eq!(routes.find("orders.eu"), None);
    }
}

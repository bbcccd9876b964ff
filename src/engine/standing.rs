//! Alerts that were told and are not over, for those who subscribe later.

use crate::event::Event;
use std::collections::BTreeMap;

/// What an alert is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Kind {
    Stuck,
    Behind,
    Letters,
}

/// By kind, stream and consumer.
#[derive(Debug, Default)]
pub(super) struct Standing(BTreeMap<(Kind, String, String), Event>);

impl Standing {
    pub(super) fn events(&self) -> impl Iterator<Item = &Event> {
        self.0.values()
    }

    /// Takes in an event that is true by now, if an alert begins or ends with it.
    pub(super) fn note(&mut self, event: &Event) {
        let (kind, stream, consumer, begins) = match event {
            Event::ConsumerStuck {
                stream, consumer, ..
            } => (Kind::Stuck, stream, consumer.as_str(), true),
            Event::ConsumerUnstuck { stream, consumer } => {
                (Kind::Stuck, stream, consumer.as_str(), false)
            }
            Event::ConsumerBehind {
                stream, consumer, ..
            } => (Kind::Behind, stream, consumer.as_str(), true),
            Event::ConsumerCaughtUp {
                stream, consumer, ..
            } => (Kind::Behind, stream, consumer.as_str(), false),
            Event::DeadLettersPiledUp { stream, .. } => (Kind::Letters, stream, "", true),
            Event::DeadLettersCleared { stream, .. } => (Kind::Letters, stream, "", false),
            _ => return,
        };
        let key = (kind, stream.clone(), consumer.to_owned());
        if begins {
            self.0.insert(key, event.clone());
        } else {
            self.0.remove(&key);
        }
    }
}

impl<'a> FromIterator<&'a Event> for Standing {
    fn from_iter<T: IntoIterator<Item = &'a Event>>(events: T) -> Self {
        let mut standing = Self::default();
        for event in events {
            standing.note(event);
        }
        standing
    }
}

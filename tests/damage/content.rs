//! `Content`: what a store holds, as its public calls tell it.

use riverbed::{Consumer, Riverbed, Seq, StoredMessage, Stream};
use std::collections::BTreeMap;

/// A message, all of it.
pub(crate) type Bytes = (String, Vec<u8>, Option<String>, Vec<(String, String)>, u64);

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Content {
    pub(crate) streams: BTreeMap<String, StreamContent>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct StreamContent {
    facts: Vec<u64>,
    pub(crate) messages: BTreeMap<u64, Bytes>,
    consumers: BTreeMap<String, Vec<u64>>,
}

impl Content {
    /// Reads everything; the first complaint ends it.
    pub(crate) fn read(store: &Riverbed) -> Result<Self, String> {
        let (content, complaints) = Self::read_on(store);
        match complaints.into_iter().next() {
            None => Ok(content),
            Some(complaint) => Err(complaint),
        }
    }

    /// Reads what can be read, and collects what is complained about.
    pub(crate) fn read_on(store: &Riverbed) -> (Self, Vec<String>) {
        let (mut content, mut complaints) = (Self::default(), Vec::new());
        let names = store.streams().unwrap_or_else(|why| {
            complaints.push(why.to_string());
            Vec::new()
        });
        for name in names {
            let mut known = StreamContent::default();
            match store.stream(&name) {
                Ok(stream) => known.read(&stream, &mut complaints),
                Err(why) => complaints.push(why.to_string()),
            }
            content.streams.insert(name, known);
        }
        (content, complaints)
    }
}

impl StreamContent {
    fn read(&mut self, stream: &Stream, complaints: &mut Vec<String>) {
        match stream.info() {
            Ok(info) => {
                self.facts = vec![
                    info.messages,
                    info.bytes,
                    info.first_seq.get(),
                    info.last_seq.get(),
                    info.subjects,
                    info.deleted,
                    info.dedup_ids,
                ];
            }
            Err(why) => complaints.push(why.to_string()),
        }
        let mut from = Seq::new(1);
        // Behind a complaint the reading goes on.
        for _ in 0..50 {
            let mut complained = false;
            for message in stream.range(from..) {
                match message {
                    Ok(message) => {
                        from = Seq::new(message.seq().get() + 1);
                        self.messages.insert(message.seq().get(), bytes(&message));
                    }
                    Err(why) => {
                        complained = true;
                        complaints.push(why.to_string());
                        from = Seq::new(from.get() + 16);
                        break;
                    }
                }
            }
            if !complained {
                break;
            }
        }
        match stream.consumers() {
            Ok(names) => {
                for name in names {
                    match stream.consumer(&name).map_err(|why| why.to_string()) {
                        Ok(consumer) => self.consumer(&name, &consumer, complaints),
                        Err(why) => complaints.push(why),
                    }
                }
            }
            Err(why) => complaints.push(why.to_string()),
        }
    }

    fn consumer(&mut self, name: &str, consumer: &Consumer, complaints: &mut Vec<String>) {
        match consumer.info() {
            Ok(info) => {
                let facts = vec![
                    info.deliveries,
                    info.delivered.get(),
                    info.ack_floor.get(),
                    info.pending,
                    info.in_flight,
                    info.due,
                    info.delayed,
                    info.parked,
                ];
                self.consumers.insert(name.to_owned(), facts);
            }
            Err(why) => complaints.push(why.to_string()),
        }
        match consumer.parked(Seq::new(1), 1_000) {
            Ok(parked) => {
                let seqs = parked.iter().map(|parked| parked.message.seq().get());
                self.consumers
                    .entry(name.to_owned())
                    .or_default()
                    .extend(seqs);
            }
            Err(why) => complaints.push(why.to_string()),
        }
    }
}

pub(crate) fn bytes(message: &StoredMessage) -> Bytes {
    let headers = message.headers().iter();
    (
        message.subject().to_owned(),
        message.payload().to_vec(),
        message.id().map(str::to_owned),
        headers
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect(),
        message.timestamp().as_micros(),
    )
}

//! Holds what a power cut left against what the application was told before it.

use crate::histories::{FIRST, begun_config};
use crate::world::{Told, World, payload, text};
use riverbed::{
    Access, Consumer, ConsumerFate, DedupRelease, Fetch, ManualClock, MessageFate, Publish,
    PublishError, PublishErrorKind, Purge, Removal, Retention, Riverbed, Seq, StoredMessage,
    Stream,
};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Where every payload is after the store was opened again.
pub(crate) struct Places {
    pub(crate) stream: BTreeMap<String, Vec<u64>>,
    pub(crate) dead: BTreeMap<String, Vec<u64>>,
    pub(crate) parked: BTreeSet<String>,
    pub(crate) delivered: BTreeMap<String, u64>,
}

pub(crate) fn contents(store: &Riverbed, name: &str) -> BTreeMap<String, Vec<u64>> {
    let mut found: BTreeMap<String, Vec<u64>> = BTreeMap::new();
    let stream = store.stream(name).unwrap();
    let mut last = 0;
    for message in stream.range(..) {
        let message = message.unwrap();
        let (name, seq) = (text(message.payload()), message.seq().get());
        assert_eq!(message.payload(), payload(&name), "the bytes of {name}");
        assert!(seq > last, "sequences grow");
        last = seq;
        found.entry(name).or_default().push(seq);
    }
    let count: usize = found.values().map(Vec::len).sum();
    assert_eq!(
        stream.info().unwrap().messages,
        count as u64,
        "the count of {name}"
    );
    found
}

/// Takes everything that the consumer has left.
pub(crate) fn drain(
    consumer: &Consumer,
    store: &Riverbed,
    clock: &ManualClock,
) -> BTreeMap<String, u64> {
    let mut delivered: BTreeMap<String, u64> = BTreeMap::new();
    for _ in 0..4 {
        loop {
            let batch = consumer.fetch(Fetch::new(100).no_wait()).unwrap();
            if batch.is_empty() {
                break;
            }
            for message in &batch {
                *delivered.entry(text(message.payload())).or_default() += 1;
            }
            assert_eq!(batch.ack().unwrap().refused, []);
        }
        // Delays end; nothing is out that could time out.
        clock.advance(Duration::from_secs(2));
        store.drive().unwrap();
    }
    let info = consumer.info().unwrap();
    let left = (info.pending, info.in_flight, info.due, info.delayed);
    assert_eq!(left, (0, 0, 0, 0), "all of it came");
    delivered
}

#[allow(clippy::too_many_lines, reason = "one promise after the other")]
pub(crate) fn verify(world: &World, store: &Riverbed) {
    let told = &world.told;
    assert_eq!(store.check().unwrap(), Vec::<String>::new(), "check()");
    let deleted = store.stream("s").is_err();
    assert!(!deleted || told.delete.0, "a stream vanished");
    assert!(deleted || !told.delete.1, "a deleted stream is back");
    let second = store
        .stream("s")
        .is_ok_and(|s| s.consumer("second").is_ok());
    assert!(!second || !told.consumer_gone, "a deleted consumer is back");
    verify_second(world, store);
    if deleted {
        let dead = contents(store, "dead");
        assert!(
            told.dead.iter().all(|name| dead.contains_key(name)),
            "dead letters stay"
        );
        return;
    }
    verify_begun(told, store);
    verify_marked(told, store);
    let stream = store.stream("s").unwrap();
    let sealed = stream.info().unwrap().config.access == Access::Sealed;
    assert!(!sealed || told.seal.0, "a stream is sealed");
    assert!(sealed || !told.seal.1, "a sealed stream is open");
    let consumer = stream.consumer("c").unwrap();
    let parked = consumer.parked(Seq::new(0), 100).unwrap();
    let mut places = Places {
        stream: contents(store, "s"),
        dead: contents(store, "dead"),
        parked: parked
            .iter()
            .map(|parked| text(parked.message.payload()))
            .collect(),
        delivered: BTreeMap::new(),
    };
    verify_scheduled(told, &places, &stream);
    verify_repeating(told, &stream);
    verify_explained(told, &stream);
    let each = stream.info().unwrap().config.max_messages_per_subject;
    let on_it = places.stream.values().map(Vec::len).sum::<usize>() as u64;
    assert!(
        each.is_none_or(|each| on_it <= each),
        "over the limit of a subject"
    );
    let limit = stream.info().unwrap().config.max_messages;
    assert!(
        !told.limit.1 || limit == told.limit.0,
        "a new configuration is lost"
    );
    assert!(
        limit.is_none_or(|limit| places.stream.len() as u64 <= limit),
        "over the new limit"
    );
    if stream.info().unwrap().config.retention == Retention::Interest {
        // Of what was to go with its ack, all that is there is still to be delivered, and nothing else is.
        store.drive().unwrap();
        places.stream = contents(store, "s");
        let info = consumer.info().unwrap();
        let unfinished = info.pending + info.due + info.delayed + info.parked + info.refused;
        let second = stream.consumer("second").is_ok();
        assert!(
            second || unfinished == places.stream.len() as u64,
            "an ack and its removal are apart"
        );
    }
    let releases = stream.info().unwrap().config.dedup_release == DedupRelease::Finished;
    if releases {
        let ids = stream.info().unwrap().dedup_ids;
        let there = places.stream.values().map(Vec::len).sum::<usize>();
        let waiting = stream.scheduled(0, 100).unwrap().len();
        assert_eq!(
            ids,
            (there + waiting) as u64,
            "an id and its message are apart"
        );
    }
    if let Some((name, gone)) = &told.replacing {
        let new = places.stream.contains_key(name);
        let old = gone.iter().filter(|name| places.stream.contains_key(*name));
        let left = if new { 0 } else { gone.len() };
        assert_eq!(old.count(), left, "{name} replaces all of {gone:?} or none");
    }
    if store.stream("beside").is_ok() {
        let beside = contents(store, "beside");
        let both = |name: &String| places.stream.contains_key(name);
        assert!(beside.keys().all(both), "a batch is in one of its streams");
        let batches = ["b1", "b2", "b3"].map(String::from);
        let both = |name: &String| !both(name) || beside.contains_key(name);
        assert!(batches.iter().all(both), "a batch is in one of its streams");
    }
    let before = consumer.info().unwrap();
    if let Some(late) = told.replayed {
        let early = consumer.fetch(Fetch::new(100).no_wait()).unwrap();
        assert!(!early.is_empty(), "what comes first comes at once");
        for message in &early {
            assert_ne!(text(message.payload()), late, "it is not replayed");
            message.nak_now().unwrap();
        }
    }
    places.delivered = drain(&consumer, store, &world.clock);
    if let Some(skipped) = told.reset {
        assert_eq!(before.skipped, skipped, "what a reset skipped");
        let back = places.delivered.contains_key("a1");
        let none = (before.pending, before.parked, before.due) == (4, 0, 0);
        assert!(!back || none, "half a reset: {before:?}");
    }
    for (name, seq) in &told.stored {
        verify_stored(told, &places, name, *seq);
    }
    let mut open = true;
    for batch in &told.open {
        let there = batch
            .iter()
            .filter(|name| places.stream.contains_key(*name))
            .count();
        assert!(
            there == 0 || there == batch.len(),
            "part of a batch is stored: {batch:?}"
        );
        assert!(
            open || there == 0,
            "what was accepted later is there, earlier is not"
        );
        open = there > 0;
        for name in batch {
            let delivered = places.delivered.get(name).copied().unwrap_or(0);
            assert_eq!(
                delivered,
                u64::from(there > 0),
                "stored is delivered, and nothing else"
            );
        }
    }
    let highest = places
        .stream
        .values()
        .flatten()
        .max()
        .copied()
        .unwrap_or(0)
        .max(told.highest);
    // Ids are known for their window, also of messages that are gone; sequences are never used again.
    for (name, seq) in told
        .stored
        .iter()
        .filter(|(name, _)| !told.without_id.contains(*name))
    {
        let again = Publish::new("s.x", payload(name)).id(name.clone());
        let ack = stream.publish_message(again).unwrap();
        let forgotten = (told.maybe_gone.contains(name) && told.late) || releases;
        assert!(
            (ack.duplicate && ack.seq == *seq) || forgotten,
            "{name} was stored twice: {ack:?}"
        );
    }
    for name in told
        .open
        .iter()
        .flatten()
        .filter(|name| !told.without_id.contains(*name))
    {
        let again = Publish::new("s.x", payload(name)).id(name.clone());
        let duplicate = match stream.publish_message(again) {
            Ok(ack) => ack.duplicate,
            Err(why) => !is_sealed(&why),
        };
        // By now all of it is done.
        assert_eq!(
            duplicate,
            places.stream.contains_key(name) && !releases,
            "{name} is stored once"
        );
    }
    match stream.publish("s.x", payload("fresh")) {
        Ok(fresh) => {
            let seq = fresh.seq.get();
            assert!(seq > highest, "sequence {seq} is used again");
            assert!(!sealed, "a sealed stream takes messages");
        }
        Err(why) => assert!(sealed && is_sealed(&why), "{why}"),
    }
    assert_eq!(
        store.check().unwrap(),
        Vec::<String>::new(),
        "check() in the end"
    );
}

fn is_sealed(why: &PublishError) -> bool {
    matches!(why.kind, PublishErrorKind::Sealed { .. })
}

/// A stream that begins with another sequence is there as it was created, or not at all.
fn verify_begun(told: &Told, store: &Riverbed) {
    let Ok(begun) = store.stream("begun") else {
        assert_eq!(told.begun, None, "a stream is lost");
        return;
    };
    let info = begun.info().unwrap();
    assert_eq!(info.config, begun_config().subjects(["begun"]));
    let last = info.last_seq.get();
    assert_eq!(info.messages, last + 1 - FIRST);
    assert!(told.begun.is_none_or(|told| last >= told), "{last} is less");
    assert_eq!(begun.publish("begun", "").unwrap().seq, last + 1);
    assert!(begun.purge(Purge::all()).is_err(), "purges are denied");
}

/// A message and what is remembered of it left in one commit, and so did what its consumer lost.
fn verify_explained(told: &Told, stream: &Stream) {
    for (name, seq) in &told.stored {
        let explained = stream.explain(Seq::new(*seq)).unwrap();
        let fate = &explained.consumers["c"];
        let there = stream.get(Seq::new(*seq)).unwrap().is_some();
        let whole = format!("{name}: {explained:?}");
        match explained.message {
            MessageFate::Stored { .. } => assert!(there, "{whole}"),
            MessageFate::Removed { by, .. } => {
                assert!(!there, "{whole}");
                let lost = matches!(fate, ConsumerFate::Lost { by: known, .. } if *known == by);
                let copied = matches!(fate, ConsumerFate::DeadLettered { .. });
                let acked = matches!(fate, ConsumerFate::Acked | ConsumerFate::Finished);
                let done = copied || (acked && told.maybe_acked.contains(name));
                assert!(done || by != Removal::Retention, "{whole}");
                assert!(done || lost || by == Removal::Retention, "{whole}");
            }
            _ => panic!("{whole}"),
        }
        assert!(
            *fate != ConsumerFate::Acked || told.maybe_acked.contains(name),
            "{whole}"
        );
    }
}

/// A subject whose last message expired has a marker, and one or the other at any time.
fn verify_marked(told: &Told, store: &Riverbed) {
    let Ok(marked) = store.stream("marked") else {
        assert!(told.marked.is_empty(), "a stream is lost");
        return;
    };
    let mut found: BTreeMap<String, bool> = BTreeMap::new();
    for message in marked.range(..).map(Result::unwrap) {
        let is_marker = message.headers().get("Riverbed-Marker-Reason").is_some();
        assert_eq!(message.payload().is_empty(), is_marker);
        let before = found.insert(message.subject().to_owned(), is_marker);
        assert_eq!(before, None, "a message and its marker are both there");
    }
    for (subject, is_marker) in &told.marked {
        let there = found.get(subject);
        assert!(there.is_some(), "{subject} left nothing");
        assert!(there == Some(&true) || !is_marker, "{subject} is back");
    }
}

/// What was published for later waits or is in the stream, once, and a batch of it as a whole.
fn verify_scheduled(told: &Told, places: &Places, stream: &Stream) {
    let mut waiting = stream.scheduled(0, 100).unwrap();
    waiting.retain(|known| known.repeat.is_none());
    let waiting: Vec<String> = waiting.iter().map(|known| text(&known.payload)).collect();
    for name in &told.maybe_scheduled {
        let sent = places.stream.get(name).map_or(0, Vec::len);
        let waits = waiting.iter().filter(|known| *known == name).count();
        let certain = told.scheduled.contains(name) && !told.maybe_cancelled.contains(name);
        assert!(sent + waits <= 1, "{name} is there twice");
        assert!(sent + waits == 1 || !certain, "{name} is lost");
        assert!(
            sent + waits == 0 || !told.cancelled.contains(name),
            "{name} is back"
        );
        assert!(sent == 1 || !told.sent.contains(name), "{name} was sent");
    }
    let known = |name: &String| told.maybe_scheduled.contains(name);
    assert!(waiting.iter().all(known), "nobody published {waiting:?}");
}

/// A message that repeats came once at each of its times, and comes again at the next.
fn verify_repeating(told: &Told, stream: &Stream) {
    let Some((name, first, seconds, certain)) = &told.repeating else {
        return;
    };
    let mut waiting = stream.scheduled(0, 100).unwrap();
    waiting.retain(|known| known.repeat.is_some());
    assert!(waiting.len() == 1 || !certain, "{name} is lost");
    let found = stream.range(..).map(Result::unwrap);
    let found = found.filter(|message| text(message.payload()) == *name);
    let number = |message: &StoredMessage, header| {
        let value: &str = message.headers().get(header).unwrap();
        value.parse::<u64>().unwrap()
    };
    let due: Vec<u64> = found
        .map(|message| number(&message, "Riverbed-Schedule-Due"))
        .collect();
    let time = |n: u64| (first + n * seconds) * 1_000_000;
    let came = due.len() as u64;
    let expected: Vec<u64> = (0..came).map(time).collect();
    assert_eq!(due, expected, "{name} came at each of its times, once");
    assert!(came >= told.repeated, "{name} came, and is gone");
    for next in waiting {
        assert_eq!(next.due.as_micros(), time(came), "{name} comes again");
    }
}

/// A second consumer is there with all that it begins with, or not at all.
fn verify_second(world: &World, store: &Riverbed) {
    let Some((due, told)) = world.told.second else {
        return;
    };
    let found = store.stream("s").unwrap().consumer("second");
    assert!(!told || found.is_ok(), "a created consumer is lost");
    if let Ok(second) = found {
        let info = second.info().unwrap();
        assert_eq!((info.due, info.pending), (due, 0), "what it begins with");
        let batch = second.fetch(Fetch::new(100).no_wait()).unwrap();
        assert_eq!(batch.len() as u64, due);
        assert!(batch.iter().all(|message| message.deliveries() == 1));
    }
}

/// Every acknowledged message is stored once, and for its consumer in exactly one place.
pub(crate) fn verify_stored(told: &Told, places: &Places, name: &str, seq: u64) {
    let maybe_gone = told.maybe_gone.contains(name);
    let original = places
        .stream
        .get(name)
        .is_some_and(|seqs| seqs.contains(&seq));
    assert!(original || maybe_gone, "{name} is lost");
    assert!(!original || !told.gone.contains(name), "{name} is back");
    let copies = |found: &BTreeMap<String, Vec<u64>>| found.get(name).map_or(0, Vec::len);
    let dead = copies(&places.dead) as u64;
    let delivered = places.delivered.get(name).copied().unwrap_or(0);
    let somewhere = dead + delivered + u64::from(places.parked.contains(name));
    if told.acked.contains(name) {
        assert_eq!(somewhere, 0, "{name} was acked and is back");
    } else if told.maybe_acked.contains(name) || maybe_gone {
        assert!(somewhere <= 1, "{name} is in {somewhere} places");
    } else {
        assert_eq!(somewhere, 1, "{name} is in {somewhere} places");
    }
    if told.dead.contains(name) {
        assert_eq!(delivered, 0, "{name} was given up and is delivered again");
    }
}

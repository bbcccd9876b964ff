//! Names, subjects, headers, ids and payloads at their limits, which work, and one over, which is refused
//! by name and comes back (G10).

use crate::world::driven;
use riverbed::{
    ConsumerConfig, ConsumerError, Fetch, Publish, PublishError, PublishErrorKind, Riverbed,
    Stream, StreamConfig, StreamError,
};

const MIB: usize = 1 << 20;

fn any(store: &Riverbed) -> Stream {
    store
        .create_stream(StreamConfig::new("any").subjects([">"]))
        .unwrap()
}

fn refused(result: Result<riverbed::PublishAck, PublishError>) -> PublishErrorKind {
    let why = result.unwrap_err();
    assert_eq!(why.messages.len(), 1, "the message comes back");
    why.kind
}

#[test]
fn g10_names_of_255_bytes_work_everywhere_and_256_are_refused() {
    let (store, _) = driven();
    let (long, dead) = ("s".repeat(255), "d".repeat(255));
    let stream = store.create_stream(StreamConfig::new(&long)).unwrap();
    let config = ConsumerConfig::new("c".repeat(255))
        .max_deliver(1)
        .dead_letter(&dead);
    let consumer = stream.create_consumer(config).unwrap();
    stream.publish(&long, "x").unwrap();
    let batch = consumer.fetch(Fetch::new(1).no_wait()).unwrap();
    batch[0].nak().unwrap();
    // A dead letter's subject is made of all three.
    let letter = store.stream(&dead).unwrap().get(1.into()).unwrap().unwrap();
    assert_eq!(letter.subject().len(), 3 * 255 + 2);
    let over = "s".repeat(256);
    let why = store.create_stream(StreamConfig::new(&over)).unwrap_err();
    assert!(matches!(why, StreamError::Invalid(invalid) if invalid.setting == "name"));
    let why = stream
        .create_consumer(ConsumerConfig::new(&over))
        .unwrap_err();
    assert!(matches!(why, ConsumerError::Invalid(invalid) if invalid.setting == "name"));
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn g10_subjects_of_1024_bytes_and_64_tokens_work_and_more_is_refused() {
    let (store, _) = driven();
    let stream = any(&store);
    let tokens = |count: usize| vec!["t"; count].join(".");
    for subject in ["s".repeat(1_024), tokens(64)] {
        stream.publish(&subject, "").unwrap();
        let found = stream.last_for_subject(&subject).unwrap().unwrap();
        assert_eq!(found.subject(), subject);
    }
    for subject in ["s".repeat(1_025), tokens(65)] {
        let why = refused(stream.publish(&subject, ""));
        assert!(matches!(why, PublishErrorKind::Subject(_)), "{why:?}");
    }
    assert_eq!(stream.info().unwrap().messages, 2);
}

#[test]
fn g10_headers_and_ids_at_their_limits_work_and_one_byte_more_is_refused() {
    let (store, _) = driven();
    let stream = any(&store);
    let name = "n".repeat(256);
    let full = Publish::new("s", "")
        .header(&name, "v".repeat(16 << 10))
        .id("i".repeat(1_024));
    let seq = stream.publish_message(full).unwrap().seq;
    let found = stream.get(seq).unwrap().unwrap();
    assert_eq!(found.headers().get(&name).map(str::len), Some(16 << 10));
    assert_eq!(found.id().map(str::len), Some(1_024));
    // Four of 16 KiB with their names are 64 KiB in all.
    let headers = |last: usize| {
        let names = ["a", "b", "c", "d"];
        let all = names.map(|name| (name, if name == "d" { last } else { 16_383 }));
        all.into_iter()
            .fold(Publish::new("s", ""), |message, (name, bytes)| {
                message.header(name, "v".repeat(bytes))
            })
    };
    stream.publish_message(headers(16_383)).unwrap();
    let over = [
        headers(16_384),
        Publish::new("s", "").header("n".repeat(257), ""),
        Publish::new("s", "").header("n", "v".repeat((16 << 10) + 1)),
    ];
    for message in over {
        let why = refused(stream.publish_message(message));
        assert!(matches!(why, PublishErrorKind::Headers(_)), "{why:?}");
    }
    let why = refused(stream.publish_message(Publish::new("s", "").id("i".repeat(1_025))));
    let long = PublishErrorKind::IdLength {
        bytes: 1_025,
        limit: 1_024,
    };
    assert_eq!(why, long);
}

#[test]
fn g10_a_message_of_8_mib_is_stored_delivered_and_dead_lettered_and_one_byte_more_is_refused() {
    let (store, _) = driven();
    let stream = any(&store);
    let config = ConsumerConfig::new("c").max_deliver(1);
    let consumer = stream.create_consumer(config).unwrap();
    let headers = || Publish::new("s", vec![7; 8 * MIB - 10]).header("name", "values");
    stream.publish_message(headers()).unwrap();
    let batch = consumer.fetch(Fetch::new(1).no_wait()).unwrap();
    assert_eq!(batch[0].payload().len(), 8 * MIB - 10);
    batch[0].ack().unwrap();
    for message in [
        headers().header("n", ""),
        Publish::new("s", vec![7; 8 * MIB + 1]),
    ] {
        let why = refused(stream.publish_message(message));
        let over = 8 * MIB as u64 + 1;
        assert!(
            matches!(why, PublishErrorKind::TooLarge { bytes, .. } if bytes == over),
            "{why:?}"
        );
    }
    // The envelope of a dead letter is outside the limit of the message in it (R19).
    let jobs = store.create_stream(StreamConfig::new("jobs").subjects(["jobs"]));
    let why = jobs.unwrap_err();
    assert!(matches!(why, StreamError::SubjectOverlap { .. }), "{why:?}");
    store.delete_stream("any").unwrap();
    let jobs = store.create_stream(StreamConfig::new("jobs")).unwrap();
    let config = ConsumerConfig::new("c").max_deliver(1).dead_letter("dead");
    let worker = jobs.create_consumer(config).unwrap();
    jobs.publish("jobs", vec![9; 8 * MIB]).unwrap();
    worker.fetch(Fetch::new(1).no_wait()).unwrap()[0]
        .term("too much")
        .unwrap();
    let letter = store
        .stream("dead")
        .unwrap()
        .get(1.into())
        .unwrap()
        .unwrap();
    assert_eq!(letter.payload().len(), 8 * MIB);
    assert_eq!(worker.info().unwrap().dead_lettered, 1);
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

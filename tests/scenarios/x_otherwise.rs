//! Scenarios of other systems that are decided otherwise here (docs/design.md says why): what happens instead.

use crate::helpers::*;
use riverbed::{ConsumerConfig, Fetch, Publish, Refusal, Riverbed, Seq, StreamConfig};

fn is_sound(store: &Riverbed) {
    assert_eq!(store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn e14_nobody_is_pinned_and_what_a_worker_hangs_on_goes_to_another() {
    let world = World::new();
    let stream = world.stream("s");
    let config = ConsumerConfig::new("c").ack_wait(secs(30));
    // One at a time, as with a pinned client.
    let consumer = create(&stream, config.max_ack_pending(1));
    publish(&stream, "s.a", 2);
    let hung = take_one(&consumer);
    let other = world.consumer("s", "c");
    assert_eq!(seqs(&take(&other, 1)), Vec::<u64>::new());
    // A fetch that is refused for its size keeps nobody from the next one.
    world.pass(secs(30));
    other
        .fetch(Fetch::new(1).no_wait().max_bytes(1))
        .unwrap_err();
    let taken = take_one(&other);
    assert_eq!((taken.seq(), taken.deliveries()), (Seq::new(1), 2));
    assert!(is_stale(&hung.ack()));
    taken.ack().unwrap();
    assert_eq!(seqs(&take(&consumer, 1)), [2]);
    is_sound(&world.store);
}

#[test]
fn i14_a_stream_counts_nothing_and_a_header_of_a_counter_is_like_any_other() {
    let world = World::new();
    let stream = world.stream("s");
    for by in ["+1", "+2", "no number"] {
        let add = Publish::new("s.hits", "payload").header("Nats-Incr", by);
        stream.publish_message(add).unwrap();
    }
    assert_eq!(stored(&stream), [1, 2, 3]);
    let last = stream.get(Seq::new(3)).unwrap().unwrap();
    assert_eq!(last.headers().get("Nats-Incr"), Some("no number"));
    assert_eq!(last.payload(), b"payload");
    is_sound(&world.store);
}

#[test]
fn j7_a_stream_is_never_found_behind_its_consumers() {
    let mut world = World::new();
    let stream = world.stream("s");
    create(&stream, ConsumerConfig::new("c"));
    for round in 1..=5 {
        let (stream, consumer) = (world.store.stream("s").unwrap(), world.consumer("s", "c"));
        publish(&stream, "s.a", 3);
        let taken = take(&consumer, 2);
        taken[0].ack().unwrap();
        world = world.killed();
        let last = world.store.stream("s").unwrap().info().unwrap().last_seq;
        assert_eq!(last, Seq::new(3 * round));
        let info = info(&world.consumer("s", "c"));
        assert!(info.ack_floor <= info.delivered && info.delivered <= last);
        is_sound(&world.store);
    }
    let consumer = world.consumer("s", "c");
    let rest = take(&consumer, 99);
    // All but the five that were acked, and what is published next.
    assert_eq!(rest.len(), 10);
    publish(&world.store.stream("s").unwrap(), "s.a", 1);
    assert_eq!(seqs(&take(&consumer, 99)), [16]);
    is_sound(&world.store);
}

#[test]
fn j9_a_stream_hands_no_defaults_down_to_its_consumers() {
    let world = World::new();
    let config = StreamConfig::new("s").max_consumers(2).max_messages(1);
    let stream = world.store.create_stream(config).unwrap();
    let plain = create(&stream, ConsumerConfig::new("plain"));
    let own = ConsumerConfig::new("own")
        .ack_wait(secs(1_000))
        .max_ack_pending(7);
    let own = create(&stream, own);
    let elsewhere = create(&world.stream("other"), ConsumerConfig::new("plain"));
    assert_eq!(info(&plain).config, info(&elsewhere).config);
    assert_eq!(info(&own).config.ack_wait, secs(1_000));
    // How many there are is the one bound that the stream has for them.
    stream
        .create_consumer(ConsumerConfig::new("third"))
        .unwrap_err();
    is_sound(&world.store);
}

#[test]
fn k8_a_batch_is_acked_as_far_as_its_messages_were_not_settled_one_by_one() {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, ConsumerConfig::new("c"));
    publish(&stream, "s.a", 3);
    let batch = consumer.fetch(Fetch::new(3).no_wait()).unwrap();
    batch[1].ack().unwrap();
    let done = batch.ack().unwrap();
    assert_eq!(done.acked, 2);
    assert!(
        matches!(&done.refused[..], [Refusal::Gone { seq }] if *seq == Seq::new(2)),
        "{:?}",
        done.refused
    );
    assert_eq!(info(&consumer).acked, 3);
    is_sound(&world.store);
}

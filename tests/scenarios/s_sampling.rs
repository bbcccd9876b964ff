//! How long acks took, told of some of them.

use crate::helpers::*;
use riverbed::{AckPolicy, Consumer, ConsumerConfig, ConsumerError, Event, Fetch, Stream};

type Told = crossbeam_channel::Receiver<Event>;

fn all() -> ConsumerConfig {
    ConsumerConfig::new("c").sample_acks(100)
}

/// What was told: sequence, deliveries, and seconds since delivery and publish.
fn sampled(events: &Told) -> Vec<(u64, u64, u64, u64)> {
    let told = events.try_iter().filter_map(|event| match event {
        Event::AckSampled {
            whose,
            since_delivery,
            since_publish,
        } => {
            assert_eq!((whose.stream.as_str(), whose.consumer.as_str()), ("s", "c"));
            let (delivery, publish) = (since_delivery.as_secs(), since_publish.as_secs());
            Some((whose.seq.get(), whose.deliveries, delivery, publish))
        }
        _ => None,
    });
    told.collect()
}

fn with(config: ConsumerConfig) -> (World, Stream, Consumer, Told) {
    let world = World::new();
    let stream = world.stream("s");
    let consumer = create(&stream, config);
    let events = world.store.events(1_000);
    (world, stream, consumer, events)
}

fn clean(world: &World) {
    assert_eq!(world.store.check().unwrap(), Vec::<String>::new());
}

#[test]
fn j10_an_ack_is_told_with_the_time_since_its_delivery_and_since_its_publish() {
    let (world, stream, consumer, events) = with(all());
    publish(&stream, "s.a", 2);
    world.pass(secs(10));
    let first = take_one(&consumer);
    world.pass(secs(3));
    first.nak_now().unwrap();
    assert_eq!(sampled(&events), [], "only acks are");
    let again = take_one(&consumer);
    world.pass(secs(20));
    // What extends a lease changes nothing of when it began.
    again.in_progress().unwrap();
    world.pass(secs(20));
    again.ack().unwrap();
    assert_eq!(sampled(&events), [(1, 2, 40, 53)]);
    assert!(is_gone(&again.ack()));
    assert_eq!(sampled(&events), []);
    clean(&world);
}

#[test]
fn acks_of_batches_and_with_a_fetch_are_told_each_and_lazy_ones_when_they_are_committed() {
    let (world, stream, consumer, events) = with(all().lazy_acks());
    publish(&stream, "s.a", 5);
    let batch = consumer.fetch(Fetch::new(3).no_wait()).unwrap();
    batch[1].term("no use").unwrap();
    consumer
        .ack_and_fetch(&batch, Fetch::new(1).no_wait())
        .unwrap();
    assert_eq!(sampled(&events), [(1, 1, 0, 0), (3, 1, 0, 0)]);
    take_one(&consumer).ack().unwrap();
    assert_eq!(sampled(&events), [], "nobody committed it");
    info(&consumer);
    assert_eq!(sampled(&events), [(5, 1, 0, 0)]);
    clean(&world);
}

#[test]
fn the_message_that_was_acked_stands_for_those_below_it() {
    let (world, stream, consumer, events) = with(all().ack_policy(AckPolicy::All));
    publish(&stream, "s.a", 5);
    let held = take(&consumer, 5);
    held[3].ack().unwrap();
    assert_eq!(info(&consumer).acked, 4);
    assert_eq!(sampled(&events), [(4, 1, 0, 0)]);
    clean(&world);
}

#[test]
fn the_sequence_decides_which_acks_are_told_in_every_run_and_an_update_changes_how_many() {
    let told = |percent: u8| {
        let (world, stream, consumer, events) = with(ConsumerConfig::new("c"));
        let batch = (0..400).map(|number| ("s.a", number.to_string()));
        stream.publish_batch(batch).unwrap();
        let held = take(&consumer, 400);
        stream.update_consumer(all().sample_acks(percent)).unwrap();
        consumer.ack_batch(&held).unwrap();
        clean(&world);
        let seqs: Vec<u64> = sampled(&events).into_iter().map(|told| told.0).collect();
        seqs
    };
    let some = told(20);
    assert!((50..110).contains(&some.len()), "{}", some.len());
    assert_eq!(some, told(20));
    let more = told(50);
    assert!(some.iter().all(|seq| more.contains(seq)));
}

#[test]
fn the_percentage_survives_a_restart_and_what_is_delivered_anew_is_measured_anew() {
    let (world, stream, consumer, _) = with(all());
    publish(&stream, "s.a", 1);
    take_one(&consumer);
    world.pass(secs(5));
    let world = world.killed();
    let events = world.store.events(10);
    let consumer = world.consumer("s", "c");
    assert_eq!(info(&consumer).config.sample_acks, Some(100));
    let again = take_one(&consumer);
    world.pass(secs(2));
    again.ack().unwrap();
    assert_eq!(sampled(&events), [(1, 2, 2, 7)]);
    clean(&world);
}

#[test]
fn percentages_that_make_no_sense_are_refused_and_so_are_samples_where_nothing_is_acked() {
    let world = World::new();
    let stream = world.stream("s");
    for (config, said) in [
        (all().sample_acks(0), "from 1 to 100"),
        (all().sample_acks(101), "from 1 to 100"),
        (
            all().ack_policy(AckPolicy::None),
            "with `ack_policy` `None`",
        ),
    ] {
        let refused = stream.create_consumer(config).unwrap_err();
        let ConsumerError::Invalid(why) = &refused else {
            panic!("{refused:?}");
        };
        assert_eq!(why.setting, "sample_acks");
        assert!(refused.to_string().contains(said), "{refused}");
    }
    create(&stream, all());
    let other = stream.create_consumer(all().sample_acks(50));
    let differs = |why: &ConsumerError| {
        matches!(
            why,
            ConsumerError::Exists {
                setting: "sample_acks",
                ..
            }
        )
    };
    assert!(other.as_ref().is_err_and(differs), "{other:?}");
    clean(&world);
}

//! How long acks took, told of some of them.

use super::Consumer;
use crate::clock::Mono;
use crate::event::{Event, Whose};
use crate::seq::Seq;
use std::time::Duration;
use xxhash_rust::xxh3::xxh3_64;

/// Whether the ack of a message is among so many of 100. The same for ever, in every store.
fn is_sampled(seq: u64, percent: u8) -> bool {
    xxh3_64(&seq.to_le_bytes()) % 100 < u64::from(percent)
}

/// An ack that is to be told.
pub(super) struct Sample {
    consumer: String,
    seq: u64,
    deliveries: u64,
    since_delivery: Duration,
    since_publish: Duration,
}

impl Sample {
    pub(super) fn of(self, stream: String) -> Event {
        Event::AckSampled {
            whose: Whose {
                stream,
                consumer: self.consumer,
                seq: Seq::new(self.seq),
                deliveries: self.deliveries,
            },
            since_delivery: self.since_delivery,
            since_publish: self.since_publish,
        }
    }
}

impl Consumer {
    /// What is to be told of an ack that ends a message's current delivery now.
    pub(super) fn sample(&self, seq: u64, mono: Mono, now: u64) -> Option<Sample> {
        let percent = self.config.sample_acks?;
        let lease = self.leases.get(&seq)?;
        let (since, published) = (lease.since?, lease.published);
        is_sampled(seq, percent).then(|| Sample {
            consumer: self.config.name.clone(),
            seq,
            deliveries: self.entries.get(seq).attempts,
            since_delivery: Duration::from_micros(mono.0.saturating_sub(since.0)),
            since_publish: Duration::from_micros(now.saturating_sub(published)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::is_sampled;

    #[test]
    fn a_percentage_of_the_sequences_is_sampled_and_a_larger_one_has_the_smaller_in_it() {
        for (percent, least, most) in [(1, 70, 130), (10, 900, 1_100), (50, 4_800, 5_200)] {
            let sampled: Vec<u64> = (1..=10_000)
                .filter(|seq| is_sampled(*seq, percent))
                .collect();
            assert!((least..=most).contains(&sampled.len()), "{}", sampled.len());
            assert!(sampled.iter().all(|seq| is_sampled(*seq, percent + 1)));
        }
        assert!((1..10_000).all(|seq| is_sampled(seq, 100)));
    }

    #[test]
    fn which_ones_they_are_stays_for_ever() {
        let sampled: Vec<u64> = (1..=60).filter(|seq| is_sampled(*seq, 10)).collect();
        assert_eq!(sampled, [32, 50, 53]);
    }
}

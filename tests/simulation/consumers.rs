//! Creating, updating, pausing and deleting consumers, as the oracle sees it.

use crate::delivering::wants;
use crate::model::{Held, Place, Reason};
use crate::op::May;
use crate::oracle::Oracle;
use riverbed::{
    AckPolicy, ConsumerConfig, DeliverPolicy, Discard, ReplayPolicy, StreamConfig, Timestamp,
};

/// Whether two settings contradict each other, of those that histories choose.
fn makes_no_sense(config: &ConsumerConfig) -> bool {
    let of_no_subject =
        config.deliver == DeliverPolicy::LastPerSubject && config.filters.is_empty();
    let nothing_comes = |rate: Option<riverbed::Rate>| rate.is_some_and(|rate| rate.burst == 0);
    let never = nothing_comes(config.rate_limit) || nothing_comes(config.rate_limit_bytes);
    let no_past = matches!(
        config.deliver,
        DeliverPolicy::New | DeliverPolicy::Last | DeliverPolicy::LastPerSubject
    );
    let never = never || config.sample_acks.is_some_and(|percent| percent > 100);
    let never = never || (no_past && config.replay == ReplayPolicy::Original);
    of_no_subject || never || (config.ack_policy == AckPolicy::None && config.max_deliver.is_some())
}

impl Oracle {
    pub(crate) fn create_consumer(&mut self, stream: &str, config: &ConsumerConfig) -> String {
        let Some(source) = self.streams.get(stream) else {
            return "no stream".to_owned();
        };
        if makes_no_sense(config) {
            return "Invalid".to_owned();
        }
        if let Some(known) = source.consumers.get(&config.name) {
            // A consumer that was paused since is the same.
            let mut same = config.clone();
            same.pause_until = known.config.pause_until;
            return if known.config == same {
                "created"
            } else {
                "Exists"
            }
            .to_owned();
        }
        let most = source.config.max_consumers;
        if most.is_some_and(|most| source.consumers.len() as u64 >= most) {
            return "TooMany".to_owned();
        }
        let begin = self.begin(stream, config.deliver, config);
        if let Err(why) = self.fits_work_queue(stream, config) {
            return why.to_owned();
        }
        if !self.prepare_dead_letters(stream, config) {
            return "DeadLetter".to_owned();
        }
        if self.streams[stream].stored.len() > begin.due.len() && !begin.due.is_empty() {
            self.met.push("last_per_subject");
        }
        let before = self.streams[stream].stored.range(..begin.next);
        let before = before.filter(|(_, m)| wants(config, &m.draft.subject));
        let skipped = before.count() as u64 - begin.due.len() as u64;
        self.add_consumer(stream, config.clone(), begin.next);
        let last = self.streams[stream].last;
        let consumer = self.consumer_mut(stream, &config.name).unwrap();
        consumer.totals.skipped = skipped;
        consumer.begin_replay(last);
        self.begin_with(stream, &config.name, &begin.due);
        if skipped > 0 {
            self.met.push("skipped");
        }
        "created".to_owned()
    }

    fn prepare_dead_letters(&mut self, stream: &str, config: &ConsumerConfig) -> bool {
        let riverbed::OnExhausted::DeadLetter { stream: dead } = &config.on_exhausted else {
            return true;
        };
        if self.leads_to(dead, stream) {
            return false;
        }
        let Some(target) = self.streams.get(dead) else {
            let made = StreamConfig::new(dead.clone())
                .subjects([format!("{dead}.>")])
                .max_messages(1_000_000)
                .max_bytes(1 << 30)
                .discard(Discard::New)
                .without_dedup();
            self.add_stream(made);
            return true;
        };
        let subject = format!("{dead}.{stream}.{}", config.name);
        let needed = self.streams[stream].config.max_message_size;
        let keeps = !target.is_sealed() && !target.drops_unwanted();
        keeps && target.captures(&subject) && target.config.max_message_size >= needed
    }

    pub(crate) fn update_consumer(
        &mut self,
        stream: &str,
        config: &ConsumerConfig,
        may: May,
    ) -> String {
        if makes_no_sense(config) && self.streams.contains_key(stream) {
            return "Invalid".to_owned();
        }
        let Some(known) = self.consumer(stream, &config.name) else {
            return "NotFound".to_owned();
        };
        if known.config.deliver != config.deliver || known.config.ack_policy != config.ack_policy {
            return "Fixed".to_owned();
        }
        if may == May::Keep
            && let Some(why) = known.would_drop(config)
        {
            return why;
        }
        let refilters = known.config.filters != config.filters;
        if refilters && let Err(why) = self.fits_work_queue(stream, config) {
            return why.to_owned();
        }
        if refilters && let Some(why) = self.would_share(stream, config) {
            return why;
        }
        if may == May::Keep
            && let Some(why) = self.would_leave_out(stream, config)
        {
            return why;
        }
        let moved = known.config.on_exhausted != config.on_exhausted;
        if moved && !self.prepare_dead_letters(stream, config) {
            return "DeadLetter".to_owned();
        }
        let now = self.now;
        let last = self.streams[stream].last;
        if refilters {
            self.judge_fresh(stream);
        }
        let consumer = self.consumer_mut(stream, &config.name).unwrap();
        if refilters {
            consumer.filters_from = consumer.next.min(last + 1);
            consumer.filters_below = last + 1;
        }
        let paused = consumer.config.pause_until;
        let changed = consumer.pace.change(config, now);
        consumer.config = config.clone();
        consumer.config.pause_until = paused;
        consumer.refused_at = None;
        let (limit, mut over) = (config.max_deliver, false);
        for held in consumer.held.values_mut() {
            let waits = matches!(held.place, Place::Due { .. } | Place::Delayed { .. });
            if waits && limit.is_some_and(|limit| held.failures >= limit) {
                held.place = Place::Refused {
                    reason: Reason::MaxDeliver,
                    told: false,
                };
                over = true;
            }
        }
        if over {
            self.met.push("limit_lowered");
        }
        if refilters {
            self.met.push("refiltered");
            self.rejudge(stream);
        }
        if changed {
            self.met.push("rate_changed");
        }
        "updated".to_owned()
    }

    pub(crate) fn pause(&mut self, stream: &str, name: &str, ms: Option<u64>) -> String {
        let now = self.now;
        let Some(consumer) = self.consumer_mut(stream, name) else {
            return "no consumer".to_owned();
        };
        let until = ms.map(|ms| Timestamp::from_micros(now + ms * 1_000));
        consumer.config.pause_until = until;
        if until.is_some() {
            consumer.replay.anew();
        }
        "done".to_owned()
    }

    /// Deletes consumers that nobody was at work with for too long.
    pub(crate) fn expire_consumers(&mut self) {
        for (stream, name) in self.by_age() {
            let consumer = self.consumer(&stream, &name).unwrap();
            let Some(after) = consumer.config.inactive_threshold else {
                continue;
            };
            let over = consumer.active + after.as_micros() as u64 <= self.now;
            if over && consumer.count(Held::is_out) == 0 {
                self.delete_consumer(&stream, &name);
                self.tell(format!("expired {stream}/{name}"), 1);
                self.met.push("expired");
            }
        }
    }

    pub(crate) fn delete_consumer(&mut self, stream: &str, name: &str) -> String {
        self.judge_fresh(stream);
        let known = self
            .streams
            .get_mut(stream)
            .and_then(|known| known.consumers.remove(name));
        if known.is_some() {
            self.rejudge(stream);
            "deleted"
        } else {
            "NotFound"
        }
        .to_owned()
    }
}

//! The oracle's rules of time, of closing and of opening.

use crate::model::{Held, Place, Reason};
use crate::oracle::{Oracle, forget_ids};
use crate::rates::Pace;

impl Oracle {
    /// What time does, once.
    pub(crate) fn drive(&mut self) {
        self.end_all_delays();
        let now = self.now;
        // What only they wanted may go. The limits come with the end of the group.
        let deferred = std::mem::replace(&mut self.defer_limits, true);
        self.expire_consumers();
        self.defer_limits = deferred;
        for (stream, name) in self.by_age() {
            let consumer = self.consumer(&stream, &name).unwrap();
            let over =
                |held: &Held| matches!(held.place, Place::Out { deadline, .. } if deadline <= now);
            let lapsed: Vec<u64> = consumer
                .held
                .iter()
                .filter(|(_, held)| over(held))
                .map(|(seq, _)| *seq)
                .collect();
            for seq in lapsed {
                self.met.push("lapsed");
                self.fail(&stream, &name, seq, 0);
                self.consumer_mut(&stream, &name).unwrap().active = now;
            }
        }
        self.expire_ttls();
        // What is too old is no dead letter any more, whatever room that makes.
        self.trim_all();
        self.committed();
        loop {
            let room = |oracle: &Self| oracle.streams.values().map(|s| s.room_made).sum::<u64>();
            let before = room(self);
            for (stream, name) in self.by_age() {
                self.retry_refused(&stream, &name);
            }
            self.trim_all();
            self.committed();
            let judging = self.streams.values().any(|stream| stream.rejudged);
            self.judge_again();
            self.committed();
            if judging {
                // All room is made before what is due is sent.
                continue;
            }
            for name in self.streams.keys().cloned().collect::<Vec<_>>() {
                self.send_due(&name);
            }
            self.trim_all();
            self.committed();
            if room(self) == before {
                break;
            }
        }
        for stream in self.streams.values_mut() {
            forget_ids(stream, now);
        }
        self.find_stuck();
    }

    pub(crate) fn trim_all(&mut self) {
        for name in self.streams.keys().cloned().collect::<Vec<_>>() {
            self.trim(&name);
        }
    }

    /// The store is closed cleanly: what is out is due; its attempt counts and did not fail.
    pub(crate) fn close(&mut self) {
        for (stream, name) in self.by_age() {
            let consumer = self.consumer_mut(&stream, &name).unwrap();
            for held in consumer.held.values_mut().filter(|held| held.is_out()) {
                held.place = Place::Due { rank: 0 };
            }
        }
        self.deliveries.clear();
    }

    /// The store is opened: what was out when the process died is due (R17), and counted as R18 says;
    /// everything that is due is in the order of the stream.
    pub(crate) fn open(&mut self) {
        // What is found is durable; what follows from it are commits.
        self.committed();
        self.deliveries.clear();
        self.told.clear();
        let now = self.now;
        for (stream, name) in self.by_age() {
            let consumer = self.consumer_mut(&stream, &name).unwrap();
            consumer.next_rank = 1;
            consumer.active = now;
            consumer.refused_at = None;
            consumer.retry_from = 0;
            consumer.replay.anew();
            (consumer.since, consumer.stuck, consumer.unsure) = (None, false, false);
            consumer.pace = Pace::spent(&consumer.config, now);
            let out = consumer.count(Held::is_out);
            let mut exhausted = Vec::new();
            let mut totals = consumer.totals;
            let limit = consumer.config.max_deliver;
            for (seq, held) in &mut consumer.held {
                match held.place {
                    Place::Out { .. } if out == 1 => {
                        held.failures += 1;
                        totals.failures += 1;
                        totals.crashes += 1;
                        held.place = Place::Due { rank: 1 };
                    }
                    Place::Out { .. } => {
                        held.crashes += 1;
                        totals.crashes += 1;
                        held.place = Place::Due { rank: 1 };
                    }
                    Place::Due { .. } => held.place = Place::Due { rank: 1 },
                    Place::Delayed { until } if until <= now => held.place = Place::Due { rank: 1 },
                    // Memory of what was not told is gone with the process.
                    Place::Refused { ref mut told, .. } => *told = true,
                    _ => {}
                }
                let due = matches!(held.place, Place::Due { .. });
                if due && limit.is_some_and(|limit| held.failures >= limit) {
                    exhausted.push(*seq);
                }
            }
            consumer.totals = totals;
            let suspects = consumer.count(Held::is_suspect);
            for seq in &exhausted {
                let place = Place::Refused {
                    reason: Reason::MaxDeliver,
                    told: false,
                };
                consumer.held.get_mut(seq).unwrap().place = place;
            }
            let words = [
                (out == 1, "died_alone"),
                (out > 1, "died_beside_others"),
                (suspects > 0, "suspect"),
                (!exhausted.is_empty(), "exhausted_by_death"),
            ];
            self.met.extend(
                words
                    .into_iter()
                    .filter(|(met, _)| *met)
                    .map(|(_, word)| word),
            );
        }
        for stream in self.streams.values_mut() {
            stream.room_made = 0;
        }
        self.forget_scheduled_attempts();
        self.committed();
        self.drive();
        self.told.clear();
    }
}

//! The real store on a simulated disk, doing the operations of a history.

use crate::alerting::Standing;
pub(crate) use crate::answers::Answer;
use crate::answers::{
    ack_error, acked_line, consumer_error, fetch_error, purge_error, redrive_error, said,
    schedule_error, stream_error,
};
use crate::op::{May, Op, Verdict};
use crate::oracle::Oracle;
use riverbed::disk::MemoryDisk;
use riverbed::{
    AckAndFetchError, Consumer, Event, Fetch, ManualClock, Message, Purge, Riverbed, Seq, Stream,
};
use std::collections::BTreeMap;
use std::time::Duration;

/// By consumer: the highest ack floor and delivered sequence that were seen.
pub(crate) type Floors = BTreeMap<u64, (u64, u64)>;

pub(crate) struct Real {
    pub(crate) disk: MemoryDisk,
    pub(crate) clock: ManualClock,
    store: Option<Riverbed>,
    /// By the oracle's number.
    pub(crate) messages: BTreeMap<u64, Message>,
    /// What the last fetch gave.
    pub(crate) fetched: Vec<Message>,
    events: crossbeam_channel::Receiver<Event>,
    pub(crate) standing: Standing,
}

impl Real {
    pub(crate) fn over(disk: MemoryDisk, clock: ManualClock, store: Riverbed) -> Self {
        let events = store.events(100_000);
        let (messages, fetched) = (BTreeMap::new(), Vec::new());
        Self {
            disk,
            clock,
            store: Some(store),
            messages,
            fetched,
            events,
            standing: Standing::default(),
        }
    }

    pub(crate) fn store(&self) -> &Riverbed {
        self.store.as_ref().expect("the store is open")
    }

    /// Drops the store and every handle, so that its locks are free.
    pub(crate) fn let_go(&mut self) {
        self.messages.clear();
        self.fetched.clear();
        self.store = None;
    }

    /// What subscribers were told, summed up as the oracle sums it up.
    pub(crate) fn told(&mut self) -> BTreeMap<String, u64> {
        let mut told: BTreeMap<String, u64> = BTreeMap::new();
        let name =
            |whose: &riverbed::Whose| format!("{}/{} {}", whose.stream, whose.consumer, whose.seq);
        for event in self.events.try_iter() {
            if self.standing.note(&event) {
                continue;
            }
            let (what, count) = match event {
                Event::DeadLettered {
                    whose, to, to_seq, ..
                } => (format!("dead {} to {to} {to_seq}", name(&whose)), 1),
                Event::Parked { whose, .. } => (format!("parked {}", name(&whose)), 1),
                Event::Dropped { whose, .. } => (format!("dropped {}", name(&whose)), 1),
                Event::DeadLetterRefused { whose, .. } => (format!("refused {}", name(&whose)), 1),
                Event::ScheduledRefused { stream, number, .. } => {
                    (format!("{stream} refuses scheduled {number}"), 1)
                }
                Event::ConsumerExpired {
                    stream, consumer, ..
                } => (format!("expired {stream}/{consumer}"), 1),
                Event::AckSampled {
                    whose,
                    since_delivery,
                    since_publish,
                } => {
                    let (deliveries, whose) = (whose.deliveries, name(&whose));
                    let after = (since_delivery.as_micros(), since_publish.as_micros());
                    (format!("sampled {whose} {deliveries} {after:?}"), 1)
                }
                Event::ConsumerReset {
                    stream,
                    consumer,
                    skipped,
                    ..
                } => (format!("reset {stream}/{consumer} skips {skipped}"), 1),
                Event::UnfinishedRemoved {
                    stream,
                    consumer,
                    messages,
                    by,
                    ..
                } => (format!("lost {stream}/{consumer} by {by:?}"), messages),
                _ => continue,
            };
            *told.entry(what).or_default() += count;
        }
        told
    }

    fn stream(&self, name: &str) -> Result<Stream, Answer> {
        self.store()
            .stream(name)
            .map_err(|why| stream_error(why, "no stream"))
    }

    pub(crate) fn consumer(&self, stream: &str, name: &str) -> Result<Consumer, Answer> {
        let stream = match self.store().stream(stream) {
            Ok(stream) => stream,
            Err(why) => return Err(stream_error(why, "no consumer")),
        };
        stream
            .consumer(name)
            .map_err(|why| consumer_error(why, "no consumer"))
    }

    pub(crate) fn perform(&mut self, op: &Op) -> Answer {
        match self.attempt(op) {
            Ok(answer) | Err(answer) => answer,
        }
    }

    #[allow(clippy::too_many_lines, reason = "one arm for each operation")]
    fn attempt(&mut self, op: &Op) -> Result<Answer, Answer> {
        let answer = match op {
            Op::CreateStream(config) => match self.store().create_stream(config.clone()) {
                Ok(_) => said("created"),
                Err(why) => stream_error(why, "NotFound"),
            },
            Op::UpdateStream(config, may) => {
                let updated = match may {
                    May::Keep => self.store().update_stream(config.clone()),
                    May::Lose => self.store().update_stream_removing(config.clone()),
                };
                match updated {
                    Ok(_) => said("updated"),
                    Err(why) => stream_error(why, "NotFound"),
                }
            }
            Op::DeleteStream(name) => match self.store().delete_stream(name) {
                Ok(()) => said("deleted"),
                Err(why) => stream_error(why, "NotFound"),
            },
            Op::CreateConsumer(stream, config) => {
                match self.stream(stream)?.create_consumer(config.clone()) {
                    Ok(_) => said("created"),
                    Err(why) => consumer_error(why, "NotFound"),
                }
            }
            Op::UpdateConsumer(stream, config, may) => match self.store().stream(stream) {
                Err(why) => stream_error(why, "NotFound"),
                Ok(stream) => {
                    let updated = match may {
                        May::Keep => stream.update_consumer(config.clone()),
                        May::Lose => stream.update_consumer_dropping(config.clone()),
                    };
                    match updated {
                        Ok(_) => said("updated"),
                        Err(why) => consumer_error(why, "NotFound"),
                    }
                }
            },
            Op::DeleteConsumer(stream, name) => match self.store().stream(stream) {
                Err(why) => stream_error(why, "NotFound"),
                Ok(stream) => match stream.delete_consumer(name) {
                    Ok(()) => said("deleted"),
                    Err(why) => consumer_error(why, "NotFound"),
                },
            },
            Op::Publish { to, batch } => self.publish(to.as_deref(), batch)?,
            Op::Pipeline { .. } => unreachable!("pipelines are driven in parts"),
            Op::Fetch {
                stream,
                consumer,
                n,
                bytes,
            } => {
                let fetch = Fetch::new(*n).max_bytes(*bytes).no_wait();
                match self.consumer(stream, consumer)?.fetch(fetch) {
                    Ok(batch) => self.took(batch),
                    Err(why) => fetch_error(why),
                }
            }
            Op::Help {
                stream,
                consumer,
                n,
                min_pending,
                min_ack_pending,
            } => {
                let mut fetch = Fetch::new(*n).no_wait().priority(3);
                if let Some(least) = min_pending {
                    fetch = fetch.min_pending(*least);
                }
                if let Some(least) = min_ack_pending {
                    fetch = fetch.min_ack_pending(*least);
                }
                match self.consumer(stream, consumer)?.fetch(fetch) {
                    Ok(batch) => self.took(batch),
                    Err(why) => fetch_error(why),
                }
            }
            Op::Lanes { lanes, n, bytes } => self.fetch_lanes(lanes, *n, *bytes)?,
            Op::Settle { delivery, verdict } => {
                let message = &self.messages[delivery];
                let settled = match verdict {
                    Verdict::Ack => message.ack(),
                    Verdict::Nak => message.nak(),
                    Verdict::NakAfter(ms) => message.nak_after(Duration::from_millis(*ms)),
                    Verdict::NakNow => message.nak_now(),
                    Verdict::Term(reason) => message.term(reason.clone()),
                    Verdict::InProgress => message.in_progress(),
                };
                match settled {
                    Ok(()) => said("done"),
                    Err(why) => ack_error(why),
                }
            }
            Op::LazyAck { delivery, .. } => match self.messages[delivery].ack() {
                Ok(()) => said("done"),
                Err(why) => ack_error(why),
            },
            Op::AckBatch {
                stream,
                consumer,
                deliveries,
            } => {
                let messages = self.held(deliveries);
                match self.consumer(stream, consumer)?.ack_batch(&messages) {
                    Ok(acked) => acked_line(acked.acked, &acked.refused).into(),
                    Err(why) => ack_error(why),
                }
            }
            Op::AckFetch {
                stream,
                consumer,
                deliveries,
                n,
                bytes,
            } => {
                let messages = self.held(deliveries);
                let fetch = Fetch::new(*n).max_bytes(*bytes).no_wait();
                match self
                    .consumer(stream, consumer)?
                    .ack_and_fetch(&messages, fetch)
                {
                    Ok((acked, batch)) => {
                        let acked = acked_line(acked.acked, &acked.refused);
                        match self.took(batch) {
                            Answer::Said(fetched) => format!("{acked}; {fetched}").into(),
                            down @ Answer::Down(_) => down,
                        }
                    }
                    Err(AckAndFetchError::Ack(why)) => ack_error(why),
                    Err(AckAndFetchError::Fetch { why, refused }) => match fetch_error(why) {
                        Answer::Said(why) => {
                            let acked = deliveries.len() - refused.len();
                            format!("{}; {why}", acked_line(acked, &refused)).into()
                        }
                        down @ Answer::Down(_) => down,
                    },
                    Err(why) => panic!("ack_and_fetch: {why:?}"),
                }
            }
            Op::Advance(ms) => {
                self.clock.advance(Duration::from_millis(*ms));
                said("later")
            }
            Op::Drive => match self.store().drive() {
                Ok(()) => said("driven"),
                Err(why) => Answer::Down(why),
            },
            Op::Sync => match self.store().sync() {
                Ok(()) => said("synced"),
                Err(why) => Answer::Down(why),
            },
            Op::Compact => match self.store().compact() {
                Ok(_) => said("compacted"),
                Err(why) => Answer::Down(why),
            },
            Op::Purge {
                stream,
                filter,
                up_to,
                keep,
            } => {
                let mut purge = Purge::all();
                if let Some(filter) = filter {
                    purge = purge.filter(filter.clone());
                }
                if let Some(up_to) = up_to {
                    purge = purge.up_to(Seq::new(*up_to));
                }
                if let Some(keep) = keep {
                    purge = purge.keep(*keep);
                }
                match self.store().stream(stream) {
                    Err(why) => stream_error(why, "StreamGone"),
                    Ok(stream) => match stream.purge(purge) {
                        Ok(gone) => format!("purged {gone}").into(),
                        Err(why) => purge_error(why),
                    },
                }
            }
            Op::Delete { stream, seq } => match self.store().stream(stream) {
                Err(why) => stream_error(why, "StreamGone"),
                Ok(stream) => match stream.delete(Seq::new(*seq)) {
                    Ok(()) => said("deleted"),
                    Err(why) => purge_error(why),
                },
            },
            Op::CancelScheduled { stream, number } => match self.store().stream(stream) {
                Err(why) => stream_error(why, "StreamGone"),
                Ok(stream) => match stream.cancel_scheduled(*number) {
                    Ok(()) => said("cancelled"),
                    Err(why) => schedule_error(why),
                },
            },
            Op::Redrive {
                dead,
                seq,
                to_consumer,
            } => match self.store().stream(dead) {
                Err(why) => stream_error(why, "NoMessage"),
                Ok(dead) => {
                    let seq = Seq::new(*seq);
                    let moved = if *to_consumer {
                        dead.redrive_to_consumer(seq)
                    } else {
                        dead.redrive(seq)
                    };
                    match moved {
                        Ok(seq) => format!("redriven to {seq}").into(),
                        Err(why) => redrive_error(why),
                    }
                }
            },
            Op::Pause {
                stream,
                consumer,
                ms,
            } => {
                let consumer = self.consumer(stream, consumer)?;
                let now = self.clock.clock().now();
                let paused = match ms {
                    Some(ms) => consumer.pause(now.plus(Duration::from_millis(*ms))),
                    None => consumer.resume(),
                };
                match paused {
                    Ok(()) => said("done"),
                    Err(why) => consumer_error(why, "no consumer"),
                }
            }
            Op::Reset {
                stream,
                consumer,
                to,
            } => match self.consumer(stream, consumer)?.reset(*to) {
                Ok(reset) => {
                    format!("reset {} {} {}", reset.pending, reset.due, reset.skipped).into()
                }
                Err(why) => consumer_error(why, "no consumer"),
            },
            Op::Release {
                stream,
                consumer,
                seq,
            } => match self.consumer(stream, consumer)?.release(Seq::new(*seq)) {
                Ok(()) => said("done"),
                Err(why) => redrive_error(why),
            },
            Op::Discard {
                stream,
                consumer,
                seq,
            } => match self.consumer(stream, consumer)?.discard(Seq::new(*seq)) {
                Ok(()) => said("done"),
                Err(why) => redrive_error(why),
            },
            Op::Reopen | Op::Kill | Op::PowerCut(_) | Op::Trouble(_) | Op::Group(..) => {
                unreachable!("crashes are the driver's")
            }
        };
        Ok(answer)
    }

    fn held(&self, deliveries: &[u64]) -> Vec<Message> {
        deliveries
            .iter()
            .map(|delivery| self.messages[delivery].clone())
            .collect()
    }

    /// Remembers the deliveries of the last fetch under the oracle's numbers.
    pub(crate) fn number(&mut self, oracle: &Oracle, serials: &mut BTreeMap<u64, u64>) {
        let first = oracle.next_delivery - self.fetched.len() as u64;
        for (at, message) in std::mem::take(&mut self.fetched).into_iter().enumerate() {
            let delivery = first + at as u64;
            let highest = serials
                .entry(oracle.deliveries[&delivery].born)
                .or_insert(0);
            let serial = message.serial() + 1;
            assert!(
                serial > *highest,
                "serial {} comes twice (R13)",
                message.serial()
            );
            *highest = serial;
            self.messages.insert(delivery, message);
        }
    }
}

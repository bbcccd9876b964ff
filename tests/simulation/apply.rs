//! The oracle does an operation.

use crate::op::Op;
use crate::oracle::Oracle;

impl Oracle {
    /// Does an operation, with what follows from it in its own commit, and answers in words.
    pub(crate) fn apply(&mut self, op: &Op) -> String {
        let said = self.answer(op);
        if !self.defer_limits {
            self.retire_all();
        }
        said
    }

    fn answer(&mut self, op: &Op) -> String {
        match op {
            Op::CreateStream(config) => self.create_stream(config),
            Op::UpdateStream(config, may) => self.update_stream(config, *may),
            Op::DeleteStream(name) => self.delete_stream(name),
            Op::CreateConsumer(stream, config) => self.create_consumer(stream, config),
            Op::UpdateConsumer(stream, config, may) => self.update_consumer(stream, config, *may),
            Op::DeleteConsumer(stream, name) => self.delete_consumer(stream, name),
            Op::Publish { to, batch } => self.publish(to.as_deref(), batch),
            Op::Fetch {
                stream,
                consumer,
                n,
                bytes,
            } => self.fetch(stream, consumer, *n, *bytes),
            Op::Help {
                stream,
                consumer,
                n,
                min_pending,
                min_ack_pending,
            } => self.help(stream, consumer, *n, *min_pending, *min_ack_pending),
            Op::Lanes { lanes, n, bytes } => self.lanes(lanes, *n, *bytes),
            Op::Settle { delivery, verdict } => self.settle(*delivery, verdict),
            Op::LazyAck { delivery, .. } => self.settle(*delivery, &crate::op::Verdict::Ack),
            Op::AckBatch {
                stream,
                consumer,
                deliveries,
            } => self.ack_batch(stream, consumer, deliveries),
            Op::AckFetch {
                stream,
                consumer,
                deliveries,
                n,
                bytes,
            } => {
                let acked = self.ack_batch(stream, consumer, deliveries);
                if !acked.starts_with("acked") {
                    return acked;
                }
                let n = self.left_by_acks(stream, consumer, *n, *bytes);
                format!("{acked}; {}", self.fetch(stream, consumer, n, *bytes))
            }
            Op::Advance(ms) => {
                self.now += ms * 1_000;
                "later".to_owned()
            }
            Op::Drive => {
                self.drive();
                "driven".to_owned()
            }
            Op::Compact => "compacted".to_owned(),
            Op::Sync => "synced".to_owned(),
            Op::Purge {
                stream,
                filter,
                up_to,
                keep,
            } => self.purge(stream, filter.as_deref(), *up_to, *keep),
            Op::Delete { stream, seq } => self.delete(stream, *seq),
            Op::CancelScheduled { stream, number } => self.cancel_scheduled(stream, *number),
            Op::Redrive {
                dead,
                seq,
                to_consumer,
            } => self.redrive(dead, *seq, *to_consumer),
            Op::Pause {
                stream,
                consumer,
                ms,
            } => self.pause(stream, consumer, *ms),
            Op::Reset {
                stream,
                consumer,
                to,
            } => self.reset(stream, consumer, *to),
            Op::Release {
                stream,
                consumer,
                seq,
            } => self.release(stream, consumer, *seq, true),
            Op::Discard {
                stream,
                consumer,
                seq,
            } => self.release(stream, consumer, *seq, false),
            Op::Pipeline { .. }
            | Op::Reopen
            | Op::Kill
            | Op::PowerCut(_)
            | Op::Trouble(_)
            | Op::Group(..) => {
                unreachable!("the driver takes these apart")
            }
        }
    }
}

//! Setting a consumer to another place in its stream.

use crate::config::DeliverPolicy;
use crate::consumer::Consumer;
use crate::error::ConsumerError;
use crate::seq::Seq;

/// What a reset came to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Reset {
    /// Where the consumer goes on.
    pub next: Seq,
    /// Messages from there on that match, finished before or not.
    pub pending: u64,
    /// Messages before that which it is given first: those of `LastPerSubject`.
    pub due: u64,
    /// Messages that it had not finished and will not be given.
    pub skipped: u64,
}

impl Consumer {
    /// Has the consumer begin again at another place of its stream, back or ahead, as if it was created
    /// anew there: everything stored that matches from there on is delivered, whether it was finished
    /// before or not.
    ///
    /// What it holds is let go, also what is delayed, parked or refused by a dead-letter stream, and
    /// attempts are counted anew. Deliveries that are out are over: whoever holds one is told `Stale` or
    /// `Gone`, and changes nothing. Its configuration stays, `deliver` and a pause too, and so do dead
    /// letters and the counts of [`info`](Self::info) that are ever counted.
    ///
    /// Messages that it had not finished and will not be given are counted, in the answer and in
    /// [`ConsumerInfo::skipped`](crate::ConsumerInfo::skipped), and announced with
    /// [`Event::ConsumerReset`](crate::Event::ConsumerReset). Where its stream keeps only what somebody
    /// wants, they may leave; what was finished has left already and does not come back: a place before
    /// the first message is that message. In a work queue a reset that would pass messages over is
    /// refused.
    ///
    /// To have everything above the ack floor again, reset to the sequence behind
    /// [`ConsumerInfo::ack_floor`](crate::ConsumerInfo::ack_floor).
    ///
    /// # Crash safety
    ///
    /// After `Ok` the consumer is at its new place, also after a crash; before, it is there with nothing
    /// in hand, or where it was with all it held.
    ///
    /// # Errors
    ///
    /// [`ConsumerError::NotFound`] when it is gone; [`ConsumerError::Invalid`] for sequence 0 and for
    /// `LastPerSubject` without filters; [`ConsumerError::WouldSkip`] in a work queue; the store is
    /// unavailable.
    ///
    /// # Examples
    ///
    /// ```
    /// use riverbed::{ConsumerConfig, DeliverPolicy, Riverbed, Seq, StreamConfig};
    ///
    /// # let folder = tempfile::tempdir()?;
    /// # let store = Riverbed::open(folder.path().join("store"))?;
    /// let orders = store.create_stream(StreamConfig::new("orders"))?;
    /// let totals = orders.create_consumer(ConsumerConfig::new("totals"))?;
    /// for number in 1..=5 {
    ///     orders.publish("orders", number.to_string())?;
    /// }
    /// totals.fetch(5)?.ack()?;
    /// // The totals were added up wrongly: again from the third order on.
    /// let reset = totals.reset(DeliverPolicy::FromSequence(Seq::new(3)))?;
    /// assert_eq!((reset.pending, reset.skipped), (3, 0));
    /// assert_eq!(totals.fetch(10)?.len(), 3);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn reset(&self, to: DeliverPolicy) -> Result<Reset, ConsumerError> {
        let whose = &self.whose;
        let engine = &whose.root.engine;
        engine.reset_consumer(&whose.reference, &whose.stream_name, to)
    }
}

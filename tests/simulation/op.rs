//! The operations of a history.

use crate::model::Draft;
use crate::trouble::Trouble;
use riverbed::{ConsumerConfig, DeliverPolicy, StreamConfig};

/// How a delivery is settled.
#[derive(Clone, Debug)]
pub(crate) enum Verdict {
    Ack,
    Nak,
    NakAfter(u64),
    NakNow,
    Term(String),
    InProgress,
}

/// What becomes of messages that were published without waiting.
#[derive(Clone, Debug)]
pub(crate) enum Then {
    Flush,
    Fetch {
        stream: String,
        consumer: String,
        n: usize,
    },
    Kill,
    PowerCut(u64),
    Reopen,
}

/// One operation.
#[derive(Clone, Debug)]
pub(crate) enum Op {
    CreateStream(StreamConfig),
    UpdateStream(StreamConfig, May),
    DeleteStream(String),
    CreateConsumer(String, ConsumerConfig),
    UpdateConsumer(String, ConsumerConfig, May),
    DeleteConsumer(String, String),
    /// To a stream, or to whoever captures the subject.
    Publish {
        to: Option<String>,
        batch: Vec<Draft>,
    },
    Pipeline {
        to: String,
        drafts: Vec<Draft>,
        then: Then,
    },
    Fetch {
        stream: String,
        consumer: String,
        n: usize,
        bytes: u64,
    },
    /// Only when so many messages wait, or are in flight.
    Help {
        stream: String,
        consumer: String,
        n: usize,
        min_pending: Option<u64>,
        min_ack_pending: Option<u64>,
    },
    /// From the first of these consumers, of streams, that has something.
    Lanes {
        lanes: Vec<(String, String)>,
        n: usize,
        bytes: u64,
    },
    Settle {
        delivery: u64,
        verdict: Verdict,
    },
    /// An ack that is lazy, and a crash at once, or after a look at what is left to fetch.
    LazyAck {
        delivery: u64,
        looks: bool,
        power_cut: Option<u64>,
    },
    AckBatch {
        stream: String,
        consumer: String,
        deliveries: Vec<u64>,
    },
    AckFetch {
        stream: String,
        consumer: String,
        deliveries: Vec<u64>,
        n: usize,
        bytes: u64,
    },
    /// In milliseconds.
    Advance(u64),
    Drive,
    Compact,
    /// Makes everything durable.
    Sync,
    Purge {
        stream: String,
        filter: Option<String>,
        up_to: Option<u64>,
        keep: Option<u64>,
    },
    Delete {
        stream: String,
        seq: u64,
    },
    CancelScheduled {
        stream: String,
        number: u64,
    },
    Redrive {
        dead: String,
        seq: u64,
        to_consumer: bool,
    },
    /// For so many milliseconds from now on; none ends a pause.
    Pause {
        stream: String,
        consumer: String,
        ms: Option<u64>,
    },
    Reset {
        stream: String,
        consumer: String,
        to: DeliverPolicy,
    },
    Release {
        stream: String,
        consumer: String,
        seq: u64,
    },
    Discard {
        stream: String,
        consumer: String,
        seq: u64,
    },
    Reopen,
    Kill,
    PowerCut(u64),
    /// The disk is going to fail.
    Trouble(Trouble),
    /// All in one commit.
    Group(Vec<Op>, End),
}

/// Whether messages may be lost by an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum May {
    Keep,
    Lose,
}

/// How a group of operations ends.
#[derive(Clone, Debug)]
pub(crate) enum End {
    Commit,
    Kill,
    PowerCut(u64),
}

/// One operation of a history, with what chance does on the way.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    /// Deliveries are numbered by the step that made them.
    pub(crate) number: u64,
    pub(crate) dice: u64,
    pub(crate) op: Op,
}

impl Op {
    pub(crate) fn name(&self) -> &'static str {
        match self {
            Self::CreateStream(_) => "create_stream",
            Self::UpdateStream(_, May::Keep) => "update_stream",
            Self::UpdateStream(_, May::Lose) => "update_stream_removing",
            Self::DeleteStream(_) => "delete_stream",
            Self::CreateConsumer(..) => "create_consumer",
            Self::UpdateConsumer(.., May::Keep) => "update_consumer",
            Self::UpdateConsumer(.., May::Lose) => "update_consumer_dropping",
            Self::DeleteConsumer(..) => "delete_consumer",
            Self::Publish { batch, .. } if batch.len() == 1 => "publish",
            Self::Publish { .. } => "publish_batch",
            Self::Pipeline {
                then: Then::Flush, ..
            } => "pipeline_flush",
            Self::Pipeline {
                then: Then::Fetch { .. },
                ..
            } => "pipeline_fetch",
            Self::Pipeline {
                then: Then::Kill, ..
            } => "pipeline_kill",
            Self::Pipeline {
                then: Then::PowerCut(_),
                ..
            } => "pipeline_power_cut",
            Self::Pipeline {
                then: Then::Reopen, ..
            } => "pipeline_reopen",
            Self::Fetch { .. } => "fetch",
            Self::Help { .. } => "help",
            Self::Lanes { .. } => "lanes",
            Self::Settle {
                verdict: Verdict::Ack,
                ..
            } => "ack",
            Self::Settle {
                verdict: Verdict::Nak,
                ..
            } => "nak",
            Self::Settle {
                verdict: Verdict::NakAfter(_),
                ..
            } => "nak_after",
            Self::Settle {
                verdict: Verdict::NakNow,
                ..
            } => "nak_now",
            Self::Settle {
                verdict: Verdict::Term(_),
                ..
            } => "term",
            Self::Settle {
                verdict: Verdict::InProgress,
                ..
            } => "in_progress",
            Self::LazyAck { .. } => "lazy_ack",
            Self::AckBatch { .. } => "ack_batch",
            Self::AckFetch { .. } => "ack_and_fetch",
            Self::Advance(_) => "advance",
            Self::Drive => "drive",
            Self::Compact => "compact",
            Self::Sync => "sync",
            Self::Purge { .. } => "purge",
            Self::Delete { .. } => "delete",
            Self::CancelScheduled { .. } => "cancel_scheduled",
            Self::Redrive {
                to_consumer: false, ..
            } => "redrive",
            Self::Redrive { .. } => "redrive_to_consumer",
            Self::Pause { ms: Some(_), .. } => "pause",
            Self::Pause { .. } => "resume",
            Self::Reset { .. } => "reset",
            Self::Release { .. } => "release",
            Self::Discard { .. } => "discard",
            Self::Reopen => "reopen",
            Self::Kill => "kill",
            Self::PowerCut(_) => "power_cut",
            Self::Trouble(_) => "trouble",
            Self::Group(..) => "group",
        }
    }
}

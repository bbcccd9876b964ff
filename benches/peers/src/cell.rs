//! The workloads, and one cell of the tables: a workload at a size.

use std::fmt;

/// A family of cells, as `--workloads` names it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Workload {
    Publish,
    Batch,
    Drain,
    Cycle,
    Latency,
}

impl Workload {
    pub const ALL: [Self; 5] = [
        Self::Publish,
        Self::Batch,
        Self::Drain,
        Self::Cycle,
        Self::Latency,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Self::Publish => "publish",
            Self::Batch => "batch",
            Self::Drain => "drain",
            Self::Cycle => "cycle",
            Self::Latency => "latency",
        }
    }

    pub fn title(self) -> &'static str {
        match self {
            Self::Publish => "Publish one message at a time",
            Self::Batch => "Publish batches, one thread",
            Self::Drain => "Drain a backlog, one consumer, ack by batch",
            Self::Cycle => "Publish, fetch and ack at the same time",
            Self::Latency => "From the call of publish to a waiting consumer",
        }
    }

    /// What the number of a cell of this workload counts.
    pub fn parameter(self) -> &'static str {
        match self {
            Self::Publish => "threads",
            Self::Batch | Self::Cycle => "batch",
            Self::Drain => "fetch",
            Self::Latency => "message",
        }
    }

    /// Its cells, in the order of the tables.
    pub fn numbers(self) -> &'static [usize] {
        match self {
            Self::Publish => &[1, 2, 8, 32, 128],
            Self::Batch => &[100, 1_000, 10_000],
            Self::Drain => &[1, 100, 1_000],
            Self::Cycle => &[1_000],
            Self::Latency => &[1],
        }
    }
}

/// One cell: the same work for everybody.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cell {
    pub workload: Workload,
    /// Threads, or messages of a batch or fetch.
    pub number: usize,
    /// Bytes of a payload.
    pub size: usize,
}

impl Cell {
    /// The most messages that one call of publish has.
    pub fn batch(&self) -> usize {
        match self.workload {
            Workload::Batch | Workload::Cycle => self.number,
            Workload::Publish | Workload::Drain | Workload::Latency => 1,
        }
    }

    /// The most messages that one fetch asks for; 0 when nothing is fetched.
    pub fn fetch(&self) -> usize {
        match self.workload {
            Workload::Publish | Workload::Batch => 0,
            Workload::Drain | Workload::Cycle | Workload::Latency => self.number,
        }
    }

    pub fn threads(&self) -> usize {
        match self.workload {
            Workload::Publish => self.number,
            _ => 1,
        }
    }
}

impl fmt::Display for Cell {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, what) = (self.workload.name(), self.workload.parameter());
        write!(f, "{name} {what}={} of {} B", self.number, self.size)
    }
}

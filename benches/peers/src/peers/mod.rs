//! One file a peer.

mod beanstalkd;
mod fjall;
mod floor;
mod nats;
mod nats_client;
mod persistent_queue;
mod queue_file;
mod redb;
mod redis;
mod riverbed;
mod server;
mod sqlite;
pub mod walrus;
mod yaque;

use crate::cell::{Cell, Workload};
use crate::queue::Peer;

/// All of them, in the order of the tables.
pub const ALL: &[&dyn Peer] = &[
    &floor::FloorZero,
    &floor::FloorAppend,
    &riverbed::Ours::Separate,
    &riverbed::Ours::AckAndFetch,
    &riverbed::Ours::WithoutJournal,
    &redb::Redb::Plain,
    &redb::Redb::Grouped,
    &sqlite::Sqlite::Plain,
    &sqlite::Sqlite::Grouped,
    &fjall::Fjall,
    &queue_file::Ring,
    &persistent_queue::Persistent,
    &walrus::Wal,
    &yaque::Yaque,
    &redis::Redis,
    &beanstalkd::Beanstalkd,
    &nats::Nats,
];

/// Grouping changes something only where several threads publish.
fn only_threads(cell: &Cell) -> Option<&'static str> {
    let helps = cell.workload == Workload::Publish && cell.number > 1;
    (!helps).then_some("differs from the ungrouped one only where threads publish one at a time")
}

//! The histories that are cut, each by its name.

mod delivering;
mod managing;
mod publishing;
mod removing;

use crate::world::{Outcome, World, down};
use riverbed::{ConsumerConfig, Deny, OnExhausted, Retention, StreamConfig};
use std::time::Duration;

pub(crate) struct History {
    pub(crate) name: &'static str,
    pub(crate) consumer: fn(ConsumerConfig) -> ConsumerConfig,
    /// What is there before the power may fail.
    pub(crate) before: fn(&mut World) -> Outcome,
    pub(crate) cut: fn(&mut World) -> Outcome,
}

pub(crate) fn plain(config: ConsumerConfig) -> ConsumerConfig {
    config
}

pub(crate) fn dead(config: ConsumerConfig) -> ConsumerConfig {
    config.max_deliver(1).dead_letter("dead")
}

pub(crate) fn park(config: ConsumerConfig) -> ConsumerConfig {
    config.max_deliver(1).on_exhausted(OnExhausted::Park)
}

pub(crate) fn some(world: &mut World) -> Outcome {
    world.publish(&["a1", "a2", "a3", "a4"])
}

pub(crate) fn some_out(world: &mut World) -> Outcome {
    some(world)?;
    world.fetch(3)
}

pub(crate) fn some_dead(world: &mut World) -> Outcome {
    some_out(world)?;
    world.term("a1")?;
    world.nak("a2")
}

/// From now on the stream keeps what a consumer still wants.
fn interested(world: &mut World) -> Outcome {
    let config = stream_config().retention(Retention::Interest);
    world.store.update_stream(config).map_err(down)?;
    world.store.drive().map_err(down)
}

/// All of them.
pub(crate) fn histories() -> impl Iterator<Item = &'static History> {
    let all = [
        publishing::HISTORIES,
        delivering::HISTORIES,
        removing::HISTORIES,
        managing::HISTORIES,
    ];
    all.into_iter().flatten()
}

/// Where a stream of the history `guards` begins.
pub(crate) const FIRST: u64 = 5_000;

pub(crate) fn begun_config() -> StreamConfig {
    StreamConfig::new("begun")
        .first_sequence(FIRST)
        .max_consumers(1)
        .deny(Deny::Purge)
}

/// A stream that has a copy of what a batch stores in both.
pub(crate) fn beside_config() -> StreamConfig {
    StreamConfig::new("beside").subjects(["beside.*"])
}

pub(crate) fn stream_config() -> StreamConfig {
    StreamConfig::new("s")
        .subjects(["s.*"])
        .dedup_window(Duration::from_secs(600))
}

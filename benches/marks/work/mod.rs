//! The workloads.

mod backlog;
mod bounded;
mod cycle;
mod fanout;
mod filter;
mod floor;
mod idle;
mod large;
mod latency;
mod leases;
mod memory;
mod opening;
mod pipelined;
mod written;

use crate::Result;
use crate::bench::Bench;
use crate::options::Options;

pub(crate) struct Work {
    pub(crate) name: &'static str,
    pub(crate) what: &'static str,
    pub(crate) run: fn(&mut Bench) -> Result,
}

const fn work(name: &'static str, what: &'static str, run: fn(&mut Bench) -> Result) -> Work {
    Work { name, what, run }
}

pub(crate) const ALL: [Work; 14] = [
    work(
        floor::NAME,
        "publish, beside a zero-filled file that is overwritten and synced",
        floor::run,
    ),
    work(
        pipelined::NAME,
        "one thread that publishes without waiting, so many on their way",
        pipelined::run,
    ),
    work(
        large::NAME,
        "batches of 10,000 until the store is closed, beside bare redb",
        large::run,
    ),
    work(
        cycle::NAME,
        "two producers and two consumers at once, batches of 1,000",
        cycle::run,
    ),
    work(
        latency::NAME,
        "from the call of publish until a waiting consumer has the message",
        latency::run,
    ),
    work(
        backlog::NAME,
        "what a message costs a drain, by the size of the backlog",
        backlog::run,
    ),
    work(
        filter::NAME,
        "a filter that wants one message of a thousand",
        filter::run,
    ),
    work(
        idle::NAME,
        "a commit beside many idle streams and consumers",
        idle::run,
    ),
    work(
        leases::NAME,
        "publishing while many leases lapse at once",
        leases::run,
    ),
    work(
        fanout::NAME,
        "ten consumers of one stream, each on a thread",
        fanout::run,
    ),
    work(
        memory::NAME,
        "what a process takes that made a backlog",
        memory::run,
    ),
    work(
        written::NAME,
        "bytes given to write calls for each byte of payload, closing included",
        written::run,
    ),
    work(
        bounded::NAME,
        "the file of a work queue that holds 10,000 and takes many more",
        bounded::run,
    ),
    work(
        opening::NAME,
        "opening after a close and after kills",
        opening::run,
    ),
];

/// What a process does that a workload started.
pub(crate) fn in_child(options: &Options, words: &[String]) -> Result {
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        [memory::NAME, rest @ ..] => memory::in_child(options, rest),
        [opening::NAME, rest @ ..] => opening::in_child(options, rest),
        _ => Err("this is no child's work".into()),
    }
}

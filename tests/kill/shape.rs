//! The streams, consumers and messages that the children and the supervisor agree on.

use riverbed::{ConsumerConfig, Publish, Riverbed, StreamConfig};
use std::time::Duration;

pub(crate) const JOBS: &str = "jobs";
pub(crate) const DEAD: &str = "dead";
/// Acks, naks and terms; gives up after three failures.
pub(crate) const WORK: &str = "work";
/// Acks everything, a batch at a time.
pub(crate) const AUDIT: &str = "audit";
pub(crate) const LIMIT: u64 = 3;

/// Opens what the children work on, and makes it where it is missing.
pub(crate) fn prepare(store: &Riverbed) -> Result<(), riverbed::Error> {
    let day = Duration::from_secs(24 * 3600);
    let config = StreamConfig::new(JOBS).subjects(["jobs.*"]);
    let jobs = store.create_stream(config.dedup_window(day))?;
    // No lease lapses while a child lives: what it holds, it may settle.
    let work = ConsumerConfig::new(WORK).ack_wait(Duration::from_secs(3600));
    let work = work.max_ack_pending(100_000);
    jobs.create_consumer(work.max_deliver(LIMIT).dead_letter(DEAD))?;
    let audit = ConsumerConfig::new(AUDIT).ack_wait(Duration::from_secs(3600));
    jobs.create_consumer(audit.max_ack_pending(100_000))?;
    Ok(())
}

/// The bytes of a message: its name, and filler that depends on it. Some are larger than a page.
pub(crate) fn payload(name: &str) -> Vec<u8> {
    let mix = name
        .bytes()
        .fold(7_u64, |mix, byte| mix.wrapping_mul(31) + u64::from(byte));
    let mut random = fastrand::Rng::with_seed(mix);
    let filler = if random.u8(0..20) == 0 {
        random.usize(4_000..9_000)
    } else {
        random.usize(0..200)
    };
    let mut bytes = name.as_bytes().to_vec();
    bytes.push(b' ');
    bytes.extend((0..filler).map(|_| random.u8(..)));
    bytes
}

pub(crate) fn name_of(payload: &[u8]) -> String {
    let end = payload.iter().position(|byte| *byte == b' ');
    String::from_utf8_lossy(&payload[..end.unwrap_or(payload.len())]).into_owned()
}

/// Whether a message of this name carries an id.
pub(crate) fn has_id(name: &str) -> bool {
    !name.contains('u')
}

pub(crate) fn message(name: &str) -> Publish {
    let message = Publish::new("jobs.a", payload(name)).header("name", name);
    if has_id(name) {
        message.id(name)
    } else {
        message
    }
}

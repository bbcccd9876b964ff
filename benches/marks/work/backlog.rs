//! What a message costs a consumer that drains, by how many are stored.

use crate::Result;
use crate::bench::Bench;
use crate::drain::Drain;
use crate::median::median;
use crate::options::Options;
use crate::place::Place;
use crate::report::Row;
use riverbed::{ConsumerConfig, Stream};

pub(crate) const NAME: &str = "backlog";
const FETCH: usize = 1_000;
/// The small one is drained by one new consumer after the other, until as many messages came as this.
const AT_LEAST: u64 = 1_000_000;
/// The sizes take turns so often.
const ROUNDS: usize = 3;

struct Backlog {
    messages: u64,
    place: Place,
    us: Vec<f64>,
    probes: Vec<f64>,
}

pub(crate) fn run(bench: &mut Bench) -> Result {
    let options = bench.options.clone();
    let sizes: &[u64] = options.pick_full(
        &[10_000, 50_000],
        &[10_000, 100_000, 1_000_000],
        &[10_000, 100_000, 1_000_000, 10_000_000],
    );
    let mut backlogs = Vec::new();
    for messages in sizes {
        backlogs.push(Backlog::new(&options, *messages)?);
    }
    let rounds = options.pick(1, ROUNDS);
    for round in 0..rounds {
        for backlog in &mut backlogs {
            let (us, probe) = bench.probed(|| backlog.drain(&options, round))?;
            let case = format!("{} messages", backlog.messages);
            let what = (NAME, case.as_str(), "riverbed");
            bench.report.sample(what, round, ("us", us), probe)?;
            backlog.us.push(us);
            backlog.probes.push(probe);
        }
    }
    let mut small = None;
    for mut backlog in backlogs {
        let (us, probe) = (median(&mut backlog.us), median(&mut backlog.probes));
        let case = format!("{} messages", backlog.messages);
        let row = Row::new(NAME, case, (us, "us each"));
        let row = match small {
            None => row.probes(&[probe]),
            Some((small, small_probe)) => row
                .beside("the small one", small)
                .at_most(1.1)
                .probes(&[probe, small_probe]),
        };
        small = small.or(Some((us, probe)));
        bench.row(row)?;
    }
    Ok(())
}

impl Backlog {
    fn new(options: &Options, messages: u64) -> Result<Self> {
        let mut place = Place::new(options)?;
        place.filled(messages)?;
        // Nothing of it is in memory any more, as after a restart.
        place.reopen(options.builder())?;
        Ok(Self {
            messages,
            place,
            us: Vec::new(),
            probes: Vec::new(),
        })
    }

    /// Microseconds a message, of consumers that are new.
    fn drain(&self, options: &Options, round: usize) -> Result<f64> {
        let stream = self.place.stream()?;
        let at_least = options.pick(self.messages, AT_LEAST.max(self.messages));
        let passes = at_least.div_ceil(self.messages);
        let mut all = Drain::default();
        for pass in 0..passes {
            let drain = drain_anew(&stream, &format!("{round}-{pass}"), self.messages)?;
            all.delivered += drain.delivered;
            all.times.append(drain.times);
        }
        Ok(all.us_a_message())
    }
}

fn drain_anew(stream: &Stream, name: &str, messages: u64) -> Result<Drain> {
    let config = ConsumerConfig::new(name).max_ack_pending(2 * FETCH as u64);
    let consumer = stream.create_consumer(config)?;
    let drain = Drain::run(&consumer, FETCH, messages)?;
    stream.delete_consumer(name)?;
    Ok(drain)
}

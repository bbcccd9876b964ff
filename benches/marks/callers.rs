//! `Callers`: threads that publish one message at a time.

use crate::Result;
use crate::messages::{PAYLOAD, payload};
use crate::times::Times;
use std::sync::Barrier;
use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

/// What the calls of some threads came to.
pub(crate) struct Callers {
    pub(crate) per_second: f64,
    pub(crate) times: Times,
}

impl Callers {
    /// Each thread calls for this long, once at least. Making the payload is the caller's work: it counts
    /// for how many a second there are, and not for how long a call takes.
    pub(crate) fn run(
        threads: usize,
        span: Duration,
        call: impl Fn(Vec<u8>) -> Result + Sync,
    ) -> Result<Self> {
        let together = Barrier::new(threads);
        let one = || {
            together.wait();
            let (started, mut times) = (Instant::now(), Times::default());
            while times.count() == 0 || started.elapsed() < span {
                let payload = payload(times.count(), PAYLOAD);
                times.time(|| call(payload))?;
            }
            Ok((times, started, Instant::now()))
        };
        let results: Vec<Result<_>> = thread::scope(|scope| {
            let running: Vec<_> = (0..threads).map(|_| scope.spawn(one)).collect();
            running.into_iter().map(join).collect()
        });
        let (mut times, mut began, mut ended) = (Times::default(), None, None);
        for result in results {
            let (of_thread, from, to) = result?;
            times.append(of_thread);
            began = Some(began.map_or(from, |began: Instant| began.min(from)));
            ended = Some(ended.map_or(to, |ended: Instant| ended.max(to)));
        }
        let wall = began.zip(ended).map(|(began, ended)| ended - began);
        let per_second = times.count() as f64 / wall.unwrap_or(span).as_secs_f64();
        Ok(Self { per_second, times })
    }
}

/// What a thread returned; its panic is an error like others.
pub(crate) fn join<T>(thread: ScopedJoinHandle<'_, Result<T>>) -> Result<T> {
    thread
        .join()
        .unwrap_or_else(|_| Err("a thread has panicked".into()))
}

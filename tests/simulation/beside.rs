//! A second store on the disk of the first, written and crashed along with it.

use crate::failure::{Class, fail};
use crate::run::Run;
use crate::stores::open_at;
use riverbed::disk::MemoryDisk;
use riverbed::{ManualClock, Riverbed, Seq, StreamConfig};

const PATH: &str = "/beside";
const STREAM: &str = "z";

/// The second store, and what it must hold.
pub(crate) struct Beside {
    store: Riverbed,
    /// Messages that were acknowledged.
    stored: u64,
    /// Whether one more may be there: its publish failed.
    open: bool,
}

fn payload(number: u64) -> Vec<u8> {
    format!("{number} ")
        .repeat((number % 97) as usize + 1)
        .into_bytes()
}

impl Beside {
    pub(crate) fn begin(disk: &MemoryDisk, clock: &ManualClock) -> Self {
        let store = open_at(disk, clock, PATH).unwrap();
        store.create_stream(StreamConfig::new(STREAM)).unwrap();
        Self {
            store,
            stored: 0,
            open: false,
        }
    }

    /// Lets the store go, for `again`.
    pub(crate) fn end(self) -> (u64, bool) {
        (self.stored, self.open)
    }

    /// Opens what a crash, or a close, left of it: nothing is lost, and nothing else is there.
    pub(crate) fn again(disk: &MemoryDisk, clock: &ManualClock, held: (u64, bool)) -> Self {
        let (acknowledged, open) = held;
        let store = open_at(disk, clock, PATH).unwrap();
        let stream = store.stream(STREAM).unwrap();
        let stored = stream.info().unwrap().last_seq.get();
        let most = acknowledged + u64::from(open);
        if stored < acknowledged {
            fail(
                Class::Lost,
                format!("beside: {stored} of {acknowledged} messages"),
            );
        }
        if stored > most {
            fail(
                Class::Phantom,
                format!("beside: {stored} messages, at most {most}"),
            );
        }
        for number in 1..=stored {
            let message = stream.get(Seq::new(number)).unwrap();
            let message = message.map(|message| message.payload().to_vec());
            assert_eq!(message, Some(payload(number)), "beside: message {number}");
        }
        let problems = store.check().unwrap();
        assert!(problems.is_empty(), "beside: {problems:#?}");
        Self {
            store,
            stored,
            open: false,
        }
    }

    fn write(&mut self) -> Result<(), riverbed::PublishError> {
        let published = self.store.publish(STREAM, payload(self.stored + 1));
        self.open = published.is_err();
        self.stored = published?.seq.get();
        Ok(())
    }
}

impl Run {
    /// Writes to the second store now and then. When that fails, the process dies.
    pub(crate) fn write_beside(&mut self) {
        if self.rng.u8(..4) > 0 {
            return;
        }
        let Some(beside) = &mut self.beside else {
            return;
        };
        let written = beside.write();
        self.report.operations += 1;
        match written {
            Ok(()) => self.cover("beside written".into()),
            Err(why) => {
                assert!(self.armed, "beside: nothing failed, and it says {why:?}");
                self.cover("beside failed".into());
                let image = self.image();
                self.recover(image, vec![self.oracle.clone()]);
            }
        }
    }
}

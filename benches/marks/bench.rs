//! `Bench`: what every workload is given, and how things are compared: in turns, each between two probes.

use crate::Result;
use crate::median::median;
use crate::options::Options;
use crate::report::{Report, Row};
use crate::zeroed::Zeroed;
use tempfile::TempDir;

/// Bytes of the file that probes overwrite.
const PROBED: u64 = 1 << 20;

pub(crate) struct Bench {
    pub(crate) options: Options,
    pub(crate) report: Report,
    probe: Zeroed,
    /// Of the probe and of files that serve a whole workload.
    folder: TempDir,
}

/// One of those that take turns: its name, and what gives its figures.
pub(crate) type Side<'a, const F: usize> = (&'static str, &'a mut dyn FnMut() -> Result<[f64; F]>);

/// Medians of the figures of each side, and of the probes around them.
pub(crate) struct Turns<const S: usize, const F: usize> {
    pub(crate) medians: [[f64; F]; S],
    pub(crate) probes: [f64; S],
}

impl Bench {
    pub(crate) fn new(options: Options) -> Result<Self> {
        let folder = tempfile::tempdir_in(&options.dir)?;
        let probe = Zeroed::create(&folder.path().join("probe"), PROBED)?;
        let report = Report::begin(&options)?;
        Ok(Self {
            options,
            report,
            probe,
            folder,
        })
    }

    /// A file for the floor.
    pub(crate) fn zeroed(&self, len: u64) -> Result<Zeroed> {
        let path = self.folder.path().join("floor");
        if path.exists() {
            std::fs::remove_file(&path)?;
        }
        Ok(Zeroed::create(&path, len)?)
    }

    /// Runs something between two probes, and returns their mean, too.
    pub(crate) fn probed<T>(&mut self, work: impl FnOnce() -> Result<T>) -> Result<(T, f64)> {
        let overwrites = self.options.pick(10, 40);
        let before = self.probe.probe_us(overwrites)?;
        let result = work()?;
        let after = self.probe.probe_us(overwrites)?;
        Ok((result, f64::midpoint(before, after)))
    }

    /// Gives each side its turn, several times over; who begins changes. Every figure is a line of JSON.
    pub(crate) fn turns<const S: usize, const F: usize>(
        &mut self,
        (workload, case): (&str, &str),
        figures: [&str; F],
        mut sides: [Side<'_, F>; S],
    ) -> Result<Turns<S, F>> {
        let mut all: [[Vec<f64>; F]; S] = std::array::from_fn(|_| std::array::from_fn(|_| vec![]));
        let mut probes: [Vec<f64>; S] = std::array::from_fn(|_| vec![]);
        for repetition in 0..self.options.repetitions() {
            let mut order: Vec<_> = sides.iter_mut().zip(&mut all).zip(&mut probes).collect();
            order.rotate_left(repetition % S.max(1));
            for (((side, run), taken), probed) in order {
                let (values, probe) = self.probed(run)?;
                probed.push(probe);
                for ((values, value), figure) in taken.iter_mut().zip(values).zip(figures) {
                    values.push(value);
                    let what = (workload, case, *side);
                    self.report
                        .sample(what, repetition, (figure, value), probe)?;
                }
            }
        }
        Ok(Turns {
            medians: all.map(|side| side.map(|mut values| median(&mut values))),
            probes: probes.map(|mut values| median(&mut values)),
        })
    }

    /// Prints a row that stands for itself.
    pub(crate) fn row(&mut self, row: Row) -> Result {
        self.report.row(row)
    }
}

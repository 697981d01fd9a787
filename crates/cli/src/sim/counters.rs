//! counters.csv: what happened in each second of virtual time.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::PathBuf;

use splay_simulator::simulation::Sample;

use crate::event::rounded_seconds;
use crate::failure::Failure;
use crate::results::Results;

const NAME: &str = "counters.csv";

/// The writer of counters.csv.
pub struct Counters {
    file: BufWriter<File>,
    path: PathBuf,
    last: Sample,
}

impl Counters {
    /// An empty one.
    pub fn create(results: &Results) -> Result<Counters, Failure> {
        let path = results.folder().join(NAME);
        let mut counters = Counters { file: results.open(NAME)?, path, last: Sample::default() };
        let header = writeln!(counters.file, "seconds,live,messages,bytes,calls,drops");
        counters.told(header)?;
        Ok(counters)
    }

    /// Adds what happened since the last sample.
    pub fn add(&mut self, samples: &[Sample]) -> Result<(), Failure> {
        for sample in samples {
            let (now, before) = (sample.network, self.last.network);
            let written = writeln!(
                self.file,
                "{},{},{},{},{},{}",
                rounded_seconds(sample.at),
                sample.live,
                now.messages - before.messages,
                now.bytes - before.bytes,
                sample.calls - self.last.calls,
                now.drops - before.drops,
            );
            self.last = *sample;
            self.told(written)?;
        }
        Ok(())
    }

    /// Writes out what is held back.
    pub fn finish(&mut self) -> Result<(), Failure> {
        let flushed = self.file.flush();
        self.told(flushed)
    }

    fn told(&self, written: io::Result<()>) -> Result<(), Failure> {
        written.map_err(|source| Failure::Write { path: self.path.clone(), source })
    }
}

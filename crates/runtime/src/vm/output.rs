//! What an instance tells its host besides its end: lines of output, limits that were met.

use super::ctx::Ctx;
use crate::host::{Report, Stream};

/// A line that is longer is reported in parts, so that what a program does not end is not kept for
/// ever.
pub(super) const MAX_LINE_BYTES: usize = 1 << 20;

impl Ctx {
    /// Reports to the host.
    pub fn report(&self, report: Report) {
        (self.sink.borrow_mut())(report);
    }

    /// Writes bytes to one of the instance's streams; whole lines are reported.
    pub fn write(&self, stream: Stream, bytes: &[u8]) {
        if !self.evaluations.borrow().is_empty() && self.evaluation_writes(stream, bytes) {
            return;
        }
        let mut partial = self.partial.borrow_mut();
        let buffer = &mut partial[usize::from(stream == Stream::Err)];
        let mut rest = bytes;
        while let Some(end) = memchr::memchr(b'\n', rest) {
            buffer.extend_from_slice(&rest[..end]);
            let line = std::mem::take(buffer);
            self.report_line(stream, line);
            rest = &rest[end + 1..];
        }
        buffer.extend_from_slice(rest);
        if buffer.len() > MAX_LINE_BYTES {
            let line = std::mem::take(buffer);
            self.report_line(stream, line);
        }
    }

    fn report_line(&self, stream: Stream, line: Vec<u8>) {
        let (instance, level, at) = (self.number, self.level.get(), self.driver.borrow().wall());
        (self.sink.borrow_mut())(Report::Output { instance, at, stream, level, line });
    }

    /// Reports that a limit refused something; the first time only, as programs may try for ever.
    #[cold]
    pub fn limit_met(&self, limit: &'static str, allowed: u64, reached: u64) {
        if self.limits_told.borrow().contains(&limit) {
            return;
        }
        self.limits_told.borrow_mut().push(limit);
        let (instance, at) = (self.number, self.driver.borrow().wall());
        self.report(Report::Limit { instance, at, limit, allowed, reached });
    }

    /// Reports what was written without a final newline.
    pub(super) fn flush(&self) {
        for (index, stream) in [Stream::Out, Stream::Err].into_iter().enumerate() {
            if !self.partial.borrow()[index].is_empty() {
                self.write(stream, b"\n");
            }
        }
    }
}

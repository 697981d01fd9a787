//! Reports that the controller has not stored yet: numbered, on disk, in order. A killed splayd
//! loses none; the controller gets each once, by its number.
//!
//! A segment is a file named by the number of its first record. A record is its length (u32), the
//! CRC-32 of the rest, its number (u64) and its bytes; numbers are little-endian. A record cut short
//! by a crash is cut off when the spool is opened.
//!
//! What was written survives the end of splayd at once, and a power cut once it was synchronised:
//! together for all that came meanwhile, about once a second, never for each report. What the
//! controller has acknowledged it has stored itself, so that only reports of the last second that
//! had not reached it can be lost.

use std::collections::{BTreeMap, VecDeque};
use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use splay_protocol::session::{Event, LogsDropped, Report, ToController, encode};

/// A segment is closed when it has grown to this: acknowledged reports are removed in such pieces.
const SEGMENT_BYTES: u64 = 4 << 20;

const HEADER_BYTES: u64 = 16;

/// The longest record; every report fits a message.
const MAX_RECORD_BYTES: u32 = 5 << 20;

#[derive(Debug)]
struct Segment {
    first: u64,
    /// Number after its last record.
    next: u64,
    bytes: u64,
    path: PathBuf,
}

/// The reports that wait.
#[derive(Debug)]
pub struct Spool {
    folder: PathBuf,
    /// Never empty; the last one grows.
    segments: VecDeque<Segment>,
    file: File,
    acknowledged: u64,
    max_bytes: u64,
    segment_bytes: u64,
    /// Something was written since the last file was synchronised.
    unsynced: bool,
    /// Lines and bytes of logs that did not fit, by job.
    dropped: BTreeMap<String, (u64, u64)>,
}

/// Where a reader is.
#[derive(Debug, Clone, Copy, Default)]
pub struct Cursor {
    next: u64,
    /// First number and offset of the segment it is in, if it is still there.
    at: Option<(u64, u64)>,
}

impl Cursor {
    /// Before the report of that number.
    pub fn at(next: u64) -> Cursor {
        Cursor { next, at: None }
    }

    /// Number of the next report it will read.
    pub fn next(&self) -> u64 {
        self.next
    }
}

impl Spool {
    /// Opens the spool in a folder of its own.
    pub fn open(folder: &Path, max_bytes: u64) -> io::Result<Spool> {
        Spool::with_segments(folder, max_bytes, SEGMENT_BYTES.min(max_bytes / 4))
    }

    fn with_segments(folder: &Path, max_bytes: u64, segment_bytes: u64) -> io::Result<Spool> {
        std::fs::create_dir_all(folder)?;
        let mut firsts: Vec<u64> = std::fs::read_dir(folder)?
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.strip_suffix(".spool")?.parse().ok())
            .collect();
        firsts.sort_unstable();
        if firsts.is_empty() {
            firsts.push(1);
        }
        let mut segments = VecDeque::new();
        for first in firsts {
            let path = segment_path(folder, first);
            let file = open_segment(&path)?;
            let (next, bytes) = scan(&file, first)?;
            if file.metadata()?.len() > bytes {
                tracing::warn!(?path, bytes, "a report cut short is removed from the spool");
                file.set_len(bytes)?;
            }
            segments.push_back(Segment { first, next, bytes, path });
        }
        let last = segments.back().expect("one at least");
        let file = open_segment(&last.path)?;
        let acknowledged = segments.front().expect("one at least").first - 1;
        Ok(Spool {
            folder: folder.to_owned(),
            segments,
            file,
            acknowledged,
            max_bytes,
            segment_bytes,
            unsynced: false,
            dropped: BTreeMap::new(),
        })
    }

    /// Number the next report will have.
    pub fn next(&self) -> u64 {
        self.segments.back().expect("one at least").next
    }

    /// Bytes of all that waits, and of what is acknowledged and not yet removed.
    pub fn bytes(&self) -> u64 {
        self.segments.iter().map(|segment| segment.bytes).sum()
    }

    /// Everything is acknowledged.
    pub fn is_delivered(&self) -> bool {
        self.acknowledged + 1 >= self.next()
    }

    /// Whether results, which can wait where they are, may be added.
    pub fn has_room(&self) -> bool {
        self.bytes() < self.max_bytes / 2
    }

    /// Adds a report. Log lines that do not fit are counted instead; everything else is kept
    /// whatever its size.
    pub fn add(&mut self, at_us: u64, event: Event) -> io::Result<()> {
        match &event {
            Event::Logs(batch) => {
                if self.bytes() + batch.data.len() as u64 > self.max_bytes {
                    let (lines, bytes) = self.dropped.entry(batch.job.clone()).or_default();
                    *lines += u64::from(batch.lines);
                    *bytes += batch.data.len() as u64;
                    return Ok(());
                }
                let job = batch.job.clone();
                self.tell_dropped(at_us, &job)?;
            }
            Event::Done(done) => {
                let job = done.job.clone();
                self.tell_dropped(at_us, &job)?;
            }
            _ => {}
        }
        self.append(at_us, event)
    }

    fn tell_dropped(&mut self, at_us: u64, job: &str) -> io::Result<()> {
        let Some((lines, bytes)) = self.dropped.remove(job) else { return Ok(()) };
        self.append(at_us, Event::LogsDropped(LogsDropped { job: job.to_owned(), lines, bytes }))
    }

    fn append(&mut self, at_us: u64, event: Event) -> io::Result<()> {
        if self.segments.back().expect("one at least").bytes >= self.segment_bytes {
            self.rotate(self.next())?;
        }
        let last = self.segments.back_mut().expect("one at least");
        let sequence = last.next;
        let body = encode(&ToController::Report(Report { sequence, at_us, event }));
        let mut record = Vec::with_capacity(HEADER_BYTES as usize + body.len());
        record.extend_from_slice(&(body.len() as u32).to_le_bytes());
        record.extend_from_slice(&[0; 4]);
        record.extend_from_slice(&sequence.to_le_bytes());
        record.extend_from_slice(&body);
        let check = crc32fast::hash(&record[8..]);
        record[4..8].copy_from_slice(&check.to_le_bytes());
        if let Err(error) = self.file.write_all(&record) {
            // A record cut short must not hide those after it.
            let _ = self.file.set_len(last.bytes);
            return Err(error);
        }
        last.bytes += record.len() as u64;
        last.next += 1;
        self.unsynced = true;
        Ok(())
    }

    /// The file that is to be synchronised (`File::sync_data`, which takes its time) for all
    /// reports so far to survive a power cut; `None`: they do.
    pub fn unsynced(&mut self) -> io::Result<Option<File>> {
        if !std::mem::take(&mut self.unsynced) || self.is_delivered() {
            return Ok(None);
        }
        self.file.try_clone().map(Some)
    }

    fn rotate(&mut self, first: u64) -> io::Result<()> {
        let path = segment_path(&self.folder, first);
        // From now on only the new file is looked after.
        if let Some(file) = self.unsynced()? {
            file.sync_data()?;
        }
        self.file = open_segment(&path)?;
        File::open(&self.folder)?.sync_all()?;
        self.segments.push_back(Segment { first, next: first, bytes: 0, path });
        Ok(())
    }

    /// The controller has stored all up to this number.
    pub fn acknowledge(&mut self, sequence: u64) -> io::Result<()> {
        self.acknowledged = self.acknowledged.max(sequence.min(self.next() - 1));
        // All stored: begin anew rather than keep what nobody needs.
        if self.is_delivered()
            && self.segments.back().is_some_and(|last| last.bytes >= self.segment_bytes / 4)
        {
            self.rotate(self.next())?;
        }
        while self.segments.len() > 1 && self.segments[0].next <= self.acknowledged + 1 {
            let segment = self.segments.pop_front().expect("more than one");
            std::fs::remove_file(&segment.path)?;
        }
        Ok(())
    }

    /// The controller has stored more than this splayd remembers (its disk was lost or put
    /// back): go on after that.
    pub fn skip_to(&mut self, acknowledged: u64) -> io::Result<()> {
        if acknowledged >= self.next() {
            tracing::warn!(acknowledged, next = self.next(), "the spool is behind the controller");
            self.rotate(acknowledged + 1)?;
        }
        self.acknowledge(acknowledged)
    }

    /// Encoded messages of the reports after the cursor, about `most` bytes of them.
    pub fn read(&self, cursor: &mut Cursor, most: usize) -> io::Result<Vec<Vec<u8>>> {
        let mut found = Vec::new();
        let mut size = 0;
        while size < most {
            let Some(segment) = self.segments.iter().find(|segment| segment.next > cursor.next) else {
                break;
            };
            let file = File::open(&segment.path)?;
            let mut offset = match cursor.at {
                Some((first, offset)) if first == segment.first => offset,
                _ => 0,
            };
            cursor.next = cursor.next.max(segment.first);
            while offset < segment.bytes && size < most {
                let Some((number, body)) = record(&file, offset)? else {
                    let text = format!("{}: damaged at byte {offset}", segment.path.display());
                    return Err(io::Error::new(io::ErrorKind::InvalidData, text));
                };
                offset += HEADER_BYTES + body.len() as u64;
                if number >= cursor.next {
                    cursor.next = number + 1;
                    size += body.len();
                    found.push(body);
                }
            }
            cursor.at = Some((segment.first, offset));
        }
        Ok(found)
    }
}

fn segment_path(folder: &Path, first: u64) -> PathBuf {
    folder.join(format!("{first:020}.spool"))
}

fn open_segment(path: &Path) -> io::Result<File> {
    OpenOptions::new().create(true).read(true).append(true).mode(0o600).open(path)
}

/// The record at an offset; `None` if there is no whole one.
fn record(file: &File, offset: u64) -> io::Result<Option<(u64, Vec<u8>)>> {
    let whole = |result: io::Result<()>| match result {
        Ok(()) => Ok(true),
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        Err(error) => Err(error),
    };
    let mut header = [0; HEADER_BYTES as usize];
    if !whole(file.read_exact_at(&mut header, offset))? {
        return Ok(None);
    }
    let word = |from: usize| u32::from_le_bytes(header[from..from + 4].try_into().expect("four bytes"));
    let (length, check) = (word(0), word(4));
    if length > MAX_RECORD_BYTES {
        return Ok(None);
    }
    let mut body = vec![0; length as usize];
    if !whole(file.read_exact_at(&mut body, offset + HEADER_BYTES))? {
        return Ok(None);
    }
    let mut hasher = crc32fast::Hasher::new();
    hasher.update(&header[8..]);
    hasher.update(&body);
    let number = u64::from_le_bytes(header[8..].try_into().expect("eight bytes"));
    Ok((hasher.finalize() == check).then_some((number, body)))
}

/// Number after the last whole record, and the bytes of all whole ones.
fn scan(file: &File, first: u64) -> io::Result<(u64, u64)> {
    let (mut next, mut offset) = (first, 0);
    while let Some((number, body)) = record(file, offset)? {
        next = number + 1;
        offset += HEADER_BYTES + body.len() as u64;
    }
    Ok((next, offset))
}

#[cfg(test)]
mod tests {
    use serde_bytes::ByteBuf;
    use splay_protocol::session::{JobReady, LogBatch, decode};

    use super::*;

    fn ready(job: &str) -> Event {
        Event::Ready(JobReady { job: job.into() })
    }

    fn logs(lines: u32, bytes: usize) -> Event {
        let data = ByteBuf::from(vec![0; bytes]);
        Event::Logs(LogBatch { job: "j".into(), lines, first_us: 0, last_us: 0, data })
    }

    fn all(spool: &Spool, from: u64) -> Vec<Report> {
        let mut cursor = Cursor::at(from);
        let mut reports = Vec::new();
        loop {
            let some = spool.read(&mut cursor, 100).unwrap();
            if some.is_empty() {
                return reports;
            }
            reports.extend(some.iter().map(|bytes| match decode(bytes).unwrap() {
                ToController::Report(report) => report,
                other => panic!("{other:?}"),
            }));
        }
    }

    fn numbers(spool: &Spool, from: u64) -> Vec<u64> {
        all(spool, from).iter().map(|report| report.sequence).collect()
    }

    #[test]
    fn reports_are_kept_in_order_until_acknowledged() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::with_segments(folder.path(), 1 << 20, 200).unwrap();
        (0..20).for_each(|n| spool.add(n, ready(&n.to_string())).unwrap());
        assert_eq!(numbers(&spool, 1), (1..=20).collect::<Vec<_>>());
        spool.acknowledge(7).unwrap();
        assert!(spool.segments.len() > 1 && spool.segments[0].first <= 8);
        assert_eq!(numbers(&spool, 8), (8..=20).collect::<Vec<_>>());
        drop(spool);
        let mut spool = Spool::with_segments(folder.path(), 1 << 20, 200).unwrap();
        spool.add(99, ready("later")).unwrap();
        assert_eq!(numbers(&spool, 8), (8..=21).collect::<Vec<_>>());
        spool.acknowledge(21).unwrap();
        assert!(spool.is_delivered());
        drop(spool);
        let spool = Spool::with_segments(folder.path(), 1 << 20, 200).unwrap();
        assert_eq!((spool.next(), numbers(&spool, 22)), (22, vec![]));
    }

    #[test]
    fn a_report_cut_short_is_cut_off() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
        (0..3).for_each(|n| spool.add(n, ready("x")).unwrap());
        let path = spool.segments[0].path.clone();
        let size = std::fs::metadata(&path).unwrap().len();
        drop(spool);
        OpenOptions::new().write(true).open(&path).unwrap().set_len(size - 3).unwrap();
        let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
        assert_eq!(numbers(&spool, 1), [1, 2]);
        spool.add(9, ready("again")).unwrap();
        assert_eq!(all(&spool, 3)[0].event, ready("again"));
    }

    #[test]
    fn reports_are_synchronised_together_unless_they_have_arrived() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
        assert!(spool.unsynced().unwrap().is_none(), "nothing was written");
        spool.add(1, ready("a")).unwrap();
        spool.add(2, ready("b")).unwrap();
        let file = spool.unsynced().unwrap().expect("two were");
        assert_eq!(file.metadata().unwrap().len(), spool.bytes());
        file.sync_data().unwrap();
        assert!(spool.unsynced().unwrap().is_none(), "once is enough");
        spool.add(3, ready("c")).unwrap();
        spool.acknowledge(3).unwrap();
        assert!(spool.unsynced().unwrap().is_none(), "the controller has stored all");
        spool.add(4, ready("d")).unwrap();
        assert!(spool.unsynced().unwrap().is_some());
    }

    #[test]
    fn log_lines_that_do_not_fit_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::with_segments(folder.path(), 1000, 100).unwrap();
        spool.add(1, logs(10, 700)).unwrap();
        spool.add(2, logs(20, 700)).unwrap();
        spool.add(3, logs(5, 600)).unwrap();
        spool.add(4, ready("j")).unwrap();
        spool.acknowledge(1).unwrap();
        spool.add(5, logs(1, 10)).unwrap();
        let told: Vec<Event> = all(&spool, 2).into_iter().map(|report| report.event).collect();
        let dropped = Event::LogsDropped(LogsDropped { job: "j".into(), lines: 25, bytes: 1300 });
        assert_eq!(told, [ready("j"), dropped, logs(1, 10)]);
    }

    #[test]
    fn dropped_lines_are_told_before_the_job_is_done() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::with_segments(folder.path(), 100, 100).unwrap();
        spool.add(1, logs(10, 700)).unwrap();
        spool.add(2, Event::Done(JobReady { job: "j".into() })).unwrap();
        assert!(matches!(all(&spool, 1)[0].event, Event::LogsDropped(_)));
        assert_eq!(numbers(&spool, 1), [1, 2]);
    }

    #[test]
    fn a_spool_behind_the_controller_goes_on_after_it() {
        let folder = tempfile::tempdir().unwrap();
        let mut spool = Spool::open(folder.path(), 1 << 20).unwrap();
        spool.add(1, ready("x")).unwrap();
        spool.skip_to(50).unwrap();
        spool.add(1, ready("y")).unwrap();
        assert_eq!(numbers(&spool, 51), [51]);
        assert_eq!(Spool::open(folder.path(), 1 << 20).unwrap().next(), 52);
    }
}

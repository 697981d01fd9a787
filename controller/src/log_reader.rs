//! A job's log as one stream: blocks of many splayds, merged by the time of their lines.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap, VecDeque};

use splay_protocol::log_lines::{Line, LineKind, lines};

use crate::store::{BlockInfo, Store, StoreError};

/// The longest block that is unpacked; splayds send some hundred KB.
const MAX_BLOCK_BYTES: usize = 64 << 20;

/// A line of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OwnedLine {
    /// Microseconds since 1970.
    pub at_us: u64,
    /// Which instance.
    pub position: u32,
    /// Number within the instance.
    pub number: u32,
    /// Where it comes from.
    pub kind: LineKind,
    /// The text.
    pub text: Vec<u8>,
}

/// Which lines are wanted. Everything empty or absent is not asked for.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Filter {
    /// Instances.
    pub positions: Vec<u32>,
    /// Names of kinds.
    pub kinds: Vec<String>,
    /// Not before.
    pub from_us: Option<u64>,
    /// Not after.
    pub to_us: Option<u64>,
    /// Part of the text.
    pub text: Option<String>,
}

impl Filter {
    /// Whether a line is wanted.
    pub fn takes(&self, line: &Line<'_>) -> bool {
        (self.positions.is_empty() || self.positions.contains(&line.position))
            && (self.kinds.is_empty() || self.kinds.iter().any(|kind| kind == line.kind.name()))
            && self.from_us.is_none_or(|from| line.at_us >= from)
            && self.to_us.is_none_or(|to| line.at_us <= to)
            && self
                .text
                .as_ref()
                .is_none_or(|text| memchr::memmem::find(line.text, text.as_bytes()).is_some())
    }

    fn may_take(&self, block: &BlockInfo) -> bool {
        self.from_us.is_none_or(|from| block.last_us >= from)
            && self.to_us.is_none_or(|to| block.first_us <= to)
    }
}

/// The wanted lines of a compressed block, by time. A block that is broken ends where it breaks,
/// with a line that says so.
pub fn unpack(data: &[u8], filter: &Filter) -> Vec<OwnedLine> {
    let broken = |at_us, text: String| OwnedLine {
        at_us,
        position: 0,
        number: 0,
        kind: LineKind::System,
        text: text.into_bytes(),
    };
    let block = match zstd::bulk::decompress(data, zstd_bound(data)) {
        Ok(block) => block,
        Err(error) => return vec![broken(0, format!("a block of log lines cannot be unpacked: {error}"))],
    };
    let mut wanted = Vec::new();
    for line in lines(&block) {
        match line {
            Ok(line) if filter.takes(&line) => wanted.push(OwnedLine {
                at_us: line.at_us,
                position: line.position,
                number: line.number,
                kind: line.kind,
                text: line.text.to_vec(),
            }),
            Ok(_) => {}
            Err(error) => {
                let at = wanted.last().map_or(0, |line| line.at_us);
                wanted.push(broken(at, error.to_string()));
            }
        }
    }
    wanted.sort_by_key(|line| line.at_us);
    wanted
}

/// What the frame says it holds, within bounds, so that a small one does not take much.
fn zstd_bound(data: &[u8]) -> usize {
    let said = zstd::zstd_safe::get_frame_content_size(data).ok().flatten();
    said.map_or(MAX_BLOCK_BYTES, |bytes| bytes as usize).min(MAX_BLOCK_BYTES)
}

/// Blocks of one splayd, and the lines of the one that is open.
struct Source {
    splayd: String,
    blocks: VecDeque<BlockInfo>,
    lines: std::vec::IntoIter<OwnedLine>,
    head: Option<OwnedLine>,
}

/// Reads a job's log.
pub struct LogReader {
    store: Store,
    job: String,
    filter: Filter,
    sources: Vec<Source>,
    /// Time of each source's next line, or of its next block's first.
    next: BinaryHeap<Reverse<(u64, usize)>>,
    last: BTreeMap<String, u64>,
}

impl LogReader {
    /// Of what is stored now.
    pub async fn open(store: Store, job: String, filter: Filter) -> Result<LogReader, StoreError> {
        let mut by_splayd: BTreeMap<String, VecDeque<BlockInfo>> = BTreeMap::new();
        let mut last = BTreeMap::new();
        for block in store.log_blocks(&job).await? {
            last.insert(block.splayd.clone(), block.sequence);
            if filter.may_take(&block) {
                by_splayd.entry(block.splayd.clone()).or_default().push_back(block);
            }
        }
        let source = |(splayd, blocks)| Source { splayd, blocks, lines: Vec::new().into_iter(), head: None };
        let sources: Vec<Source> = by_splayd.into_iter().map(source).collect();
        let first = |(index, source): (usize, &Source)| {
            source.blocks.front().map(|block| Reverse((block.first_us, index)))
        };
        let next = sources.iter().enumerate().filter_map(first).collect();
        Ok(LogReader { store, job, filter, sources, next, last })
    }

    /// Number of the last report of each splayd that is read.
    pub fn last(&self) -> &BTreeMap<String, u64> {
        &self.last
    }

    /// The next line.
    pub async fn next(&mut self) -> Result<Option<OwnedLine>, StoreError> {
        while let Some(Reverse((_, index))) = self.next.pop() {
            let source = &mut self.sources[index];
            let line = source.head.take();
            source.head = source.lines.next();
            while source.head.is_none() {
                let Some(block) = source.blocks.pop_front() else { break };
                let data = self.store.log_block(&self.job, &source.splayd, block.sequence).await?;
                source.lines = unpack(&data.unwrap_or_default(), &self.filter).into_iter();
                source.head = source.lines.next();
            }
            if let Some(head) = &source.head {
                self.next.push(Reverse((head.at_us, index)));
            }
            if line.is_some() {
                return Ok(line);
            }
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use splay_protocol::log_lines::push;

    use super::*;

    #[test]
    fn filters() {
        let mut block = Vec::new();
        for (at_us, position, kind, text) in
            [(5, 1, LineKind::Out, "b"), (3, 2, LineKind::Error, "a hit"), (9, 1, LineKind::Error, "hit")]
        {
            push(&mut block, Line { at_us, position, number: 1, kind, text: text.as_bytes() });
        }
        let data = zstd::bulk::compress(&block, 1).unwrap();
        let texts = |filter: Filter| -> Vec<String> {
            unpack(&data, &filter).into_iter().map(|line| String::from_utf8(line.text).unwrap()).collect()
        };
        assert_eq!(texts(Filter::default()), ["a hit", "b", "hit"]);
        assert_eq!(
            texts(Filter { positions: vec![1], text: Some("hit".into()), ..Filter::default() }),
            ["hit"]
        );
        assert_eq!(texts(Filter { kinds: vec!["out".into()], ..Filter::default() }), ["b"]);
        assert_eq!(texts(Filter { from_us: Some(4), to_us: Some(8), ..Filter::default() }), ["b"]);
        assert!(texts_of_broken().contains("cannot be unpacked"));
    }

    fn texts_of_broken() -> String {
        String::from_utf8(unpack(b"nonsense", &Filter::default()).remove(0).text).unwrap()
    }
}

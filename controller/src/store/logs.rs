//! Blocks of log lines.

use sqlx::Row as _;

use super::{Result, Store};

/// Where a block is and what times it spans.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockInfo {
    /// Who sent it.
    pub splayd: String,
    /// In which report.
    pub sequence: u64,
    /// Time of its first line.
    pub first_us: u64,
    /// Time of its last line.
    pub last_us: u64,
    /// How many lines.
    pub lines: u64,
}

/// A block's bytes, compressed.
pub type Block = Vec<u8>;

impl Store {
    /// The blocks of a job's log, in the order of the reports of each splayd.
    pub async fn log_blocks(&self, job: &str) -> Result<Vec<BlockInfo>> {
        let text = "SELECT splayd, sequence, first_us, last_us, line_count FROM logs WHERE job = $1 ORDER BY splayd, sequence";
        let rows = sqlx::query(text).bind(job.to_owned()).fetch_all(&self.read).await?;
        let mut blocks = Vec::with_capacity(rows.len());
        for row in rows {
            blocks.push(BlockInfo {
                splayd: row.try_get(0)?,
                sequence: row.try_get::<i64, _>(1)? as u64,
                first_us: row.try_get::<i64, _>(2)? as u64,
                last_us: row.try_get::<i64, _>(3)? as u64,
                lines: row.try_get::<i64, _>(4)? as u64,
            });
        }
        Ok(blocks)
    }

    /// A block.
    pub async fn log_block(&self, job: &str, splayd: &str, sequence: u64) -> Result<Option<Block>> {
        let text = "SELECT data FROM logs WHERE job = $1 AND splayd = $2 AND sequence = $3";
        let query = sqlx::query(text).bind(job.to_owned()).bind(splayd.to_owned()).bind(sequence as i64);
        let row = query.fetch_optional(&self.read).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }
}

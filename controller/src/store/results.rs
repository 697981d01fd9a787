//! Result files: how much of each has come, and their bytes where these are not in a folder.

use splay_protocol::api::ResultFile;
use splay_protocol::session::ResultPart;
use sqlx::any::AnyRow;
use sqlx::{AnyConnection, Row as _};

use super::{Result, Store, Value, number, text, upsert};

impl Store {
    /// Result files of a job.
    pub async fn results(&self, job: &str) -> Result<Vec<ResultFile>> {
        let text = "SELECT position, path, total_bytes, received_bytes FROM results WHERE job = $1 ORDER BY position, path";
        let rows = sqlx::query(text).bind(job.to_owned()).fetch_all(&self.read).await?;
        let file = |row: &AnyRow| {
            Ok(ResultFile {
                position: row.try_get::<i64, _>(0)? as u32,
                path: row.try_get(1)?,
                bytes: row.try_get::<i64, _>(2)? as u64,
                received_bytes: row.try_get::<i64, _>(3)? as u64,
            })
        };
        rows.iter().map(file).collect()
    }

    /// How much of a result file is here, of how much.
    pub async fn received(&self, part: &ResultPart) -> Result<Option<(u64, u64)>> {
        let text =
            "SELECT received_bytes, total_bytes FROM results WHERE job = $1 AND position = $2 AND path = $3";
        let query = sqlx::query(text).bind(part.job.clone()).bind(i64::from(part.position));
        let row = query.bind(part.path.clone()).fetch_optional(&self.write).await?;
        row.map(|row| Ok((row.try_get::<i64, _>(0)? as u64, row.try_get::<i64, _>(1)? as u64))).transpose()
    }

    /// The bytes of a result file from `offset` on, as far as the piece goes that holds them.
    pub async fn result_bytes(
        &self,
        job: &str,
        position: u32,
        path: &str,
        offset: u64,
    ) -> Result<Option<Vec<u8>>> {
        let text = "SELECT first_byte, data FROM result_parts WHERE job = $1 AND position = $2 AND path = $3 AND first_byte <= $4 ORDER BY first_byte DESC LIMIT 1";
        let query = sqlx::query(text).bind(job.to_owned()).bind(i64::from(position)).bind(path.to_owned());
        let Some(row) = query.bind(offset as i64).fetch_optional(&self.read).await? else { return Ok(None) };
        let first = row.try_get::<i64, _>(0)? as u64;
        let mut data: Vec<u8> = row.try_get(1)?;
        let before = usize::try_from(offset - first).unwrap_or(usize::MAX);
        if before >= data.len() {
            return Ok(None);
        }
        data.drain(..before);
        Ok(Some(data))
    }
}

/// Keeps pieces. One that begins a file of another size than before replaces the file.
pub(super) async fn add_parts(connection: &mut AnyConnection, parts: &[(ResultPart, bool)]) -> Result<()> {
    for (part, anew) in parts {
        if *anew {
            let text = "DELETE FROM result_parts WHERE job = $1 AND position = $2 AND path = $3";
            let query = sqlx::query(text).bind(part.job.clone()).bind(i64::from(part.position));
            query.bind(part.path.clone()).execute(&mut *connection).await?;
        }
        let row = vec![
            text(&part.job),
            number(part.position.into()),
            text(&part.path),
            number(part.offset),
            Value::Bytes(part.data.to_vec()),
        ];
        let columns = ["job", "position", "path", "first_byte", "data"];
        upsert(connection, "result_parts", &columns, 4, vec![row]).await?;
    }
    Ok(())
}

/// Removes logs and results of a job.
pub(super) async fn remove_kept(connection: &mut AnyConnection, job: &str) -> Result<()> {
    for text in [
        "DELETE FROM logs WHERE job = $1",
        "DELETE FROM results WHERE job = $1",
        "DELETE FROM result_parts WHERE job = $1",
    ] {
        sqlx::query(text).bind(job.to_owned()).execute(&mut *connection).await?;
    }
    Ok(())
}

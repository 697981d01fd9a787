//! What the controller keeps: SQLite in a file, or PostgreSQL, with the same statements. Decides
//! nothing; a change of the state is one transaction.

mod accounts;
mod finished;
mod leader;
mod logs;
mod results;
mod rows;

use std::collections::{BTreeMap, HashMap};
use std::path::Path;
use std::str::FromStr as _;

pub use accounts::{JoinFault, TokenKind, UserRow, hash_secret};
pub use finished::{FinishedFigures, Keep};
pub use leader::{LOOK, Leader, Leadership};
pub use logs::{Block, BlockInfo};
use rows::{Value, upsert};
use serde::Serialize;
use serde::de::DeserializeOwned;
use splay_protocol::api::{JobEvent, NativeLib, ResultFile, SplaydChange, SplaydState};
use splay_protocol::session::{LogBatch, ResultPart};
use sqlx::any::{AnyConnectOptions, AnyPoolOptions, AnyRow};
use sqlx::{AnyConnection, AnyPool, Executor as _, Row as _};

use crate::state::{Changes, FinishedJob, Host, Job, JobSpec, Live, Micros, Splayd, SplaydRecord, schedule};

/// Why the store does not do what it should.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database cannot be opened.
    #[error("open the database {0}: {1}")]
    Open(String, #[source] sqlx::Error),
    /// A statement fails.
    #[error("database: {0}")]
    Statement(#[from] sqlx::Error),
    /// A record is not what this version writes.
    #[error("database: table {0} holds what this version cannot read: {1}")]
    Record(&'static str, String),
    /// Made by a later version.
    #[error("the database is of version {0}; this controller knows versions up to {1}")]
    Version(i64, usize),
    /// It does not answer.
    #[error("the database has not answered for {0} s")]
    Silent(u64),
    /// A folder or file beside the database.
    #[error("{0}: {1}")]
    File(String, #[source] std::io::Error),
}

type Result<T> = std::result::Result<T, StoreError>;

/// Each is applied once, in its order.
const MIGRATIONS: [&str; 3] = [
    include_str!("../../migrations/0001_begin.sql"),
    include_str!("../../migrations/0002_finished.sql"),
    include_str!("../../migrations/0003_availability.sql"),
];

/// The database. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Store {
    read: AnyPool,
    write: AnyPool,
    postgres: bool,
}

/// What one step of the state leaves behind.
#[derive(Debug, Default)]
pub struct Commit {
    /// What has changed.
    pub changes: Changes,
    /// What happened to jobs.
    pub events: Vec<(String, JobEvent)>,
    /// Log lines: splayd, number of the report, block.
    pub logs: Vec<(String, u64, LogBatch)>,
    /// Result files: how much of each has come.
    pub results: Vec<(String, ResultFile)>,
    /// Their pieces, where the database keeps them, and whether the file begins anew.
    pub parts: Vec<(ResultPart, bool)>,
    /// Jobs that are over.
    pub finished: Vec<FinishedJob>,
    /// Jobs whose logs and results are removed.
    pub removed: Vec<String>,
    /// Splayds that have come or gone.
    pub availability: Vec<(String, Micros, SplaydState)>,
}

impl Commit {
    /// Whether there is nothing to store.
    pub fn is_empty(&self) -> bool {
        self.changes == Changes::default()
            && self.events.is_empty()
            && self.logs.is_empty()
            && self.results.is_empty()
            && self.finished.is_empty()
            && self.removed.is_empty()
            && self.availability.is_empty()
    }
}

impl Store {
    /// Opens a database, `sqlite:PATH` or `postgres://...`, and brings it to this version.
    pub async fn open(url: &str) -> Result<Store> {
        sqlx::any::install_default_drivers();
        let postgres = url.starts_with("postgres:") || url.starts_with("postgresql:");
        let shown = shown_url(url);
        let failed = |error| StoreError::Open(shown.clone(), error);
        let options = AnyConnectOptions::from_str(url).map_err(failed)?;
        let pool = |connections: u32| {
            AnyPoolOptions::new().max_connections(connections).after_connect(move |connection, _| {
                Box::pin(async move {
                    if !postgres {
                        // A commit is on the disk before a splayd hears of it.
                        let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA busy_timeout = 10000";
                        connection.execute(pragmas).await?;
                    }
                    Ok(())
                })
            })
        };
        // SQLite has one writer at a time: those who write wait for each other here.
        let write = pool(if postgres { 4 } else { 1 }).connect_with(options.clone()).await.map_err(failed)?;
        let store = Store { read: pool(4).connect_lazy_with(options), write, postgres };
        store.migrate().await?;
        Ok(store)
    }

    /// Opens the file of a data directory.
    pub async fn open_file(path: &Path) -> Result<Store> {
        Store::open(&format!("sqlite:{}?mode=rwc", path.display())).await
    }

    async fn migrate(&self) -> Result<()> {
        let mut transaction = self.write.begin().await?;
        if self.postgres {
            // Controllers that begin at the same time do so one after the other.
            transaction.execute("SELECT 1 FROM (SELECT pg_advisory_xact_lock(7305804385)) AS held").await?;
        }
        transaction.execute("CREATE TABLE IF NOT EXISTS schema_version (version BIGINT NOT NULL)").await?;
        let row = sqlx::query("SELECT MAX(version) FROM schema_version").fetch_one(&mut *transaction).await?;
        let version = row.try_get::<Option<i64>, _>(0)?.unwrap_or(0);
        if version > MIGRATIONS.len() as i64 {
            return Err(StoreError::Version(version, MIGRATIONS.len()));
        }
        for (number, migration) in (1i64..).zip(MIGRATIONS).skip(version as usize) {
            let text = if self.postgres { migration.replace("BLOB", "BYTEA") } else { migration.to_owned() };
            for statement in text.split(";\n") {
                sqlx::query(sqlx::AssertSqlSafe(statement.to_owned())).execute(&mut *transaction).await?;
            }
            sqlx::query("INSERT INTO schema_version (version) VALUES ($1)")
                .bind(number)
                .execute(&mut *transaction)
                .await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Whether the database answers.
    pub async fn ping(&self) -> Result<()> {
        sqlx::query("SELECT 1").execute(&self.read).await?;
        Ok(())
    }

    /// Stores a step of the state, all or nothing.
    pub async fn commit(&self, commit: &Commit) -> Result<()> {
        let mut transaction = self.write.begin().await?;
        let connection: &mut AnyConnection = &mut transaction;
        let changes = &commit.changes;
        let rows = changes
            .splayds
            .iter()
            .map(|record| vec![text(&record.id), text(&record.key), json(record)])
            .collect();
        upsert(connection, "splayds", &["id", "public_key", "data"], 1, rows).await?;
        let rows = changes.specs.iter().map(|spec| vec![text(&spec.id), json(spec)]).collect();
        upsert(connection, "jobs", &["id", "spec"], 1, rows).await?;
        let rows = changes.lives.iter().map(|(job, live)| vec![text(job), json(live)]).collect();
        upsert(connection, "job_states", &["job", "data"], 1, rows).await?;
        let rows = changes
            .hosts
            .iter()
            .map(|(job, splayd, host)| vec![text(job), text(splayd), json(host)])
            .collect();
        upsert(connection, "job_hosts", &["job", "splayd", "data"], 2, rows).await?;
        let rows = commit
            .events
            .iter()
            .map(|(job, event)| vec![text(job), number(event.number), json(event)])
            .collect();
        upsert(connection, "job_events", &["job", "number", "data"], 2, rows).await?;
        let block = |(splayd, sequence, batch): &(String, u64, LogBatch)| {
            vec![
                text(&batch.job),
                text(splayd),
                number(*sequence),
                number(batch.first_us),
                number(batch.last_us),
                number(batch.lines.into()),
                Value::Bytes(batch.data.to_vec()),
            ]
        };
        let columns = ["job", "splayd", "sequence", "first_us", "last_us", "line_count", "data"];
        upsert(connection, "logs", &columns, 3, commit.logs.iter().map(block).collect()).await?;
        let result = |(job, file): &(String, ResultFile)| {
            vec![
                text(job),
                number(file.position.into()),
                text(&file.path),
                number(file.bytes),
                number(file.received_bytes),
            ]
        };
        let columns = ["job", "position", "path", "total_bytes", "received_bytes"];
        upsert(connection, "results", &columns, 3, commit.results.iter().map(result).collect()).await?;
        results::add_parts(connection, &commit.parts).await?;
        for job in &commit.removed {
            results::remove_kept(connection, job).await?;
        }
        let rows = commit
            .availability
            .iter()
            .map(|(splayd, at, state)| vec![text(splayd), number(*at), json(state)])
            .collect();
        upsert(connection, "splayd_states", &["splayd", "at_us", "state"], 2, rows).await?;
        let rows = commit.finished.iter().map(finished::row).collect();
        upsert(connection, "finished_jobs", &finished::COLUMNS, 1, rows).await?;
        let rows = changes
            .sequences
            .iter()
            .map(|(splayd, sequence)| vec![text(splayd), number(*sequence)])
            .collect();
        upsert(connection, "sequences", &["splayd", "sequence"], 1, rows).await?;
        Ok(transaction.commit().await?)
    }

    /// All splayds.
    pub async fn splayds(&self) -> Result<Vec<Splayd>> {
        let rows = sqlx::query("SELECT splayd, sequence FROM sequences").fetch_all(&self.write).await?;
        let mut sequences: HashMap<String, u64> = HashMap::new();
        for row in rows {
            sequences.insert(row.try_get(0)?, row.try_get::<i64, _>(1)? as u64);
        }
        let rows = sqlx::query("SELECT data FROM splayds").fetch_all(&self.write).await?;
        let splayd = |row: &AnyRow| {
            let record: SplaydRecord = parsed("splayds", row.try_get(0)?)?;
            let sequence = sequences.get(&record.id).copied().unwrap_or(0);
            Ok(Splayd::new(record, sequence))
        };
        rows.iter().map(splayd).collect()
    }

    /// The splayd with a key.
    pub async fn splayd_by_key(&self, key: &str) -> Result<Option<SplaydRecord>> {
        let query = sqlx::query("SELECT data FROM splayds WHERE public_key = $1").bind(key.to_owned());
        let row = query.fetch_optional(&self.read).await?;
        row.map(|row| parsed("splayds", row.try_get(0)?)).transpose()
    }

    /// When a splayd has come and gone, the last `most` times, the latest last.
    pub async fn availability(&self, splayd: &str, most: u32) -> Result<Vec<SplaydChange>> {
        let text = "SELECT at_us, state FROM splayd_states WHERE splayd = $1 ORDER BY at_us DESC LIMIT $2";
        let query = sqlx::query(text).bind(splayd.to_owned()).bind(i64::from(most));
        let change = |row: &AnyRow| {
            let state = parsed("splayd_states", row.try_get(1)?)?;
            Ok(SplaydChange { at: row.try_get::<i64, _>(0)? as f64 / 1e6, state })
        };
        query.fetch_all(&self.read).await?.iter().rev().map(change).collect()
    }

    /// All jobs that are not over, or have been over for a short time.
    pub async fn jobs(&self) -> Result<Vec<Job>> {
        // The parameter is of no use here: that of the other caller has one.
        let jobs = "NOT EXISTS (SELECT 1 FROM finished_jobs WHERE finished_jobs.job = jobs.id) AND $1 = ''";
        let hosts =
            "NOT EXISTS (SELECT 1 FROM finished_jobs WHERE finished_jobs.job = job_hosts.job) AND $1 = ''";
        self.load_jobs(jobs, hosts, "").await
    }

    async fn load_jobs(&self, which: &str, hosts_of: &str, id: &str) -> Result<Vec<Job>> {
        let mut hosts: HashMap<String, BTreeMap<String, Host>> = HashMap::new();
        let text = format!("SELECT job, splayd, data FROM job_hosts WHERE {hosts_of}");
        let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(id.to_owned());
        for row in query.fetch_all(&self.write).await? {
            let host = parsed("job_hosts", row.try_get(2)?)?;
            hosts.entry(row.try_get(0)?).or_default().insert(row.try_get(1)?, host);
        }
        let text =
            format!("SELECT spec, data FROM jobs JOIN job_states ON jobs.id = job_states.job WHERE {which}");
        let query = sqlx::query(sqlx::AssertSqlSafe(text)).bind(id.to_owned());
        let mut jobs = Vec::new();
        for row in query.fetch_all(&self.write).await? {
            let spec: JobSpec = parsed("jobs", row.try_get(0)?)?;
            let live: Live = parsed("job_states", row.try_get(1)?)?;
            let churn = spec.submission.churn.as_ref().map(|churn| schedule(churn, spec.seed)).transpose();
            let churn = churn.map_err(|error| StoreError::Record("jobs", error))?;
            let hosts = hosts.remove(&spec.id).unwrap_or_default();
            jobs.push(Job::new(spec, live, hosts, churn));
        }
        Ok(jobs)
    }

    /// Events of a job after a number.
    pub async fn events(&self, job: &str, after: u64, most: u32) -> Result<Vec<JobEvent>> {
        let text = "SELECT data FROM job_events WHERE job = $1 AND number > $2 ORDER BY number LIMIT $3";
        let query = sqlx::query(text).bind(job.to_owned()).bind(after as i64).bind(i64::from(most));
        let rows = query.fetch_all(&self.read).await?;
        rows.iter().map(|row| parsed("job_events", row.try_get(0)?)).collect()
    }

    /// Keeps files by their digests.
    pub async fn put_files(&self, files: Vec<(String, Vec<u8>)>) -> Result<()> {
        let mut transaction = self.write.begin().await?;
        for (sha256, data) in files {
            let text = "INSERT INTO files (sha256, data) VALUES ($1, $2) ON CONFLICT (sha256) DO NOTHING";
            sqlx::query(text).bind(sha256).bind(data).execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// A file.
    pub async fn file(&self, sha256: &str) -> Result<Option<Vec<u8>>> {
        let query = sqlx::query("SELECT data FROM files WHERE sha256 = $1").bind(sha256.to_owned());
        let row = query.fetch_optional(&self.read).await?;
        Ok(row.map(|row| row.try_get(0)).transpose()?)
    }

    /// A setting.
    pub async fn setting<T: DeserializeOwned>(&self, name: &str) -> Result<Option<T>> {
        let query = sqlx::query("SELECT value FROM settings WHERE name = $1").bind(name.to_owned());
        let row = query.fetch_optional(&self.read).await?;
        row.map(|row| parsed("settings", row.try_get(0)?)).transpose()
    }

    /// Keeps a setting.
    pub async fn set<T: Serialize>(&self, name: &str, value: &T) -> Result<()> {
        let mut connection = self.write.acquire().await?;
        upsert(&mut connection, "settings", &["name", "value"], 1, vec![vec![text(name), json(value)]]).await
    }

    /// Builds of native libraries.
    pub async fn native(&self) -> Result<Vec<NativeLib>> {
        let text = "SELECT name, os, architecture, sha256, bytes, added_us FROM native ORDER BY added_us";
        let rows = sqlx::query(text).fetch_all(&self.read).await?;
        let library = |row: &AnyRow| {
            Ok(NativeLib {
                name: row.try_get(0)?,
                os: row.try_get(1)?,
                architecture: row.try_get(2)?,
                sha256: row.try_get(3)?,
                bytes: row.try_get::<i64, _>(4)? as u64,
                added_at: row.try_get::<i64, _>(5)? as f64 / 1e6,
            })
        };
        rows.iter().map(library).collect()
    }

    /// Keeps what is known of a build; its bytes are a file.
    pub async fn add_native(&self, library: &NativeLib) -> Result<()> {
        let columns = ["sha256", "name", "os", "architecture", "bytes", "added_us"];
        let row = vec![
            text(&library.sha256),
            text(&library.name),
            text(&library.os),
            text(&library.architecture),
            number(library.bytes),
            number((library.added_at * 1e6) as u64),
        ];
        let mut connection = self.write.acquire().await?;
        upsert(&mut connection, "native", &columns, 1, vec![row]).await
    }

    /// Forgets a build; jobs that use it keep it.
    pub async fn remove_native(&self, sha256: &str) -> Result<bool> {
        let query = sqlx::query("DELETE FROM native WHERE sha256 = $1").bind(sha256.to_owned());
        Ok(query.execute(&self.write).await?.rows_affected() > 0)
    }
}

fn text(text: &str) -> Value {
    Value::Text(text.to_owned())
}

fn number(number: u64) -> Value {
    Value::Number(number as i64)
}

fn json<T: Serialize>(value: &T) -> Value {
    Value::Text(serde_json::to_string(value).expect("records have text keys only"))
}

fn parsed<T: DeserializeOwned>(table: &'static str, text: String) -> Result<T> {
    serde_json::from_str(&text).map_err(|error| StoreError::Record(table, error.to_string()))
}

/// A database's address without its password.
fn shown_url(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    match rest.rsplit_once('@') {
        Some((user, host)) => format!("{scheme}://{}:...@{host}", user.split(':').next().unwrap_or("")),
        None => url.to_owned(),
    }
}

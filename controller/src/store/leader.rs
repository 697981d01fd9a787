//! Which of several controllers on one database leads: the one that holds a lock of PostgreSQL.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sqlx::{AnyConnection, Connection as _, Row as _};

use super::{Result, Store, StoreError};

/// Key of the lock that a leading controller holds.
const LEADER: i64 = 7_305_804_386;

/// So often one that stands by looks whether it may lead, and one that leads whether it still does.
pub const LOOK: Duration = Duration::from_secs(1);

/// A database that does not answer for so long may have given the lock to another.
const SILENCE: Duration = Duration::from_secs(5);

/// Held while this controller leads. The lock is the connection's: when that is lost, another may
/// lead already.
#[derive(Debug)]
pub struct Leadership(AnyConnection);

impl Leadership {
    /// Comes back when it is lost.
    pub async fn lost(mut self) -> StoreError {
        loop {
            tokio::time::sleep(LOOK).await;
            let look = sqlx::query("SELECT 1").execute(&mut self.0);
            match tokio::time::timeout(SILENCE, look).await {
                Ok(Ok(_)) => {}
                Ok(Err(error)) => return StoreError::Statement(error),
                Err(_) => return StoreError::Silent(SILENCE.as_secs()),
            }
        }
    }
}

/// Whom those that do not lead turn to.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leader {
    /// Where the other controllers reach it.
    pub url: String,
    /// SHA-256 of its certificate, hexadecimal.
    pub fingerprint: String,
    /// What tells it that another controller asks, for somebody else.
    pub secret: String,
}

impl Store {
    /// Takes the lead, unless another controller has it.
    pub async fn try_lead(&self, url: &str) -> Result<Option<Leadership>> {
        let mut connection = AnyConnection::connect(url).await?;
        let query = sqlx::query("SELECT pg_try_advisory_lock($1)").bind(LEADER);
        let led: bool = query.fetch_one(&mut connection).await?.try_get(0)?;
        Ok(led.then_some(Leadership(connection)))
    }

    /// Whether several controllers may share this database.
    pub fn is_shared(&self) -> bool {
        self.postgres
    }

    /// Tells the others who leads.
    pub async fn set_leader(&self, leader: &Leader) -> Result<()> {
        self.set("leader", leader).await
    }

    /// Who leads, or was the last to.
    pub async fn leader(&self) -> Result<Option<Leader>> {
        self.setting("leader").await
    }
}

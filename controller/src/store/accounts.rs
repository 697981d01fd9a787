//! Users, tokens, join tokens, the audit log. Secrets are kept as digests.

use sha2::{Digest as _, Sha256};
use splay_protocol::api::{AuditEntry, JoinTokenInfo, Role, Token, User};
use sqlx::Row as _;
use sqlx::any::AnyRow;

use super::{Result, Store, StoreError, json, number, text, upsert};
use crate::state::{Micros, SplaydRecord};

/// A user with the hashed password.
#[derive(Debug, Clone)]
pub struct UserRow {
    /// What others see.
    pub user: User,
    /// Argon2's text form.
    pub password: String,
}

/// Kinds of tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum TokenKind {
    /// Made by a login, ended by a logout.
    Session,
    /// For programs.
    Api,
}

impl TokenKind {
    fn name(self) -> &'static str {
        match self {
            TokenKind::Session => "session",
            TokenKind::Api => "api",
        }
    }
}

/// Why a join token lets nobody in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum JoinFault {
    /// No such token, or another secret.
    #[error("the join token is not known here")]
    Unknown,
    /// As many have enrolled as may.
    #[error("the join token is used up")]
    UsedUp,
    /// Its time is over.
    #[error("the join token has expired")]
    Expired,
    /// An administrator took it back.
    #[error("the join token was revoked")]
    Revoked,
}

/// The digest under which a random secret is kept. Secrets have 256 random bits: no salt is needed.
pub fn hash_secret(secret: &str) -> String {
    hex::encode(Sha256::digest(secret.as_bytes()))
}

fn role(text: &str) -> Result<Role> {
    serde_json::from_value(text.into()).map_err(|error| StoreError::Record("users", error.to_string()))
}

fn role_name(role: Role) -> String {
    match role {
        Role::Admin => "admin",
        Role::User => "user",
        Role::ReadOnly => "read-only",
    }
    .to_owned()
}

fn seconds(row: &AnyRow, column: usize) -> Result<f64> {
    Ok(row.try_get::<i64, _>(column)? as f64 / 1e6)
}

fn user(row: &AnyRow) -> Result<UserRow> {
    let role = role(&row.try_get::<String, _>(1)?)?;
    let user = User { name: row.try_get(0)?, role, created_at: seconds(row, 3)? };
    Ok(UserRow { user, password: row.try_get(2)? })
}

fn token(row: &AnyRow) -> Result<Token> {
    Ok(Token {
        id: row.try_get(0)?,
        name: row.try_get(1)?,
        user: row.try_get(2)?,
        created_at: seconds(row, 3)?,
        expires_at: seconds(row, 4)?,
    })
}

impl Store {
    /// A user.
    pub async fn user(&self, name: &str) -> Result<Option<UserRow>> {
        let query = sqlx::query("SELECT name, role, password, created_us FROM users WHERE name = $1")
            .bind(name.to_owned());
        query.fetch_optional(&self.read).await?.map(|row| user(&row)).transpose()
    }

    /// All users.
    pub async fn users(&self) -> Result<Vec<UserRow>> {
        let text = "SELECT name, role, password, created_us FROM users ORDER BY created_us, name";
        sqlx::query(text).fetch_all(&self.read).await?.iter().map(user).collect()
    }

    /// Adds a user; `false`: the name is taken.
    pub async fn add_user(&self, row: &UserRow) -> Result<bool> {
        let text = "INSERT INTO users (name, role, password, created_us) VALUES ($1, $2, $3, $4) ON CONFLICT (name) DO NOTHING";
        let query = sqlx::query(text)
            .bind(row.user.name.clone())
            .bind(role_name(row.user.role))
            .bind(row.password.clone())
            .bind((row.user.created_at * 1e6) as i64);
        Ok(query.execute(&self.write).await?.rows_affected() > 0)
    }

    /// Changes a user. With a new password all tokens of the user end.
    pub async fn change_user(&self, name: &str, role: Option<Role>, password: Option<String>) -> Result<()> {
        let mut transaction = self.write.begin().await?;
        if let Some(role) = role {
            let query = sqlx::query("UPDATE users SET role = $1 WHERE name = $2");
            query.bind(role_name(role)).bind(name.to_owned()).execute(&mut *transaction).await?;
        }
        if let Some(password) = password {
            let query = sqlx::query("UPDATE users SET password = $1 WHERE name = $2");
            query.bind(password).bind(name.to_owned()).execute(&mut *transaction).await?;
            let query = sqlx::query("DELETE FROM tokens WHERE user_name = $1");
            query.bind(name.to_owned()).execute(&mut *transaction).await?;
        }
        Ok(transaction.commit().await?)
    }

    /// Removes a user with all tokens.
    pub async fn remove_user(&self, name: &str) -> Result<bool> {
        let mut transaction = self.write.begin().await?;
        let query = sqlx::query("DELETE FROM tokens WHERE user_name = $1").bind(name.to_owned());
        query.execute(&mut *transaction).await?;
        let query = sqlx::query("DELETE FROM users WHERE name = $1").bind(name.to_owned());
        let found = query.execute(&mut *transaction).await?.rows_affected() > 0;
        transaction.commit().await?;
        Ok(found)
    }

    /// Keeps a token by the digest of its secret.
    pub async fn add_token(&self, kind: TokenKind, about: &Token, hash: &str) -> Result<()> {
        let text = "INSERT INTO tokens (id, hash, user_name, kind, name, created_us, expires_us) VALUES ($1, $2, $3, $4, $5, $6, $7)";
        let query = sqlx::query(text)
            .bind(about.id.clone())
            .bind(hash.to_owned())
            .bind(about.user.clone())
            .bind(kind.name().to_owned())
            .bind(about.name.clone())
            .bind((about.created_at * 1e6) as i64)
            .bind((about.expires_at * 1e6) as i64);
        query.execute(&self.write).await?;
        Ok(())
    }

    /// Whose token this is, if it is good now, with the token's identifier.
    pub async fn token_user(&self, hash: &str, now: Micros) -> Result<Option<(User, String)>> {
        let text = "SELECT users.name, users.role, users.password, users.created_us, tokens.id FROM tokens \
                    JOIN users ON users.name = tokens.user_name WHERE tokens.hash = $1 AND tokens.expires_us > $2";
        let query = sqlx::query(text).bind(hash.to_owned()).bind(now as i64);
        let row = query.fetch_optional(&self.read).await?;
        row.map(|row| Ok((user(&row)?.user, row.try_get(4)?))).transpose()
    }

    /// API tokens, of one user or of all.
    pub async fn tokens(&self, user: Option<&str>) -> Result<Vec<Token>> {
        let text = "SELECT id, name, user_name, created_us, expires_us FROM tokens \
                    WHERE kind = 'api' AND (user_name = $1 OR $1 = '') ORDER BY created_us, id";
        let query = sqlx::query(text).bind(user.unwrap_or("").to_owned());
        query.fetch_all(&self.read).await?.iter().map(token).collect()
    }

    /// Ends a token.
    pub async fn remove_token(&self, id: &str) -> Result<bool> {
        let query = sqlx::query("DELETE FROM tokens WHERE id = $1").bind(id.to_owned());
        Ok(query.execute(&self.write).await?.rows_affected() > 0)
    }

    /// Forgets tokens whose time is over.
    pub async fn sweep_tokens(&self, now: Micros) -> Result<()> {
        sqlx::query("DELETE FROM tokens WHERE expires_us <= $1")
            .bind(now as i64)
            .execute(&self.write)
            .await?;
        Ok(())
    }

    /// Keeps a join token by the digest of its secret.
    pub async fn add_join_token(&self, about: &JoinTokenInfo, hash: &str) -> Result<()> {
        let text = "INSERT INTO join_tokens (id, hash, uses, used, created_us, expires_us, revoked) VALUES ($1, $2, $3, 0, $4, $5, 0)";
        let query = sqlx::query(text)
            .bind(about.id.clone())
            .bind(hash.to_owned())
            .bind(i64::from(about.uses))
            .bind((about.created_at * 1e6) as i64)
            .bind((about.expires_at * 1e6) as i64);
        query.execute(&self.write).await?;
        Ok(())
    }

    /// All join tokens.
    pub async fn join_tokens(&self) -> Result<Vec<JoinTokenInfo>> {
        let text =
            "SELECT id, uses, used, created_us, expires_us, revoked FROM join_tokens ORDER BY created_us, id";
        let rows = sqlx::query(text).fetch_all(&self.read).await?;
        let about = |row: &AnyRow| {
            Ok(JoinTokenInfo {
                id: row.try_get(0)?,
                uses: row.try_get::<i64, _>(1)? as u32,
                used: row.try_get::<i64, _>(2)? as u32,
                created_at: seconds(row, 3)?,
                expires_at: seconds(row, 4)?,
                revoked: row.try_get::<i64, _>(5)? != 0,
            })
        };
        rows.iter().map(about).collect()
    }

    /// Takes a join token back.
    pub async fn revoke_join_token(&self, id: &str) -> Result<bool> {
        let query = sqlx::query("UPDATE join_tokens SET revoked = 1 WHERE id = $1").bind(id.to_owned());
        Ok(query.execute(&self.write).await?.rows_affected() > 0)
    }

    /// Lets a splayd in: uses the token once and keeps the splayd, both or neither.
    pub async fn enrol(
        &self,
        id: &str,
        secret: &str,
        record: &SplaydRecord,
        now: Micros,
    ) -> Result<std::result::Result<(), JoinFault>> {
        let mut transaction = self.write.begin().await?;
        let used = "UPDATE join_tokens SET used = used + 1 \
                    WHERE id = $1 AND hash = $2 AND revoked = 0 AND expires_us > $3 AND used < uses";
        let hash = hash_secret(secret);
        let query = sqlx::query(used).bind(id.to_owned()).bind(hash.clone()).bind(now as i64);
        if query.execute(&mut *transaction).await?.rows_affected() == 0 {
            let query =
                sqlx::query("SELECT revoked, expires_us FROM join_tokens WHERE id = $1 AND hash = $2");
            let row = query.bind(id.to_owned()).bind(hash).fetch_optional(&mut *transaction).await?;
            let Some(row) = row else { return Ok(Err(JoinFault::Unknown)) };
            let (revoked, expires): (i64, i64) = (row.try_get(0)?, row.try_get(1)?);
            return Ok(Err(match (revoked != 0, expires <= now as i64) {
                (true, _) => JoinFault::Revoked,
                (_, true) => JoinFault::Expired,
                _ => JoinFault::UsedUp,
            }));
        }
        let row = vec![text(&record.id), text(&record.key), json(record)];
        upsert(&mut transaction, "splayds", &["id", "public_key", "data"], 1, vec![row]).await?;
        transaction.commit().await?;
        Ok(Ok(()))
    }

    /// Adds to the audit log.
    pub async fn audit(&self, id: &str, entry: &AuditEntry) -> Result<()> {
        let row = vec![
            text(id),
            number((entry.at * 1e6) as u64),
            text(&entry.user),
            text(&entry.address),
            text(&entry.action),
            text(&entry.target),
            text(&entry.detail),
        ];
        let columns = ["id", "at_us", "user_name", "address", "action", "target", "detail"];
        let mut connection = self.write.acquire().await?;
        upsert(&mut connection, "audit", &columns, 1, vec![row]).await
    }

    /// The last entries of the audit log, the latest last.
    pub async fn audit_entries(&self, most: u32) -> Result<Vec<AuditEntry>> {
        let text = "SELECT at_us, user_name, address, action, target, detail FROM audit ORDER BY at_us DESC, id DESC LIMIT $1";
        let rows = sqlx::query(text).bind(i64::from(most)).fetch_all(&self.read).await?;
        let entry = |row: &AnyRow| {
            Ok(AuditEntry {
                at: seconds(row, 0)?,
                user: row.try_get(1)?,
                address: row.try_get(2)?,
                action: row.try_get(3)?,
                target: row.try_get(4)?,
                detail: row.try_get(5)?,
            })
        };
        rows.iter().rev().map(entry).collect()
    }
}

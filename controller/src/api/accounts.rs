//! Users, their sessions and tokens, join tokens, the audit log.

use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::{Extension, Json};
use serde::Deserialize;
use splay_protocol::JoinToken;
use splay_protocol::api::{
    AuditEntry, ChangeUser, CreatedJoinToken, CreatedToken, ErrorCode, JoinTokenInfo, LoggedIn, Login,
    NewJoinToken, NewToken, NewUser, Role, Token, User,
};

use super::{Answer, ApiError, App, Caller, In, Params};
use crate::front::Peer;
use crate::hub::now_us;
use crate::secrets::{hash_password, random_id, random_secret, verify_password};
use crate::store::{Store, StoreError, TokenKind, UserRow, hash_secret};

/// A login is good for so long.
const SESSION_SECONDS: f64 = 12.0 * 3600.0;

/// The longest time an API or join token is good for.
const YEAR: f64 = 366.0 * 86400.0;

/// Failed logins before one has to wait: of a user, and from an address, where many may be behind.
const USER_FAILURES: u32 = 5;
const ADDRESS_FAILURES: u32 = 20;

/// The wait doubles with every further failure, up to this.
const LONGEST_WAIT: u64 = 300;

/// Failures are forgotten after this.
const FORGET: Duration = Duration::from_secs(900);

fn now() -> f64 {
    now_us() as f64 / 1e6
}

impl App {
    /// Seconds to wait before the next try.
    fn must_wait(&self, key: &str, most: u32) -> u64 {
        let failures = self.failures.lock().expect("nothing panics while it is held");
        let Some((count, last)) = failures.get(key).filter(|(count, _)| *count >= most) else { return 0 };
        let wait = 1u64.checked_shl(count - most).unwrap_or(LONGEST_WAIT).min(LONGEST_WAIT);
        wait.saturating_sub(last.elapsed().as_secs())
    }

    fn failed(&self, keys: [&str; 2]) {
        let mut failures = self.failures.lock().expect("nothing panics while it is held");
        failures.retain(|_, (_, last)| last.elapsed() < FORGET);
        for key in keys {
            let entry = failures.entry(key.to_owned()).or_insert((0, Instant::now()));
            *entry = (entry.0 + 1, Instant::now());
        }
    }

    async fn verify(&self, password: String, hash: Option<String>) -> bool {
        let _permit = self.hashing.acquire().await;
        let check = move || verify_password(&password, hash.as_deref());
        tokio::task::spawn_blocking(check).await.unwrap_or(false)
    }

    async fn hash(&self, password: String) -> Answer<String> {
        let _permit = self.hashing.acquire().await;
        let hashed = tokio::task::spawn_blocking(move || hash_password(&password)).await;
        hashed.map_err(|_| ApiError::new(ErrorCode::Internal, "the password could not be hashed"))
    }
}

pub async fn login(
    State(app): State<Arc<App>>,
    Extension(Peer(peer)): Extension<Peer>,
    In(login): In<Login>,
) -> Answer<Json<LoggedIn>> {
    if login.user.len() > 64 {
        return Err(ApiError::new(ErrorCode::BadRequest, "user: at most 64 characters"));
    }
    let address = peer.to_string();
    let keys = [format!("user {}", login.user), format!("address {address}")];
    let wait = app.must_wait(&keys[0], USER_FAILURES).max(app.must_wait(&keys[1], ADDRESS_FAILURES));
    if wait > 0 {
        return Err(ApiError::new(
            ErrorCode::TooMany,
            format!("too many failed logins: try again in {wait} s"),
        ));
    }
    let row = app.store.user(&login.user).await?;
    if !app.verify(login.password, row.as_ref().map(|row| row.password.clone())).await {
        app.failed([&keys[0], &keys[1]]);
        app.audit_as("", &address, "login", &login.user, "refused").await?;
        return Err(ApiError::new(ErrorCode::Unauthorized, "user or password is wrong"));
    }
    let user = row.expect("verified against its hash").user;
    app.failures.lock().expect("nothing panics while it is held").remove(&keys[0]);
    let secret = random_secret();
    let about = Token {
        id: random_id("t"),
        name: "login".to_owned(),
        user: user.name.clone(),
        created_at: now(),
        expires_at: now() + SESSION_SECONDS,
    };
    app.store.add_token(TokenKind::Session, &about, &hash_secret(&secret)).await?;
    app.audit_as(&user.name, &address, "login", &user.name, "").await?;
    Ok(Json(LoggedIn { token: secret, expires_at: about.expires_at, user }))
}

pub async fn logout(State(app): State<Arc<App>>, caller: Caller) -> Answer<StatusCode> {
    app.store.remove_token(&caller.token).await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn me(caller: Caller) -> Json<User> {
    Json(caller.user)
}

pub async fn users(State(app): State<Arc<App>>, caller: Caller) -> Answer<Json<Vec<User>>> {
    caller.admin()?;
    Ok(Json(app.store.users().await?.into_iter().map(|row| row.user).collect()))
}

/// Whether a name may be a user's.
pub fn check_name(name: &str) -> Result<(), String> {
    let good = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match (1..=64).contains(&name.len()) && name.bytes().all(good) {
        true => Ok(()),
        false => Err("name: 1 to 64 letters, digits, `.`, `_` or `-` are allowed".to_owned()),
    }
}

/// Whether a password is long enough, and not endless.
pub fn check_password(password: &str) -> Result<(), String> {
    match (8..=1024).contains(&password.chars().count()) {
        true => Ok(()),
        false => Err("password: at least 8 characters are needed, and at most 1024 taken".to_owned()),
    }
}

pub async fn add_user(
    State(app): State<Arc<App>>,
    caller: Caller,
    In(new): In<NewUser>,
) -> Answer<(StatusCode, Json<User>)> {
    caller.admin()?;
    check_name(&new.name).map_err(ApiError::bad)?;
    check_password(&new.password).map_err(ApiError::bad)?;
    let user = User { name: new.name, role: new.role, created_at: now() };
    let password = app.hash(new.password).await?;
    if !app.store.add_user(&UserRow { user: user.clone(), password }).await? {
        return Err(ApiError::new(ErrorCode::Conflict, format!("there is a user `{}` already", user.name)));
    }
    app.audit(&caller, "user.add", &user.name, "").await?;
    Ok((StatusCode::CREATED, Json(user)))
}

pub async fn change_user(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
    In(change): In<ChangeUser>,
) -> Answer<Json<User>> {
    let own = caller.user.name == name;
    if !own || change.role.is_some() {
        caller.admin()?;
    }
    let row = app.store.user(&name).await?.ok_or_else(|| ApiError::missing("user", &name))?;
    if change.role.is_some_and(|role| role != Role::Admin) {
        keep_an_admin(&app.store, &name).await?;
    }
    let password = match change.password {
        Some(password) => {
            check_password(&password).map_err(ApiError::bad)?;
            if own && !app.verify(change.old_password.unwrap_or_default(), Some(row.password)).await {
                return Err(ApiError::new(ErrorCode::Forbidden, "old_password is wrong"));
            }
            Some(app.hash(password).await?)
        }
        None => None,
    };
    app.store.change_user(&name, change.role, password).await?;
    app.audit(&caller, "user.change", &name, "").await?;
    let row = app.store.user(&name).await?.ok_or_else(|| ApiError::missing("user", &name))?;
    Ok(Json(row.user))
}

/// The last administrator stays one.
async fn keep_an_admin(store: &Store, name: &str) -> Answer<()> {
    let users = store.users().await?;
    match users.iter().any(|row| row.user.role == Role::Admin && row.user.name != name) {
        true => Ok(()),
        false => Err(ApiError::new(ErrorCode::Conflict, format!("`{name}` is the only admin"))),
    }
}

pub async fn remove_user(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(name): Path<String>,
) -> Answer<StatusCode> {
    caller.admin()?;
    let row = app.store.user(&name).await?.ok_or_else(|| ApiError::missing("user", &name))?;
    if row.user.role == Role::Admin {
        keep_an_admin(&app.store, &name).await?;
    }
    app.store.remove_user(&name).await?;
    app.audit(&caller, "user.remove", &name, "").await?;
    Ok(StatusCode::NO_CONTENT)
}

pub async fn tokens(State(app): State<Arc<App>>, caller: Caller) -> Answer<Json<Vec<Token>>> {
    let own = (caller.user.role != Role::Admin).then_some(caller.user.name.as_str());
    Ok(Json(app.store.tokens(own).await?))
}

fn check_expiry(seconds: f64) -> Result<(), String> {
    match (1.0..=YEAR).contains(&seconds) {
        true => Ok(()),
        false => Err(format!("expires_in: {seconds} is not from 1 s to a year")),
    }
}

pub async fn add_token(
    State(app): State<Arc<App>>,
    caller: Caller,
    In(new): In<NewToken>,
) -> Answer<(StatusCode, Json<CreatedToken>)> {
    check_expiry(new.expires_in).map_err(ApiError::bad)?;
    if new.name.is_empty() || new.name.chars().count() > 200 {
        return Err(ApiError::bad("name: 1 to 200 characters are needed"));
    }
    let secret = random_secret();
    let about = Token {
        id: random_id("t"),
        name: new.name,
        user: caller.user.name.clone(),
        created_at: now(),
        expires_at: now() + new.expires_in,
    };
    app.store.add_token(TokenKind::Api, &about, &hash_secret(&secret)).await?;
    app.audit(&caller, "token.add", &about.id, &about.name).await?;
    Ok((StatusCode::CREATED, Json(CreatedToken { token: secret, about })))
}

pub async fn remove_token(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    let own = (caller.user.role != Role::Admin).then_some(caller.user.name.as_str());
    // Somebody else's is as good as none.
    if !app.store.tokens(own).await?.iter().any(|token| token.id == id) {
        return Err(ApiError::missing("token", &id));
    }
    app.store.remove_token(&id).await?;
    app.audit(&caller, "token.remove", &id, "").await?;
    Ok(StatusCode::NO_CONTENT)
}

/// Makes a join token. `fingerprint` is the certificate's; empty: by the system's roots.
pub async fn make_join_token(
    store: &Store,
    new: &NewJoinToken,
    url: &str,
    fingerprint: &str,
) -> Result<CreatedJoinToken, StoreError> {
    let secret = random_secret();
    let about = JoinTokenInfo {
        id: random_id("k"),
        uses: new.uses,
        used: 0,
        created_at: now(),
        expires_at: now() + new.expires_in,
        revoked: false,
    };
    store.add_join_token(&about, &hash_secret(&secret)).await?;
    let join = JoinToken {
        url: url.to_owned(),
        token: about.id.clone(),
        secret,
        fingerprint: fingerprint.to_owned(),
    };
    Ok(CreatedJoinToken { join: join.to_string(), about })
}

/// Whether a join token may be made so.
pub fn check_join_token(new: &NewJoinToken) -> Result<(), String> {
    check_expiry(new.expires_in)?;
    if !(1..=1_000_000).contains(&new.uses) {
        return Err(format!("uses: {} is not from 1 to 1000000", new.uses));
    }
    match &new.url {
        Some(url) if !splay_protocol::join::is_controller_url(url) => {
            Err(format!("url: `{url}` is not of the form https://host:port"))
        }
        _ => Ok(()),
    }
}

pub async fn add_join_token(
    State(app): State<Arc<App>>,
    caller: Caller,
    In(new): In<NewJoinToken>,
) -> Answer<(StatusCode, Json<CreatedJoinToken>)> {
    caller.admin()?;
    check_join_token(&new).map_err(ApiError::bad)?;
    let url = new.url.clone().unwrap_or_else(|| app.limits.url.clone());
    let made = make_join_token(&app.store, &new, &url, &app.limits.fingerprint).await?;
    app.audit(&caller, "join-token.add", &made.about.id, &format!("{} uses", new.uses)).await?;
    Ok((StatusCode::CREATED, Json(made)))
}

pub async fn join_tokens(State(app): State<Arc<App>>, caller: Caller) -> Answer<Json<Vec<JoinTokenInfo>>> {
    caller.admin()?;
    Ok(Json(app.store.join_tokens().await?))
}

pub async fn revoke_join_token(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer<StatusCode> {
    caller.admin()?;
    if !app.store.revoke_join_token(&id).await? {
        return Err(ApiError::missing("join token", &id));
    }
    app.audit(&caller, "join-token.revoke", &id, "").await?;
    Ok(StatusCode::NO_CONTENT)
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AuditParams {
    #[serde(default = "default_limit")]
    limit: u32,
}

fn default_limit() -> u32 {
    1000
}

pub async fn audit(
    State(app): State<Arc<App>>,
    caller: Caller,
    Params(params): Params<AuditParams>,
) -> Answer<Json<Vec<AuditEntry>>> {
    caller.admin()?;
    if params.limit > 100_000 {
        return Err(ApiError::bad("query: limit: at most 100000 entries are given"));
    }
    Ok(Json(app.store.audit_entries(params.limit).await?))
}

//! Splayds, the blacklist, native libraries.

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use splay_protocol::api::{Blacklist, ChangeSplayd, NativeLib, NewNativeLib, Splayd, SplaydChange};
use splay_protocol::session::Settings;

use super::{Answer, ApiError, App, Caller, In};
use crate::hub::now_us;
use crate::state::Event;

pub async fn list(State(app): State<Arc<App>>, _caller: Caller) -> Answer<Json<Vec<Splayd>>> {
    let look = |state: &crate::state::State| {
        let mut all: Vec<Splayd> = state.splayds().values().map(|splayd| state.splayd_view(splayd)).collect();
        all.sort_by(|a, b| a.enrolled_at.total_cmp(&b.enrolled_at).then_with(|| a.id.cmp(&b.id)));
        all
    };
    Ok(Json(app.hub.ask(look).await?))
}

async fn view(app: &App, id: &str) -> Answer<Json<Splayd>> {
    let wanted = id.to_owned();
    let look = move |state: &crate::state::State| {
        state.splayds().get(&wanted).map(|splayd| state.splayd_view(splayd))
    };
    let found = app.hub.ask(look).await?;
    found.map(Json).ok_or_else(|| ApiError::missing("splayd", id))
}

pub async fn one(
    State(app): State<Arc<App>>,
    _caller: Caller,
    Path(id): Path<String>,
) -> Answer<Json<Splayd>> {
    view(&app, &id).await
}

/// Times told of a splayd.
const MOST_CHANGES: u32 = 10_000;

pub async fn availability(
    State(app): State<Arc<App>>,
    _caller: Caller,
    Path(id): Path<String>,
) -> Answer<Json<Vec<SplaydChange>>> {
    // There is such a splayd.
    let _ = view(&app, &id).await?;
    Ok(Json(app.store.availability(&id, MOST_CHANGES).await?))
}

pub async fn change(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
    In(change): In<ChangeSplayd>,
) -> Answer<Json<Splayd>> {
    caller.admin()?;
    let fits = |(name, value): (&String, &String)| {
        !name.is_empty() && name.len() <= 100 && value.len() <= 1000 && !name.contains('=')
    };
    if change.labels.len() > 100 || !change.labels.iter().all(fits) {
        return Err(ApiError::bad("labels: at most 100, with names of 1 to 100 characters without `=`"));
    }
    app.hub.apply(Event::Label(id.clone(), change.labels)).await??;
    app.audit(&caller, "splayd.label", &id, "").await?;
    view(&app, &id).await
}

pub async fn revoke(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer<Json<Splayd>> {
    caller.admin()?;
    app.hub.apply(Event::Revoke(id.clone())).await??;
    app.audit(&caller, "splayd.revoke", &id, "").await?;
    view(&app, &id).await
}

pub async fn blacklist(State(app): State<Arc<App>>, _caller: Caller) -> Answer<Json<Blacklist>> {
    Ok(Json(app.store.setting("blacklist").await?.unwrap_or_default()))
}

pub async fn set_blacklist(
    State(app): State<Arc<App>>,
    caller: Caller,
    In(list): In<Blacklist>,
) -> Answer<Json<Blacklist>> {
    caller.admin()?;
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b".:*_-".contains(&byte);
    let good = |host: &String| (1..=255).contains(&host.len()) && host.bytes().all(plain);
    if list.hosts.len() > 10_000 || !list.hosts.iter().all(good) {
        return Err(ApiError::bad("hosts: at most 10000, of 1 to 255 letters, digits and `.:*_-`"));
    }
    app.store.set("blacklist", &list).await?;
    let settings = Settings { blacklist: list.hosts.clone(), ..app.limits.settings.clone() };
    app.hub.set_settings(settings).await?;
    app.audit(&caller, "blacklist.set", "", &format!("{} hosts", list.hosts.len())).await?;
    Ok(Json(list))
}

pub async fn native(State(app): State<Arc<App>>, _caller: Caller) -> Answer<Json<Vec<NativeLib>>> {
    Ok(Json(app.store.native().await?))
}

pub async fn add_native(
    State(app): State<Arc<App>>,
    caller: Caller,
    In(new): In<NewNativeLib>,
) -> Answer<(StatusCode, Json<NativeLib>)> {
    caller.admin()?;
    let word = |text: &str| {
        !text.is_empty()
            && text.len() <= 64
            && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b))
    };
    for (field, text) in [("name", &new.name), ("os", &new.os), ("architecture", &new.architecture)] {
        if !word(text) || text.starts_with('.') {
            return Err(ApiError::bad(format!(
                "{field}: 1 to 64 letters, digits, `.`, `_` or `-` are needed"
            )));
        }
    }
    let data = STANDARD.decode(&new.base64).map_err(|error| ApiError::bad(format!("base64: {error}")))?;
    let library = NativeLib {
        name: new.name,
        os: new.os,
        architecture: new.architecture,
        sha256: hex::encode(Sha256::digest(&data)),
        bytes: data.len() as u64,
        added_at: now_us() as f64 / 1e6,
    };
    app.store.put_files(vec![(library.sha256.clone(), data)]).await?;
    app.store.add_native(&library).await?;
    app.audit(&caller, "native.add", &library.sha256, &library.name).await?;
    Ok((StatusCode::CREATED, Json(library)))
}

pub async fn remove_native(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(sha256): Path<String>,
) -> Answer<StatusCode> {
    caller.admin()?;
    if !app.store.remove_native(&sha256).await? {
        return Err(ApiError::missing("native library", &sha256));
    }
    app.audit(&caller, "native.remove", &sha256, "").await?;
    Ok(StatusCode::NO_CONTENT)
}

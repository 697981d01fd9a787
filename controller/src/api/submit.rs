//! Submitting jobs: everything a user asks for is checked here.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::extract::{FromRequest as _, Multipart, Path, Request, State};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use splay_protocol::Submission;
use splay_protocol::api::{ErrorCode, FileInfo, Submit, Submitted};
use splay_protocol::churn::Schedule;
use splay_protocol::submission::TOPOLOGY_FILE;
use splay_protocol::topology::Topology;

use super::{Answer, ApiError, App, Caller, In};
use crate::hub::{now_us, safe_path};
use crate::secrets::random_id;
use crate::state::{Event, JobSpec, NativeBuild, schedule};

/// Most instances of a job.
const MAX_INSTANCES: u32 = 100_000;

/// A churn script has to be carried out within this.
const EXPANSION: Duration = Duration::from_secs(20);

/// Most files of a job.
const MAX_FILES: usize = 10_000;

pub async fn submit(
    State(app): State<Arc<App>>,
    caller: Caller,
    request: Request,
) -> Answer<(StatusCode, Json<Submitted>)> {
    caller.writer()?;
    let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
    let (submit, mut files) = match kind.starts_with("multipart/form-data") {
        true => {
            let form = Multipart::from_request(request, &()).await;
            read_form(form.map_err(|error| ApiError::bad(format!("body: {}", error.body_text())))?).await?
        }
        false => {
            let In(mut submit) = In::<Submit>::from_request(request, &()).await?;
            let mut files = Vec::new();
            for file in std::mem::take(&mut submit.files) {
                let data = STANDARD.decode(&file.base64);
                let data =
                    data.map_err(|error| ApiError::bad(format!("files: `{}`: base64: {error}", file.path)))?;
                files.push((file.path, data));
            }
            (submit, files)
        }
    };
    if let Some(text) = &submit.submission.topology {
        files.push((TOPOLOGY_FILE.to_owned(), text.clone().into_bytes()));
    }
    let spec = check(&app, &caller, submit, &files).await?;
    let digests = spec.files.iter().map(|file| file.sha256.clone());
    let kept = digests.zip(files).map(|(sha256, (_, data))| (sha256, data)).collect();
    app.store.put_files(kept).await?;
    accept(&app, &caller, spec, "job.submit").await
}

async fn accept(
    app: &App,
    caller: &Caller,
    spec: JobSpec,
    action: &str,
) -> Answer<(StatusCode, Json<Submitted>)> {
    let (id, seed) = (spec.id.clone(), spec.seed.to_string());
    let detail = format!("{} x {}", spec.submission.instances, spec.submission.name);
    let churn = carried_out(&spec).await?;
    app.hub.apply(Event::Submit(Box::new(spec), churn)).await??;
    app.audit(caller, action, &id, &detail).await?;
    Ok((StatusCode::CREATED, Json(Submitted { id, seed })))
}

/// What the churn of a job means. That may take a while, in which nobody else has to wait.
async fn carried_out(spec: &JobSpec) -> Answer<Option<Schedule>> {
    let Some(text) = spec.submission.churn.clone() else { return Ok(None) };
    let seed = spec.seed;
    let expanding = tokio::task::spawn_blocking(move || schedule(&text, seed));
    let expanded = tokio::time::timeout(EXPANSION, expanding).await;
    let took =
        |_| ApiError::bad(format!("churn: takes more than {} s to be carried out", EXPANSION.as_secs()));
    let failed = |_| ApiError::new(ErrorCode::Internal, "churn: could not be carried out");
    let churn = expanded.map_err(took)?.map_err(failed)?.map_err(ApiError::bad)?;
    match churn.nodes() {
        nodes if nodes > MAX_INSTANCES => {
            Err(ApiError::bad(format!("churn: needs {nodes} instances; {MAX_INSTANCES} are allowed")))
        }
        _ => Ok(Some(churn)),
    }
}

/// The same job again: a new identifier, and a new seed unless it asked for one.
pub async fn resubmit(
    State(app): State<Arc<App>>,
    caller: Caller,
    Path(id): Path<String>,
) -> Answer<(StatusCode, Json<Submitted>)> {
    caller.writer()?;
    let mut spec = super::jobs::spec(&app, &caller, &id).await?;
    spec.id = random_id("j");
    spec.owner = caller.user.name.clone();
    spec.submitted_us = now_us();
    spec.seed = spec.submission.seed.unwrap_or_else(random_seed);
    // A time that is over means now.
    spec.submission.scheduled_at =
        spec.submission.scheduled_at.filter(|at| *at * 1e6 > spec.submitted_us as f64);
    accept(&app, &caller, spec, "job.resubmit").await
}

async fn read_form(mut form: Multipart) -> Answer<(Submit, Vec<(String, Vec<u8>)>)> {
    let wrong = |error: axum::extract::multipart::MultipartError| {
        ApiError::bad(format!("body: {}", error.body_text()))
    };
    let (mut submit, mut files) = (None, Vec::new());
    while let Some(field) = form.next_field().await.map_err(wrong)? {
        match field.name() {
            Some("job") => {
                let bytes = field.bytes().await.map_err(wrong)?;
                let job: Submit =
                    super::error::parsed(&bytes).map_err(|error| ApiError::bad(format!("job: {error}")))?;
                if !job.files.is_empty() {
                    return Err(ApiError::bad("job: in a form, files are parts named `file`"));
                }
                submit = Some(job);
            }
            Some("file") => {
                let path = field.file_name().map(str::to_owned);
                let path = path.ok_or_else(|| ApiError::bad("file: a part lacks its file name"))?;
                files.push((path, field.bytes().await.map_err(wrong)?.to_vec()));
            }
            name => {
                return Err(ApiError::bad(format!(
                    "body: a part is named `{}`, not `job` or `file`",
                    name.unwrap_or("")
                )));
            }
        }
    }
    Ok((submit.ok_or_else(|| ApiError::bad("body: there is no part `job`"))?, files))
}

/// A seed whose digits every JSON reader keeps.
fn random_seed() -> u64 {
    rand::random::<u64>() >> 11
}

async fn check(app: &App, caller: &Caller, submit: Submit, files: &[(String, Vec<u8>)]) -> Answer<JobSpec> {
    let mut submission = submit.submission;
    check_submission(&submission).map_err(ApiError::bad)?;
    let total: usize = files.iter().map(|(_, data)| data.len()).sum();
    if files.len() > MAX_FILES || total > app.limits.upload_bytes {
        return Err(ApiError::new(
            ErrorCode::TooLarge,
            format!(
                "files: {} of {total} bytes; {MAX_FILES} of {} bytes are taken",
                files.len(),
                app.limits.upload_bytes
            ),
        ));
    }
    let mut seen = BTreeSet::new();
    for (path, _) in files {
        if !safe_path(path) {
            return Err(ApiError::bad(format!(
                "files: `{path}` is not a relative path within the job's folder"
            )));
        }
        if !seen.insert(path) {
            return Err(ApiError::bad(format!("files: `{path}` comes twice")));
        }
    }
    if !seen.contains(&submit.app) {
        return Err(ApiError::bad(format!("app: `{}` is not among the files", submit.app)));
    }
    if submission.name.is_empty() {
        let file = submit.app.rsplit('/').next().unwrap_or("");
        submission.name = file.strip_suffix(".lua").unwrap_or(file).to_owned();
    }
    let known = app.store.native().await?;
    let mut native = Vec::new();
    for name in &submit.native {
        let builds: Vec<_> = known.iter().filter(|build| build.name == *name).collect();
        if builds.is_empty() {
            return Err(ApiError::bad(format!("native: there is no library `{name}`")));
        }
        native.extend(builds.into_iter().map(|build| NativeBuild {
            name: build.name.clone(),
            os: build.os.clone(),
            architecture: build.architecture.clone(),
            sha256: build.sha256.clone(),
            bytes: build.bytes,
        }));
    }
    let earlier = match &submission.same_nodes_as {
        Some(id) => {
            // Of a job that one may see.
            super::jobs::spec(app, caller, id).await?;
            super::jobs::look(app, id, |_, job| job.who_hosts()).await?.unwrap_or_default()
        }
        None => Vec::new(),
    };
    let info = |(path, data): &(String, Vec<u8>)| FileInfo {
        path: path.clone(),
        bytes: data.len() as u64,
        sha256: hex::encode(Sha256::digest(data)),
    };
    Ok(JobSpec {
        id: random_id("j"),
        owner: caller.user.name.clone(),
        seed: submission.seed.unwrap_or_else(random_seed),
        submission,
        app: submit.app,
        files: files.iter().map(info).collect(),
        native,
        submitted_us: now_us(),
        earlier,
    })
}

fn check_submission(submission: &Submission) -> Result<(), String> {
    let s = submission;
    let within = |name: &str, value: f64, least: f64, most: f64| match (least..=most).contains(&value) {
        true => Ok(()),
        false => Err(format!("submission.{name}: {value} is not from {least} to {most}")),
    };
    within("instances", s.instances.into(), 1.0, MAX_INSTANCES.into())?;
    within("factor", s.factor, 1.0, 10.0)?;
    within("queue_timeout", s.queue_timeout, 0.0, 1e8)?;
    within("max_time", s.max_time, 1.0, 1e8)?;
    within("grace_time", s.grace_time, 0.0, 3600.0)?;
    within("limits.ports", s.limits.ports.into(), 1.0, 1000.0)?;
    within("limits.udp_drop_per_million", s.limits.udp_drop_per_million.into(), 0.0, 1e6)?;
    if let Some(text) = &s.topology {
        let topology = Topology::parse(text).map_err(|error| format!("submission.topology: {error}"))?;
        if topology.places() < s.instances as usize && s.churn.is_none() {
            return Err(format!(
                "submission.topology: has places for {} instances, not for {}",
                topology.places(),
                s.instances
            ));
        }
    }
    if let Some(at) = s.scheduled_at {
        within("scheduled_at", at, 0.0, 1e11)?;
    }
    if let Some(near) = s.filters.near {
        within("filters.near.latitude", near.latitude, -90.0, 90.0)?;
        within("filters.near.longitude", near.longitude, -180.0, 180.0)?;
        within("filters.near.distance", near.distance, 0.0, 21_000.0)?;
    }
    for (name, value) in [("max_load", s.filters.max_load), ("min_uptime", s.filters.min_uptime)] {
        within(&format!("filters.{name}"), value.unwrap_or(0.0), 0.0, 1e12)?;
    }
    for (name, length) in [("name", s.name.len()), ("arguments", s.arguments.iter().map(String::len).sum())] {
        within(&format!("{name} (bytes)"), length as f64, 0.0, if name == "name" { 200.0 } else { 65536.0 })?;
    }
    let environment: usize = s.environment.iter().map(|(name, value)| name.len() + value.len()).sum();
    within("environment (bytes)", environment as f64, 0.0, 65536.0)?;
    if s.mandatory.len() > s.instances as usize && s.churn.is_none() {
        return Err(format!(
            "submission.mandatory: {} splayds must take part in {} instances",
            s.mandatory.len(),
            s.instances
        ));
    }
    let outside = s.mandatory.iter().find(|word| !s.designated.is_empty() && !s.designated.contains(word));
    match outside {
        Some(word) => Err(format!("submission.mandatory: `{word}` is not among those designated")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_out_of_bounds_name_their_field() {
        let wrong = |change: fn(&mut Submission)| {
            let mut submission = Submission::default();
            change(&mut submission);
            check_submission(&submission).unwrap_err()
        };
        assert_eq!(wrong(|s| s.instances = 0), "submission.instances: 0 is not from 1 to 100000");
        assert_eq!(wrong(|s| s.factor = f64::NAN), "submission.factor: NaN is not from 1 to 10");
        assert_eq!(wrong(|s| s.limits.ports = 0), "submission.limits.ports: 0 is not from 1 to 1000");
        assert_eq!(
            wrong(|s| s.topology = Some("0,1\n1".into())),
            "submission.topology: line 2: row 2: has 1 values where the first row has 2"
        );
        assert_eq!(
            wrong(|s| (s.instances, s.topology) = (3, Some("0,1\n1,0".into()))),
            "submission.topology: has places for 2 instances, not for 3"
        );
        assert_eq!(check_submission(&Submission::default()), Ok(()));
    }
}

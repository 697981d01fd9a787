//! The API's description. Written by hand beside the routes; a test holds it to them.

use axum::Json;
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};
use splay_protocol::api::BASE;

/// Path, method, who may, what for, answer. Parameters in braces are strings.
pub const OPERATIONS: &[(&str, &str, &str, &str, &str)] = &[
    ("/health", "get", "all", "Whether the controller works", "Health"),
    ("/metrics", "get", "user", "Figures for Prometheus", "text"),
    ("/openapi.json", "get", "all", "This document", "any"),
    ("/login", "post", "all", "Opens a session", "LoggedIn"),
    ("/logout", "post", "user", "Ends the session", "none"),
    ("/users", "get", "admin", "All users", "list"),
    ("/users", "post", "admin", "Adds a user", "created"),
    ("/users/me", "get", "user", "Who asks", "User"),
    ("/users/{name}", "patch", "user", "Changes role or password", "User"),
    ("/users/{name}", "delete", "admin", "Removes a user", "none"),
    ("/tokens", "get", "user", "API tokens", "list"),
    ("/tokens", "post", "user", "Makes an API token", "created"),
    ("/tokens/{id}", "delete", "user", "Ends an API token", "none"),
    ("/join-tokens", "get", "admin", "Join tokens, without secrets", "list"),
    ("/join-tokens", "post", "admin", "Makes a join token", "created"),
    ("/join-tokens/{id}", "delete", "admin", "Revokes a join token", "none"),
    ("/audit", "get", "admin", "The audit log", "list"),
    ("/splayds", "get", "user", "All splayds", "list"),
    ("/splayds/{id}", "get", "user", "A splayd", "Splayd"),
    ("/splayds/{id}", "patch", "admin", "Sets labels", "Splayd"),
    ("/splayds/{id}/availability", "get", "user", "When it came and went", "list"),
    ("/splayds/{id}/revoke", "post", "admin", "Shuts a splayd out", "Splayd"),
    ("/blacklist", "get", "user", "Hosts no instance may contact", "Blacklist"),
    ("/blacklist", "put", "admin", "Sets those hosts", "Blacklist"),
    ("/native", "get", "user", "Builds of native libraries", "list"),
    ("/native", "post", "admin", "Adds a build", "created"),
    ("/native/{sha256}", "delete", "admin", "Removes a build", "none"),
    ("/jobs", "get", "user", "Jobs one may see", "list"),
    ("/jobs", "post", "user", "Submits a job", "created"),
    ("/jobs/{id}", "get", "user", "A job", "Job"),
    ("/jobs/{id}/kill", "post", "user", "Ends a job", "Job"),
    ("/jobs/{id}/resubmit", "post", "user", "Submits a job again", "created"),
    ("/jobs/{id}/code", "get", "user", "Its program", "bytes"),
    ("/jobs/{id}/files/{path}", "get", "user", "One of its files", "bytes"),
    ("/jobs/{id}/events", "get", "user", "What happens to it, as server-sent events", "events"),
    ("/jobs/{id}/logs", "get", "user", "Its log, by time", "text"),
    ("/jobs/{id}/logs/follow", "get", "user", "Its log as it grows, as server-sent events", "events"),
    ("/jobs/{id}/results", "get", "user", "Its result files", "list"),
    ("/jobs/{id}/results/{position}/{path}", "get", "user", "A result file", "bytes"),
];

pub async fn document() -> Response {
    Json(build()).into_response()
}

fn text() -> Value {
    json!({ "type": "string" })
}

fn object(required: &[&str], properties: Value) -> Value {
    json!({ "type": "object", "required": required, "properties": properties, "additionalProperties": false })
}

/// Bodies of requests.
fn body(path: &str, method: &str) -> Option<Value> {
    let role = json!({ "type": "string", "enum": ["admin", "user", "read-only"] });
    let password = json!({ "type": "string", "minLength": 8, "maxLength": 1024 });
    let or_null = |mut schema: Value| {
        schema["type"] = json!([schema["type"], "null"]);
        schema
    };
    let url = json!({ "type": "string", "pattern": r"^https://[a-z0-9.-]{1,60}:[1-9][0-9]{0,3}$" });
    let word = json!({ "type": "string", "pattern": "^[A-Za-z0-9_-][A-Za-z0-9._-]{0,63}$" });
    let base64 = json!({ "type": "string", "pattern": "^([A-Za-z0-9+/]{4})*$" });
    let seconds = json!({ "type": "number", "minimum": 1, "maximum": 31622400 });
    Some(match (path, method) {
        ("/login", _) => object(&["user", "password"], json!({ "user": text(), "password": text() })),
        ("/users", "post") => object(
            &["name", "password", "role"],
            json!({
                "name": { "type": "string", "pattern": "^[A-Za-z0-9._-]{1,64}$" },
                "password": password,
                "role": role,
            }),
        ),
        ("/users/{name}", "patch") => {
            let mut roles = or_null(role);
            roles["enum"] = json!(["admin", "user", "read-only", null]);
            object(
                &[],
                json!({ "old_password": or_null(text()), "password": or_null(password), "role": roles }),
            )
        }
        ("/tokens", "post") => object(
            &["name", "expires_in"],
            json!({
                "name": { "type": "string", "minLength": 1, "maxLength": 200 }, "expires_in": seconds,
            }),
        ),
        ("/join-tokens", "post") => object(
            &[],
            json!({
                "uses": { "type": "integer", "minimum": 1, "maximum": 1000000 }, "expires_in": seconds, "url": or_null(url),
            }),
        ),
        ("/splayds/{id}", "patch") => object(
            &["labels"],
            json!({
                "labels": { "type": "object", "additionalProperties": text() },
            }),
        ),
        ("/blacklist", "put") => {
            let host = json!({ "type": "string", "pattern": r"^[A-Za-z0-9.:*_-]{1,255}$" });
            object(&["hosts"], json!({ "hosts": { "type": "array", "items": host, "maxItems": 10000 } }))
        }
        ("/native", "post") => object(
            &["name", "os", "architecture", "base64"],
            json!({ "name": word, "os": word, "architecture": word, "base64": base64 }),
        ),
        ("/jobs", "post") => object(
            &["app", "files"],
            json!({
                "submission": { "type": "object", "description": "Options of the job: see the guide's table; all may be left out" },
                "app": text(),
                "files": { "type": "array", "items": object(&["path", "base64"], json!({ "path": text(), "base64": text() })) },
                "native": { "type": "array", "items": text() },
            }),
        ),
        ("/jobs/{id}/kill", "post") => {
            let grace = or_null(json!({ "type": "number", "minimum": 0, "maximum": 3600 }));
            object(&[], json!({ "reason": text(), "grace_time": grace }))
        }
        _ => return None,
    })
}

fn query(path: &str) -> Vec<Value> {
    let parameter = |name: &str, schema: Value| json!({ "name": name, "in": "query", "required": false, "schema": schema });
    let filters = || {
        let positions = json!({ "type": "array", "items": { "type": "integer", "minimum": 0, "maximum": 4294967295u32 } });
        let kinds = json!({ "type": "array", "items": { "type": "string", "enum": ["out", "err", "debug", "notice", "warning", "error", "system"] } });
        let time = json!({ "type": "number", "minimum": 0, "maximum": 99999999999u64 });
        vec![
            parameter("position", positions),
            parameter("kind", kinds),
            parameter("from", time.clone()),
            parameter("to", time),
            parameter("text", text()),
        ]
    };
    match path {
        "/jobs" => vec![parameter("limit", json!({ "type": "integer", "minimum": 1, "maximum": 100000 }))],
        "/audit" => vec![parameter("limit", json!({ "type": "integer", "minimum": 0, "maximum": 100000 }))],
        "/jobs/{id}/logs/follow" => filters(),
        "/jobs/{id}/logs" => {
            let mut all = filters();
            all.push(parameter("tail", json!({ "type": "integer", "minimum": 0, "maximum": 100000 })));
            all.push(parameter("format", json!({ "type": "string", "enum": ["json", "text"] })));
            all.push(parameter("download", json!({ "type": "string", "enum": ["0", "1"] })));
            all
        }
        _ => Vec::new(),
    }
}

fn content(kind: &str) -> Value {
    match kind {
        "text" => json!({ "text/plain": { "schema": text() }, "application/x-ndjson": { "schema": text() } }),
        "bytes" => {
            json!({ "application/octet-stream": { "schema": text() }, "text/plain": { "schema": text() } })
        }
        "events" => json!({ "text/event-stream": { "schema": text() } }),
        "list" => json!({ "application/json": { "schema": { "type": "array", "items": {} } } }),
        "any" => json!({ "application/json": { "schema": {} } }),
        _ => json!({ "application/json": { "schema": { "type": "object" } } }),
    }
}

/// The document, OpenAPI 3.1.
pub fn build() -> Value {
    let mut paths = serde_json::Map::new();
    for (path, method, who, summary, kind) in OPERATIONS {
        let refusal = |text: &str| json!({ "description": text, "content": { "application/json": { "schema": { "$ref": "#/components/schemas/Error" } } } });
        let (status, good) = match *kind {
            "none" => ("204", json!({ "description": "Done" })),
            "created" => ("201", json!({ "description": "Made", "content": content(kind) })),
            kind => ("200", json!({ "description": "Here it is", "content": content(kind) })),
        };
        let mut responses =
            json!({ status: good, "500": refusal("The controller's fault"), "503": refusal("About to end") });
        let mut refuse = |status: &str, text: &str| responses[status] = refusal(text);
        refuse("400", "The request makes no sense");
        if *who != "all" || *path == "/login" {
            refuse("401", "No good token");
            refuse("403", "Not with this role, or somebody else's");
        }
        if path.contains('{') || *path == "/jobs" {
            refuse("404", "There is no such thing");
        }
        let text = body(path, method);
        if text.is_some() || path.contains("/kill") || (*path == "/users/{name}") {
            refuse("409", "It exists already, or its state does not allow it");
            refuse("413", "More than is taken");
        }
        if *path == "/login" {
            refuse("429", "Too many failed logins");
        }
        let mut parameters = if *method == "get" { query(path) } else { Vec::new() };
        for name in path.split(['{', '}']).skip(1).step_by(2) {
            parameters.push(json!({ "name": name, "in": "path", "required": true, "schema": { "type": "string", "minLength": 1 } }));
        }
        let mut operation = json!({
            "summary": summary,
            "description": format!("For: {who}."),
            "parameters": parameters,
            "responses": responses,
            "security": if *who == "all" { json!([]) } else { json!([{ "bearer": [] }]) },
        });
        if let Some(schema) = text {
            let required = !path.contains("/kill");
            operation["requestBody"] =
                json!({ "required": required, "content": { "application/json": { "schema": schema } } });
        }
        let entry = paths.entry(format!("{BASE}{path}")).or_insert_with(|| json!({}));
        entry[*method] = operation;
    }
    let code = json!({ "type": "object", "required": ["code", "message"], "properties": { "code": text(), "message": text() } });
    json!({
        "openapi": "3.1.0",
        "info": { "title": "SPLAY controller", "version": env!("CARGO_PKG_VERSION") },
        "paths": paths,
        "components": {
            "securitySchemes": { "bearer": { "type": "http", "scheme": "bearer" } },
            "schemas": { "Error": { "type": "object", "required": ["error"], "properties": { "error": code } } },
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Routes as `router` lists them, with the methods.
    #[test]
    fn every_route_is_described() {
        let source = include_str!("mod.rs");
        let mut routes: Vec<(String, String)> = Vec::new();
        for line in source.lines().filter_map(|line| line.trim().strip_prefix(".route(\"")) {
            let (path, methods) = line.split_once('"').unwrap();
            for method in ["get", "post", "put", "patch", "delete"] {
                if methods.contains(&format!("{method}(")) {
                    routes.push((path.replace("{*", "{"), method.to_owned()));
                }
            }
        }
        routes.sort();
        let mut described: Vec<(String, String)> =
            OPERATIONS.iter().map(|(path, method, ..)| ((*path).to_owned(), (*method).to_owned())).collect();
        described.sort();
        assert!(routes.len() > 30, "{routes:?}");
        assert_eq!(routes, described);
    }
}

//! Refusals, and the reading of bodies and parameters that gives them.

use axum::Json;
use axum::body::Bytes;
use axum::extract::rejection::QueryRejection;
use axum::extract::{FromRequest, FromRequestParts, Query, Request};
use axum::http::StatusCode;
use axum::http::header::CONTENT_TYPE;
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::de::DeserializeOwned;
use splay_protocol::api::{ErrorBody, ErrorCode, ErrorDetail};

use crate::hub::Ended;
use crate::state::Rejected;
use crate::store::StoreError;

/// A refusal.
#[derive(Debug)]
pub struct ApiError(ErrorDetail);

impl ApiError {
    /// A refusal of a kind.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ApiError {
        ApiError(ErrorDetail { code, message: message.into() })
    }

    /// The request makes no sense.
    pub fn bad(message: impl Into<String>) -> ApiError {
        ApiError::new(ErrorCode::BadRequest, message)
    }

    /// There is no such thing.
    pub fn missing(what: &str, name: &str) -> ApiError {
        ApiError::new(ErrorCode::NotFound, format!("there is no {what} `{name}`"))
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        use ErrorCode::*;
        let status = match self.0.code {
            BadRequest => StatusCode::BAD_REQUEST,
            Unauthorized => StatusCode::UNAUTHORIZED,
            Forbidden => StatusCode::FORBIDDEN,
            NotFound => StatusCode::NOT_FOUND,
            MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Conflict => StatusCode::CONFLICT,
            TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            TooMany => StatusCode::TOO_MANY_REQUESTS,
            Internal => StatusCode::INTERNAL_SERVER_ERROR,
            Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        };
        (status, Json(ErrorBody { error: self.0 })).into_response()
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        tracing::error!("{error}");
        ApiError::new(ErrorCode::Internal, "the controller's database fails; its log has more")
    }
}

impl From<Ended> for ApiError {
    fn from(ended: Ended) -> Self {
        ApiError::new(ErrorCode::Unavailable, ended.to_string())
    }
}

impl From<Rejected> for ApiError {
    fn from(rejected: Rejected) -> Self {
        let code = match &rejected {
            Rejected::NoJob(_) | Rejected::NoSplayd(_) => ErrorCode::NotFound,
            Rejected::Over(..) => ErrorCode::Conflict,
            Rejected::Submission(_) | Rejected::Protocol(_) => ErrorCode::BadRequest,
        };
        ApiError::new(code, rejected.to_string())
    }
}

/// A body in JSON.
pub struct In<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequest<S> for In<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, state: &S) -> Result<Self, ApiError> {
        let kind = request.headers().get(CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or("");
        if !kind.starts_with("application/json") {
            return Err(ApiError::bad("body: Content-Type: application/json is expected"));
        }
        let bytes =
            Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
                StatusCode::PAYLOAD_TOO_LARGE => {
                    ApiError::new(ErrorCode::TooLarge, "the body is longer than is taken")
                }
                _ => ApiError::bad(format!("body: {}", rejection.body_text())),
            })?;
        // Serde would take a list for an object, by the order of its fields.
        if !bytes.trim_ascii_start().starts_with(b"{") {
            return Err(ApiError::bad("body: a JSON object is expected"));
        }
        parsed(&bytes).map(In).map_err(|error| ApiError::bad(format!("body: {error}")))
    }
}

/// Reads JSON. A number such as `3.0` is an integer, as JSON's schemas have it.
pub fn parsed<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, serde_json::Error> {
    let first = serde_json::from_slice(bytes);
    let Err(error) = first else { return first };
    let Ok(mut value) = serde_json::from_slice(bytes) else { return Err(error) };
    integers(&mut value);
    // What was wrong in the text itself is told with its line.
    serde_json::from_value(value).map_err(|_| error)
}

fn integers(value: &mut serde_json::Value) {
    use serde_json::Value::{Array, Number, Object};
    /// Up to here, every integer is a number of its own.
    const EXACT: f64 = 9_007_199_254_740_992.0;
    match value {
        Number(number) => {
            if let Some(float) = number.as_f64().filter(|float| float.fract() == 0.0 && float.abs() <= EXACT)
            {
                *number = (float as i64).into();
            }
        }
        Array(values) => values.iter_mut().for_each(integers),
        Object(fields) => fields.values_mut().for_each(integers),
        _ => {}
    }
}

/// Parameters of a query.
pub struct Params<T>(pub T);

impl<S: Send + Sync, T: DeserializeOwned> FromRequestParts<S> for Params<T> {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, ApiError> {
        let query = Query::<T>::from_request_parts(parts, state).await;
        query.map(|Query(query)| Params(query)).map_err(|rejection: QueryRejection| {
            ApiError::bad(format!(
                "query: {}",
                rejection.body_text().trim_start_matches("Failed to deserialize query string: ")
            ))
        })
    }
}

#[cfg(test)]
mod tests {
    use splay_protocol::api::NewJoinToken;

    use super::*;

    #[test]
    fn whole_numbers_are_integers_however_they_are_written() {
        let uses = |text: &str| parsed::<NewJoinToken>(text.as_bytes()).map(|new| new.uses);
        assert_eq!(uses(r#"{"uses": 921994.0}"#).unwrap(), 921_994);
        assert_eq!(uses(r#"{"uses": 3e2, "expires_in": 60}"#).unwrap(), 300);
        for wrong in [r#"{"uses": 1.5}"#, r#"{"uses": -1.0}"#, r#"{"uses": 1e30}"#, "{\n\"uses\": x}"] {
            assert!(uses(wrong).is_err(), "{wrong}");
        }
        assert!(uses("{\n\"uses\": 1.5}").unwrap_err().to_string().contains("line 2"));
    }
}

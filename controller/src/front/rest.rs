//! What is left of a request's body when it has been answered. Closing a connection on somebody who is
//! still sending would take the answer away from them.

use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::task::{Context, Poll};
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::Request;
use axum::http::header::UPGRADE;
use hyper::body::{Body as _, Frame, SizeHint};

/// So much is read at most.
const MOST: usize = 64 << 20;

/// And for so long, within the time that the whole request has.
const LONGEST: Duration = Duration::from_secs(20);

/// The rest of a body; `None`: there is none.
pub struct Rest(Option<Arc<Mutex<Body>>>);

/// Lets the rest of a request's body be read after the request was answered.
pub fn share(request: Request<Body>) -> (Request<Body>, Rest) {
    if request.body().is_end_stream() || request.headers().contains_key(UPGRADE) {
        return (request, Rest(None));
    }
    let (parts, body) = request.into_parts();
    let body = Arc::new(Mutex::new(body));
    let shared = Body::new(Shared(body.clone()));
    (Request::from_parts(parts, shared), Rest(Some(body)))
}

impl Rest {
    /// Reads it and forgets it, for no longer than is left of the request's time.
    pub async fn read(self, left: Duration) {
        let Some(body) = self.0.filter(|_| !left.is_zero()) else { return };
        let read = async {
            let mut shared = Shared(body);
            let mut length = 0;
            while let Some(Ok(frame)) = std::future::poll_fn(|cx| Pin::new(&mut shared).poll_frame(cx)).await
            {
                length += frame.data_ref().map_or(0, Bytes::len);
                if length > MOST {
                    return;
                }
            }
        };
        let _ = tokio::time::timeout(left.min(LONGEST), read).await;
    }
}

struct Shared(Arc<Mutex<Body>>);

impl hyper::body::Body for Shared {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, axum::Error>>> {
        Pin::new(&mut *self.0.lock().unwrap_or_else(PoisonError::into_inner)).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).size_hint()
    }
}

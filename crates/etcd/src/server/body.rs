//! Bodies of answers: bytes, or what a watcher is told.

use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body as HttpBody, Frame, SizeHint};
use tokio::sync::mpsc;

use super::Shared;
use crate::store::WatcherId;

pub struct Body(Kind);

enum Kind {
    Whole(Bytes),
    /// An event of the past; then the end, or nothing for ever.
    Past(Option<Bytes>, bool),
    Watch {
        watcher: WatcherId,
        receiver: mpsc::Receiver<Bytes>,
        shared: Arc<Shared>,
    },
}

impl Body {
    pub fn whole(bytes: Bytes) -> Body {
        Body(Kind::Whole(bytes))
    }

    pub fn past(event: Bytes, stays: bool) -> Body {
        Body(Kind::Past(Some(event), stays))
    }

    pub fn watch(watcher: WatcherId, receiver: mpsc::Receiver<Bytes>, shared: Arc<Shared>) -> Body {
        Body(Kind::Watch { watcher, receiver, shared })
    }
}

impl HttpBody for Body {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = match &mut self.0 {
            Kind::Whole(bytes) if bytes.is_empty() => None,
            Kind::Whole(bytes) => Some(std::mem::take(bytes)),
            Kind::Past(event, stays) => match event.take() {
                None if *stays => return Poll::Pending,
                event => event,
            },
            Kind::Watch { receiver, .. } => std::task::ready!(receiver.poll_recv(context)),
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }

    fn is_end_stream(&self) -> bool {
        match &self.0 {
            Kind::Whole(bytes) => bytes.is_empty(),
            Kind::Past(event, stays) => event.is_none() && !stays,
            Kind::Watch { receiver, .. } => receiver.is_closed() && receiver.is_empty(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.0 {
            Kind::Whole(bytes) => SizeHint::with_exact(bytes.len() as u64),
            // Sent in chunks, as etcd does.
            _ => SizeHint::default(),
        }
    }
}

impl Drop for Body {
    fn drop(&mut self) {
        if let Kind::Watch { watcher, receiver, shared } = &mut self.0 {
            // One that was told all there was is not known any more.
            if !(receiver.is_closed() && receiver.is_empty()) {
                shared.unwatch(*watcher);
            }
        }
    }
}

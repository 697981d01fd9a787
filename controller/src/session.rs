//! The sessions of splayds: one task each, which proves who is there and then carries messages both
//! ways. Everything a splayd says is checked here before the state sees it.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::{Message, WebSocket};
use bytes::Bytes;
use ring::signature::{ED25519, UnparsedPublicKey};
use serde::Deserialize;
use serde_bytes::ByteBuf;
use splay_protocol::session::{
    Challenge, DecodeError, Enrol, Event as Told, FilePart, Hello, JobReady, ProbeReply, RefusedCode, Report,
    ToController, ToSplayd, VERSION, decode, encode, signed_text,
};
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use crate::hub::{Hub, Outgoing, SESSION_QUEUE, now_us, refusal};
use crate::secrets::random_id;
use crate::state::{Event, NodesHead, Rejected, SplaydRecord};
use crate::store::{JoinFault, Store, StoreError};

/// So many times within the longest silence a splayd is asked whether it hears.
const PINGS: u32 = 3;

/// A message that a splayd does not take within this time ends the session.
const SEND: Duration = Duration::from_secs(30);

/// The first word has to come within this time.
const GREETING: Duration = Duration::from_secs(15);

/// Files are sent in pieces of so many bytes.
const PIECE: usize = 256 << 10;

/// What sessions need.
#[derive(Clone)]
pub struct Sessions {
    /// Where events go.
    pub hub: Hub,
    /// Keys, join tokens and files.
    pub store: Store,
    /// SHA-256 of the certificate splayds see.
    pub certificate: Arc<[u8]>,
    /// Whether splayds may trust the system's roots instead of the certificate itself: they then
    /// sign without it.
    pub by_roots: bool,
    /// A splayd that says nothing for so long, not even that it hears, is cut.
    pub silence: Duration,
}

/// Why a session ends.
#[derive(Debug, thiserror::Error)]
enum Fault {
    #[error("{1}")]
    Refused(RefusedCode, String),
    #[error("the connection is gone")]
    Gone,
    #[error(transparent)]
    Store(#[from] StoreError),
}

fn refused(code: RefusedCode, reason: impl Into<String>) -> Fault {
    Fault::Refused(code, reason.into())
}

impl From<crate::hub::Ended> for Fault {
    fn from(ended: crate::hub::Ended) -> Self {
        refused(RefusedCode::Busy, ended.to_string())
    }
}

impl From<DecodeError> for Fault {
    fn from(error: DecodeError) -> Self {
        refused(RefusedCode::Protocol, error.to_string())
    }
}

impl From<Rejected> for Fault {
    fn from(rejected: Rejected) -> Self {
        let code =
            if matches!(rejected, Rejected::NoSplayd(_)) { RefusedCode::Key } else { RefusedCode::Protocol };
        refused(code, rejected.to_string())
    }
}

impl Sessions {
    /// Serves one connection to its end. `shown`: the splayd sees the certificate of another controller,
    /// which passes all on.
    pub async fn serve(self, mut socket: WebSocket, peer: IpAddr, shown: Option<Vec<u8>>) {
        let result = match self.greet(&mut socket, peer, shown.as_deref()).await {
            Ok((splayd, number, queue)) => {
                let result = self.carry(&mut socket, &splayd, queue).await;
                self.hub.closed(splayd.clone(), number).await;
                tracing::info!(splayd, %peer, "session ended: {}", result.as_ref().err().map_or("closed".to_owned(), ToString::to_string));
                result
            }
            Err(fault) => {
                tracing::info!(%peer, "splayd not let in: {fault}");
                Err(fault)
            }
        };
        let last = match result {
            Err(Fault::Refused(code, reason)) => Some(refusal(code, reason)),
            Err(Fault::Store(error)) => {
                tracing::error!("session: {error}");
                Some(refusal(RefusedCode::Busy, "the controller cannot reach its database"))
            }
            Err(Fault::Gone) | Ok(()) => None,
        };
        if let Some(last) = last {
            let _ = send(&mut socket, encode(&last)).await;
        }
        let _ = timeout(Duration::from_secs(1), socket.send(Message::Close(None))).await;
    }

    async fn greet(
        &self,
        socket: &mut WebSocket,
        peer: IpAddr,
        shown: Option<&[u8]>,
    ) -> Result<(String, u64, mpsc::Receiver<Outgoing>), Fault> {
        let nonce: [u8; 32] = rand::random();
        let challenge = Challenge { version: VERSION, nonce: ByteBuf::from(nonce.to_vec()) };
        send(socket, encode(&ToSplayd::Challenge(challenge))).await?;
        let first = timeout(GREETING, receive(socket)).await;
        let first = first.map_err(|_| refused(RefusedCode::Protocol, "no greeting in 15 s"))??;
        let (token, hello) = match decode(&first)? {
            ToController::Hello(hello) => (None, hello),
            ToController::Enrol(Enrol { token, secret, hello }) => (Some((token, secret)), hello),
            _ => return Err(refused(RefusedCode::Protocol, "the first message is neither enrol nor hello")),
        };
        if hello.version != VERSION {
            let text = format!("the splayd speaks version {}, this controller {VERSION}", hello.version);
            return Err(refused(RefusedCode::Version, text));
        }
        self.check_signature(&nonce, &hello, shown)?;
        check_info(&hello)?;
        let key = hex::encode(&*hello.key);
        let known = self.store.splayd_by_key(&key).await?;
        if known.as_ref().is_some_and(|record| record.revoked) {
            return Err(refused(RefusedCode::Key, "this splayd was revoked"));
        }
        let peer = peer.to_string();
        let (splayd, enrolled) = match (known, token) {
            (Some(record), _) => (record.id, None),
            (None, None) => {
                return Err(refused(RefusedCode::Key, "the key is not known here: enrol with a join token"));
            }
            (None, Some((token, secret))) => {
                let record = self.enrol(&token, &secret, &hello, key, peer.clone()).await?;
                (record.id.clone(), Some(Box::new(record)))
            }
        };
        let (queue, outgoing) = mpsc::channel(SESSION_QUEUE);
        let Hello { info, jobs, incarnation, reports, .. } = hello;
        let event = Event::Connected {
            splayd: splayd.clone(),
            enrolled,
            info: Box::new(info),
            jobs,
            incarnation,
            reports,
            peer,
        };
        let number = self.hub.open(splayd.clone(), event, queue).await??;
        Ok((splayd, number, outgoing))
    }

    fn check_signature(&self, nonce: &[u8], hello: &Hello, shown: Option<&[u8]>) -> Result<(), Fault> {
        let key = UnparsedPublicKey::new(&ED25519, &*hello.key);
        let fits =
            |certificate: &[u8]| key.verify(&signed_text(nonce, certificate), &hello.signature).is_ok();
        if fits(shown.unwrap_or(&self.certificate)) || (self.by_roots && fits(&[])) {
            return Ok(());
        }
        Err(refused(
            RefusedCode::Key,
            "the signature does not fit: another key, or somebody between splayd and controller",
        ))
    }

    async fn enrol(
        &self,
        token: &str,
        secret: &str,
        hello: &Hello,
        key: String,
        peer: String,
    ) -> Result<SplaydRecord, Fault> {
        let now = now_us();
        let record = SplaydRecord {
            id: random_id("s"),
            key,
            info: hello.info.clone(),
            labels: Default::default(),
            peer,
            enrolled_us: now,
            revoked: false,
            incarnation: hello.incarnation.clone(),
            since_us: now,
        };
        let result: Result<(), JoinFault> = self.store.enrol(token, secret, &record, now).await?;
        result.map_err(|fault| refused(RefusedCode::Token, fault.to_string()))?;
        tracing::info!(splayd = record.id, name = record.info.name, "enrolled");
        Ok(record)
    }

    async fn carry(
        &self,
        socket: &mut WebSocket,
        splayd: &str,
        mut queue: mpsc::Receiver<Outgoing>,
    ) -> Result<(), Fault> {
        let mut heard = Instant::now();
        let mut ping = tokio::time::interval(self.silence / PINGS);
        // What the state says against a report comes back here.
        let (fault, mut faults) = mpsc::channel::<Rejected>(1);
        loop {
            tokio::select! {
                message = socket.recv() => {
                    heard = Instant::now();
                    match message {
                        Some(Ok(Message::Binary(bytes))) => {
                            let answer = self.hear(splayd, &bytes, &fault).await?;
                            if let Some(answer) = answer {
                                send(socket, encode(&answer)).await?;
                            }
                        }
                        Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
                        Some(Ok(Message::Text(_))) => return Err(refused(RefusedCode::Protocol, "a message is text")),
                        Some(Ok(Message::Close(_))) | None => return Ok(()),
                        Some(Err(error)) => return Err(broken(&error)),
                    }
                }
                outgoing = queue.recv() => match outgoing {
                    None => return Err(refused(RefusedCode::Busy, "too many messages wait")),
                    Some(Outgoing::Message(message)) => send(socket, encode(&*message)).await?,
                    Some(Outgoing::Nodes(head, positions)) => send(socket, encode_nodes(&head, &positions)).await?,
                    Some(Outgoing::Encoded(bytes)) => send(socket, bytes.to_vec()).await?,
                    Some(Outgoing::Files(digests)) => self.send_files(socket, digests).await?,
                    Some(Outgoing::Close(code, reason)) => return Err(refused(code, reason)),
                },
                Some(rejected) = faults.recv() => return Err(rejected.into()),
                _ = ping.tick() => {
                    if heard.elapsed() > self.silence {
                        let text = format!("nothing was heard for {} s", self.silence.as_secs());
                        return Err(refused(RefusedCode::Protocol, text));
                    }
                    let sent = timeout(SEND, socket.send(Message::Ping(Bytes::new()))).await;
                    sent.map_err(|_| Fault::Gone)?.map_err(|_| Fault::Gone)?;
                }
            }
        }
    }

    /// Takes what a splayd says; may give an answer.
    async fn hear(
        &self,
        splayd: &str,
        bytes: &[u8],
        fault: &mpsc::Sender<Rejected>,
    ) -> Result<Option<ToSplayd>, Fault> {
        let received_us = now_us();
        let message = match decode(bytes) {
            Ok(message) => message,
            // Of a later version, perhaps: what is not known is passed over.
            Err(DecodeError::Message(error)) if error.to_string().contains("Unknown Variant") => {
                tracing::warn!(splayd, "message passed over: {error}");
                let Ok(Bare { report }) = decode::<Bare>(bytes) else { return Ok(None) };
                // Its number counts all the same.
                let event = Told::Done(JobReady { job: String::new() });
                ToController::Report(Report { sequence: report.sequence, at_us: 0, event })
            }
            Err(error) => return Err(error.into()),
        };
        let event = match message {
            ToController::Probe(probe) => {
                let reply = ProbeReply { sent_us: probe.sent_us, received_us, replied_us: now_us() };
                return Ok(Some(ToSplayd::ProbeReply(reply)));
            }
            ToController::Report(mut report) => {
                shorten(&mut report.event);
                Event::Report(splayd.to_owned(), report)
            }
            ToController::Status(status) => Event::Status(splayd.to_owned(), status),
            ToController::NeedFiles(need) => Event::NeedFiles(splayd.to_owned(), need.job, need.sha256),
            ToController::Hello(_) | ToController::Enrol(_) => {
                return Err(refused(RefusedCode::Protocol, "a second greeting"));
            }
        };
        let (answer, answered) = oneshot::channel();
        self.hub.post(event, Some(answer)).await?;
        let fault = fault.clone();
        tokio::spawn(async move {
            if let Ok(Err(rejected)) = answered.await {
                let _ = fault.try_send(rejected);
            }
        });
        Ok(None)
    }

    async fn send_files(&self, socket: &mut WebSocket, digests: Vec<String>) -> Result<(), Fault> {
        for sha256 in digests {
            let Some(data) = self.store.file(&sha256).await? else {
                tracing::error!(sha256, "a file of a job is missing");
                continue;
            };
            // An empty file is one empty piece.
            let pieces = data.len().div_ceil(PIECE).max(1);
            for piece in 0..pieces {
                let from = piece * PIECE;
                let part = FilePart {
                    sha256: sha256.clone(),
                    offset: from as u64,
                    data: ByteBuf::from(&data[from..data.len().min(from + PIECE)]),
                };
                send(socket, encode(&ToSplayd::File(part))).await?;
            }
        }
        Ok(())
    }
}

/// What every report has, whatever it tells.
#[derive(Deserialize)]
struct Bare {
    report: Numbered,
}

#[derive(Deserialize)]
struct Numbered {
    sequence: u64,
}

/// Texts for people are kept up to so many bytes: a traceback and more.
const MAX_TEXT_BYTES: usize = 16 << 10;

/// Cuts texts that are longer than anybody reads: they are kept in the job's history.
fn shorten(event: &mut Told) {
    let text = match event {
        Told::Ended(told) => &mut told.detail,
        Told::DeployRefused(told) => &mut told.reason,
        Told::WorkerLost(told) => &mut told.how,
        Told::Limit(told) => &mut told.limit,
        _ => return,
    };
    text.truncate(text.floor_char_boundary(MAX_TEXT_BYTES));
}

/// What the controller keeps of a splayd's word is bounded.
fn check_info(hello: &Hello) -> Result<(), Fault> {
    const WORD: usize = 255;
    let info = &hello.info;
    let words = [&info.name, &info.address, &info.version, &info.os, &info.architecture, &info.kernel];
    let mut short = words.into_iter().chain([&info.country, &hello.incarnation]).chain(&info.native);
    let names = !info.name.is_empty() && short.all(|word| word.len() <= WORD);
    let lists = info.labels.len() <= 100 && info.native.len() <= 1000 && info.degraded.len() <= 100;
    let labels = info.labels.iter().all(|(key, value)| key.len() <= WORD && value.len() <= WORD);
    let notes = info.degraded.iter().all(|note| note.len() <= 4 * WORD);
    let ports = info.ports.0 > 0 && info.ports.0 <= info.ports.1;
    if names && lists && labels && notes && ports && info.max_instances <= 65_535 {
        return Ok(());
    }
    let text = "name, labels, ports, seats or another word of the splayd is out of bounds";
    Err(refused(RefusedCode::Protocol, text))
}

async fn send(socket: &mut WebSocket, bytes: Vec<u8>) -> Result<(), Fault> {
    let sent = timeout(SEND, socket.send(Message::Binary(bytes.into()))).await;
    sent.map_err(|_| Fault::Gone)?.map_err(|_| Fault::Gone)
}

async fn receive(socket: &mut WebSocket) -> Result<Bytes, Fault> {
    loop {
        match socket.recv().await {
            Some(Ok(Message::Binary(bytes))) => return Ok(bytes),
            Some(Ok(Message::Ping(_) | Message::Pong(_))) => {}
            Some(Ok(_)) => return Err(refused(RefusedCode::Protocol, "a message is not binary")),
            Some(Err(error)) => return Err(broken(&error)),
            None => return Err(Fault::Gone),
        }
    }
}

fn broken(error: &axum::Error) -> Fault {
    let text = error.to_string();
    match text.contains("too long") || text.contains("too big") || text.contains("Space limit") {
        true => refused(RefusedCode::Protocol, "a message is longer than allowed"),
        false => Fault::Gone,
    }
}

/// The bytes of a `Nodes` message around a list that is encoded already.
fn encode_nodes(head: &NodesHead, positions: &[(u32, u32)]) -> Vec<u8> {
    let list_type = head.list_type.name();
    let mut bytes =
        Vec::with_capacity(head.packed.as_ref().unwrap_or(&head.nodes).len() + positions.len() * 16 + 100);
    let front = format!(
        "d5:nodesd3:job{}:{}9:list_sizei{}e9:list_type{}:{list_type}5:nodes",
        head.job.len(),
        head.job,
        head.list_size,
        list_type.len()
    );
    bytes.extend_from_slice(front.as_bytes());
    match &head.packed {
        None => bytes.extend_from_slice(&head.nodes),
        Some(packed) => {
            bytes.extend_from_slice(format!("le6:packed{}:", packed.len()).as_bytes());
            bytes.extend_from_slice(packed);
        }
    }
    bytes.extend_from_slice(b"9:positionsl");
    for (seat, position) in positions {
        bytes.extend_from_slice(format!("li{seat}ei{position}ee").as_bytes());
    }
    bytes.extend_from_slice(b"eee");
    bytes
}

#[cfg(test)]
mod tests {
    use splay_protocol::session::JobNodes;
    use splay_protocol::{ListType, Node};

    use super::*;

    #[test]
    fn lists_are_encoded_as_the_message() {
        let some = vec![Node { ip: "10.0.0.1".into(), port: 22000 }, Node { ip: "::1".into(), port: 1 }];
        for (nodes, packed) in [(vec![], None), (some.clone(), None), (some, Some(b"zstd".to_vec()))] {
            let head = NodesHead {
                job: "j12".into(),
                nodes: encode(&nodes),
                packed: packed.clone(),
                list_type: ListType::Random,
                list_size: 7,
            };
            let positions = vec![(4, 1), (10, 2)];
            let whole = JobNodes {
                job: "j12".into(),
                nodes: if packed.is_some() { vec![] } else { nodes },
                packed: packed.map(ByteBuf::from).unwrap_or_default(),
                positions: positions.clone(),
                list_type: ListType::Random,
                list_size: 7,
            };
            assert_eq!(encode_nodes(&head, &positions), encode(&ToSplayd::Nodes(whole)));
        }
    }
}

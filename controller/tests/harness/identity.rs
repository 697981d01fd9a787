//! Who a splayd is, and how it talks.

use std::net::SocketAddr;

use futures_util::{SinkExt as _, StreamExt as _};
use ring::signature::{Ed25519KeyPair, KeyPair as _};
use serde_bytes::ByteBuf;
use splay_protocol::session::*;
use splay_protocol::{JoinToken, Limits};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::Message;

use super::client::connect;

pub type Socket = WebSocketStream<TlsStream<TcpStream>>;

/// Who a splayd is.
pub struct Identity {
    pub key: Ed25519KeyPair,
    pub token: JoinToken,
    pub address: SocketAddr,
    pub fingerprint: [u8; 32],
    pub info: SplaydInfo,
}

impl Identity {
    pub fn new(name: &str, seats: u32, join: &str) -> Identity {
        let token: JoinToken = join.parse().unwrap();
        let seed: [u8; 32] = rand::random();
        Identity {
            key: Ed25519KeyPair::from_seed_unchecked(&seed).unwrap(),
            address: token.url.strip_prefix("https://").unwrap().parse().unwrap(),
            fingerprint: hex::decode(&token.fingerprint).unwrap().try_into().unwrap(),
            token,
            info: SplaydInfo {
                name: name.to_owned(),
                version: "0.1.0".into(),
                os: "linux".into(),
                architecture: "x86_64".into(),
                max_instances: seats,
                ports: (22000, 32000),
                maxima: Limits::default(),
                ..SplaydInfo::default()
            },
        }
    }

    /// Opens a socket and reads the nonce.
    pub async fn dial(&self) -> Option<(Socket, Vec<u8>)> {
        let stream = connect(self.address, self.fingerprint).await.ok()?;
        let url = format!("ws://{}{PATH}", self.address);
        let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.ok()?;
        match hear(&mut socket).await? {
            ToSplayd::Challenge(challenge) => Some((socket, challenge.nonce.into_vec())),
            other => panic!("{other:?}"),
        }
    }

    pub fn hello(&self, nonce: &[u8], jobs: Vec<HostedJob>, incarnation: &str) -> Hello {
        Hello {
            version: VERSION,
            key: ByteBuf::from(self.key.public_key().as_ref()),
            signature: ByteBuf::from(self.key.sign(&signed_text(nonce, &self.fingerprint)).as_ref()),
            info: self.info.clone(),
            jobs,
            incarnation: incarnation.to_owned(),
            reports: 0,
        }
    }

    pub fn enrol(&self, hello: Hello) -> ToController {
        let (token, secret) = (self.token.token.clone(), self.token.secret.clone());
        ToController::Enrol(Enrol { token, secret, hello })
    }
}

/// The next message; `None`: the end.
pub async fn hear(socket: &mut Socket) -> Option<ToSplayd> {
    loop {
        match socket.next().await?.ok()? {
            Message::Binary(bytes) => return Some(decode(&bytes).unwrap()),
            Message::Close(_) => return None,
            _ => {}
        }
    }
}

pub async fn say(socket: &mut Socket, message: &ToController) -> Option<()> {
    socket.send(Message::Binary(encode(message).into())).await.ok()
}

//! What TLS sessions are made from: trusted and own certificates, keys, versions; never touches a
//! file, the program reads those.

use std::sync::Arc;
use std::time::Duration;

use rustls::client::Resumption;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::time_provider::TimeProvider;
use rustls::{
    ClientConfig, ClientConnection, Connection, DigitallySignedStruct, Error, RootCertStore, ServerConfig,
    ServerConnection, SignatureScheme, SupportedProtocolVersion,
};

use crate::vm::Ctx;

/// Why a context or a session cannot be made.
#[derive(Debug, thiserror::Error)]
pub(super) enum ContextError {
    /// The text given for `what` is not PEM, or contains nothing of the kind.
    #[error("no {what} in PEM form")]
    Pem {
        /// What was expected.
        what: &'static str,
    },
    /// A server has to show who it is.
    #[error("a server needs a certificate and a key")]
    NoIdentity,
    /// Their names have 1 to 255 bytes.
    #[error("invalid alpn protocols")]
    Protocols,
    /// Not a name that a certificate could be for.
    #[error("invalid server name: {0}")]
    Name(String),
    /// Certificate and key that do not belong together, and the like.
    #[error("{0}")]
    Rejected(#[from] Error),
    /// No certificate to check clients with.
    #[error("a server that verifies its clients needs a cafile")]
    NoAuthority(#[from] rustls::server::VerifierBuilderError),
}

/// What a context is made of, as the program gives it.
#[derive(Debug, Default)]
pub(super) struct Settings<'a> {
    pub(super) server: bool,
    /// Check the other side's certificate.
    pub(super) verify: bool,
    /// Certificates to trust, in PEM form; those of the web's authorities if there are none.
    pub(super) authorities: Option<&'a [u8]>,
    /// Own certificate, followed by those that lead to its authority, in PEM form.
    pub(super) certificate: Option<&'a [u8]>,
    pub(super) key: Option<&'a [u8]>,
    /// Oldest and newest version, 2 or 3 for TLS 1.2 and 1.3.
    pub(super) versions: (u8, u8),
    pub(super) alpn: Vec<Vec<u8>>,
}

/// One side's configuration; cheap to copy.
#[derive(Clone)]
pub(super) enum Context {
    Client(Arc<ClientConfig>),
    Server(Arc<ServerConfig>),
}

/// The driver's wall clock decides whether a certificate has expired.
#[derive(Debug)]
struct DriverClock;

impl TimeProvider for DriverClock {
    fn current_time(&self) -> Option<UnixTime> {
        let seconds = Ctx::current().wall().as_secs();
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

/// Trusts everybody; that the other side has the key of the certificate it shows is still checked.
#[derive(Debug)]
struct Anybody(Arc<CryptoProvider>);

impl ServerCertVerifier for Anybody {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, signature, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

fn certificates(pem: &[u8], what: &'static str) -> Result<Vec<CertificateDer<'static>>, ContextError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    match found {
        Ok(found) if !found.is_empty() => Ok(found),
        _ => Err(ContextError::Pem { what }),
    }
}

type Identity = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

impl Settings<'_> {
    fn identity(&self) -> Result<Option<Identity>, ContextError> {
        let (Some(certificate), Some(key)) = (self.certificate, self.key) else { return Ok(None) };
        let key =
            PrivateKeyDer::from_pem_slice(key).map_err(|_| ContextError::Pem { what: "private key" })?;
        Ok(Some((certificates(certificate, "certificate")?, key)))
    }

    fn roots(&self) -> Result<RootCertStore, ContextError> {
        let mut roots = RootCertStore::empty();
        match self.authorities {
            Some(pem) => {
                for certificate in certificates(pem, "certificate of an authority")? {
                    roots.add(certificate)?;
                }
            }
            None if self.server => {}
            None => roots.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned()),
        }
        Ok(roots)
    }

    fn versions(&self) -> Vec<&'static SupportedProtocolVersion> {
        let (oldest, newest) = self.versions;
        [(2, &rustls::version::TLS12), (3, &rustls::version::TLS13)]
            .into_iter()
            .filter(|(version, _)| (oldest..=newest).contains(version))
            .map(|(_, version)| version)
            .collect()
    }

    /// Makes the context.
    pub(super) fn build(&self) -> Result<Context, ContextError> {
        if self.alpn.len() > 16 || self.alpn.iter().any(|name| name.is_empty() || name.len() > 255) {
            return Err(ContextError::Protocols);
        }
        let provider = Arc::new(ring::default_provider());
        let (clock, versions) = (Arc::new(DriverClock), self.versions());
        if self.server {
            let (chain, key) = self.identity()?.ok_or(ContextError::NoIdentity)?;
            let builder = ServerConfig::builder_with_details(provider.clone(), clock)
                .with_protocol_versions(&versions)?;
            let builder = if self.verify {
                let roots = Arc::new(self.roots()?);
                let verifier = WebPkiClientVerifier::builder_with_provider(roots, provider).build()?;
                builder.with_client_cert_verifier(verifier)
            } else {
                builder.with_no_client_auth()
            };
            let mut config = builder.with_single_cert(chain, key)?;
            config.alpn_protocols.clone_from(&self.alpn);
            // Nobody resumes sessions here, and a client that only sends never reads the tickets.
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
            return Ok(Context::Server(Arc::new(config)));
        }
        let builder =
            ClientConfig::builder_with_details(provider.clone(), clock).with_protocol_versions(&versions)?;
        let builder = if self.verify {
            builder.with_root_certificates(self.roots()?)
        } else {
            builder.dangerous().with_custom_certificate_verifier(Arc::new(Anybody(provider)))
        };
        let mut config = match self.identity()? {
            Some((chain, key)) => builder.with_client_auth_cert(chain, key)?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols.clone_from(&self.alpn);
        // Memory for sessions is set aside at once, for servers that most instances never see twice.
        config.resumption = Resumption::disabled();
        Ok(Context::Client(Arc::new(config)))
    }
}

impl Context {
    /// Begins a session; a client's certificate check wants the server's name or address.
    pub(super) fn session(&self, server: &str) -> Result<Connection, ContextError> {
        Ok(match self {
            Context::Client(config) => {
                let name = ServerName::try_from(server.to_owned())
                    .map_err(|_| ContextError::Name(server.to_owned()))?;
                Connection::Client(ClientConnection::new(config.clone(), name)?)
            }
            Context::Server(config) => Connection::Server(ServerConnection::new(config.clone())?),
        })
    }
}

//! How a splayd knows its controller: by the fingerprint of its certificate, or by the system's
//! roots where the join token names none. An expired certificate is refused either way.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, OtherError, RootCertStore, SignatureScheme,
};
use sha2::{Digest as _, Sha256};
use x509_parser::prelude::{FromDer as _, X509Certificate};

/// Why the controller's certificate is not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Distrust {
    /// It is another one than the token names.
    #[error("the controller shows another certificate (sha256 {0}) than the one this splayd has joined")]
    Fingerprint(String),
    /// Its time is over.
    #[error("the controller's certificate expired {0}; renew it there")]
    Expired(String),
    /// Its time has not come.
    #[error("the controller's certificate is valid only from {0}; are both clocks right?")]
    NotYet(String),
    /// It cannot be read.
    #[error("the controller's certificate cannot be read")]
    Damaged,
    /// There is nothing to check it against.
    #[error("this system has no root certificates, and the join token names no fingerprint")]
    NoRoots,
}

/// SHA-256 of a certificate.
pub fn fingerprint(certificate: &CertificateDer<'_>) -> [u8; 32] {
    Sha256::digest(certificate.as_ref()).into()
}

/// Settings of TLS connections to the controller whose certificate has this fingerprint (in
/// hexadecimal; empty: any the system's roots vouch for).
pub fn client_config(pinned: &str) -> Result<ClientConfig, Distrust> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier: Arc<dyn ServerCertVerifier> = if pinned.is_empty() {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let builder = WebPkiServerVerifier::builder_with_provider(roots.into(), provider.clone());
        builder.build().map_err(|_| Distrust::NoRoots)?
    } else {
        Arc::new(Pinned { fingerprint: pinned.to_lowercase(), provider: provider.clone() })
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    Ok(config)
}

/// Accepts one certificate.
#[derive(Debug)]
struct Pinned {
    fingerprint: String,
    provider: Arc<CryptoProvider>,
}

fn check_time(certificate: &[u8], now: i64) -> Result<(), Distrust> {
    let (_, parsed) = X509Certificate::from_der(certificate).map_err(|_| Distrust::Damaged)?;
    let validity = parsed.validity();
    if now > validity.not_after.timestamp() {
        return Err(Distrust::Expired(validity.not_after.to_string()));
    }
    if now < validity.not_before.timestamp() {
        return Err(Distrust::NotYet(validity.not_before.to_string()));
    }
    Ok(())
}

impl ServerCertVerifier for Pinned {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let distrust = |why: Distrust| Error::from(CertificateError::Other(OtherError(Arc::new(why))));
        let shown = hex::encode(fingerprint(end_entity));
        if shown != self.fingerprint {
            return Err(distrust(Distrust::Fingerprint(shown)));
        }
        check_time(end_entity, i64::try_from(now.as_secs()).unwrap_or(i64::MAX)).map_err(distrust)?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, known)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let known = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, known)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// What went wrong with TLS, in a line for the administrator.
pub fn explain(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(CertificateError::Other(OtherError(why)))) => why.to_string(),
        Some(Error::InvalidCertificate(
            CertificateError::Expired | CertificateError::ExpiredContext { .. },
        )) => "the controller's certificate has expired; renew it there".to_owned(),
        Some(Error::InvalidCertificate(CertificateError::UnknownIssuer)) => {
            "no root certificate of this system vouches for the controller's certificate".to_owned()
        }
        _ => error.to_string(),
    }
}

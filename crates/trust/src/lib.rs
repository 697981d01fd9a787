//! How a controller is known: by the fingerprint of its certificate, or by the system's roots where
//! none is named. An expired certificate is refused either way.

use std::sync::{Arc, OnceLock};

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
    #[error("the controller shows another certificate (sha256 {0}) than the one that was trusted")]
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
    #[error("this system has no root certificates, and no fingerprint is named")]
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

/// Signatures are checked in the same way whichever certificates are accepted.
macro_rules! signatures {
    () => {
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
    };
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

    signatures!();
}

/// Accepts every certificate, once it is remembered.
#[derive(Debug)]
struct Asking {
    shown: Arc<OnceLock<String>>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Asking {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let _ = self.shown.set(hex::encode(fingerprint(end_entity)));
        Ok(ServerCertVerified::assertion())
    }

    signatures!();
}

/// Settings that accept any certificate and remember its fingerprint: for showing it to somebody
/// who decides. Nothing secret may be sent over such a connection.
pub fn asking_config() -> (ClientConfig, Arc<OnceLock<String>>) {
    let shown = Arc::new(OnceLock::new());
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Arc::new(Asking { shown: shown.clone(), provider: provider.clone() });
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .expect("ring speaks TLS 1.2 and 1.3")
        .dangerous()
        .with_custom_certificate_verifier(verifier)
        .with_no_client_auth();
    (config, shown)
}

/// What went wrong with TLS, in a line for whom it concerns.
pub fn explain(error: &std::io::Error) -> String {
    match error.get_ref().and_then(|inner| inner.downcast_ref::<Error>()) {
        Some(error) => explain_tls(error),
        None => error.to_string(),
    }
}

/// Like [`explain`], of the error itself.
pub fn explain_tls(error: &Error) -> String {
    match error {
        Error::InvalidCertificate(CertificateError::Other(OtherError(why))) => why.to_string(),
        Error::InvalidCertificate(CertificateError::Expired | CertificateError::ExpiredContext { .. }) => {
            "the controller's certificate has expired; renew it there".to_owned()
        }
        Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "no root certificate of this system vouches for the controller's certificate".to_owned()
        }
        _ => error.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The certificate of somebody at `localhost`, and what a client with `config` says to it.
    fn meet(config: ClientConfig, key: &rcgen::CertifiedKey<rcgen::KeyPair>) -> Result<(), std::io::Error> {
        let chain = vec![key.cert.der().clone()];
        let private = rustls::pki_types::PrivateKeyDer::try_from(key.signing_key.serialize_der()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let server = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_no_client_auth()
            .with_single_cert(chain, private)
            .unwrap();
        let mut server = rustls::ServerConnection::new(Arc::new(server)).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let mut client = rustls::ClientConnection::new(Arc::new(config), name).unwrap();
        let mut wire = Vec::new();
        while client.is_handshaking() || server.is_handshaking() {
            wire.clear();
            client.write_tls(&mut wire).unwrap();
            server.read_tls(&mut wire.as_slice()).unwrap();
            let _ = server.process_new_packets();
            wire.clear();
            while server.wants_write() {
                server.write_tls(&mut wire).unwrap();
            }
            let mut rest = wire.as_slice();
            while !rest.is_empty() {
                client.read_tls(&mut rest).unwrap();
                client.process_new_packets().map_err(std::io::Error::other)?;
            }
        }
        Ok(())
    }

    fn key() -> rcgen::CertifiedKey<rcgen::KeyPair> {
        rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap()
    }

    #[test]
    fn the_pinned_certificate_and_no_other() {
        let (ours, other) = (key(), key());
        let pinned = hex::encode(fingerprint(ours.cert.der()));
        meet(client_config(&pinned.to_uppercase()).unwrap(), &ours).unwrap();
        let shown = hex::encode(fingerprint(other.cert.der()));
        let error = explain(&meet(client_config(&pinned).unwrap(), &other).unwrap_err());
        let told = format!(
            "the controller shows another certificate (sha256 {shown}) than the one that was trusted"
        );
        assert_eq!(error, told);
    }

    #[test]
    fn an_unknown_certificate_is_shown_and_not_trusted_by_itself() {
        let key = key();
        let (config, shown) = asking_config();
        meet(config, &key).unwrap();
        assert_eq!(shown.get(), Some(&hex::encode(fingerprint(key.cert.der()))));
    }

    #[test]
    fn an_expired_certificate_is_refused() {
        let mut parameters = rcgen::CertificateParams::new(["localhost".to_owned()]).unwrap();
        parameters.not_after = rcgen::date_time_ymd(2020, 1, 1);
        let signing_key = rcgen::KeyPair::generate().unwrap();
        let cert = parameters.self_signed(&signing_key).unwrap();
        let pinned = hex::encode(fingerprint(cert.der()));
        let key = rcgen::CertifiedKey { cert, signing_key };
        let error = explain(&meet(client_config(&pinned).unwrap(), &key).unwrap_err());
        assert!(error.starts_with("the controller's certificate expired"), "{error}");
    }
}

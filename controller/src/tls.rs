//! The certificate: one of our own, made at the first start and again before it expires, or one
//! that is given.

use std::fs;
use std::io::Write as _;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use sha2::{Digest as _, Sha256};

use crate::config::Config;

/// Years an own certificate is good for. Splayds know it by its digest, so a new one means new join
/// tokens: that should be rare.
const YEARS: i16 = 10;

/// An own certificate is made anew when it has less than so many days left.
const RENEW_DAYS: i64 = 30;

/// Why there is no certificate.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file cannot be read or written.
    #[error("{0}: {1}")]
    File(PathBuf, #[source] std::io::Error),
    /// A file does not hold what it should.
    #[error("{0}: {1}")]
    Content(PathBuf, String),
    /// An own certificate cannot be made.
    #[error("make a certificate: {0}")]
    Make(#[from] rcgen::Error),
    /// Certificate and key do not fit.
    #[error("certificate and key do not fit: {0}")]
    Fit(#[from] rustls::Error),
}

/// What connections are accepted with.
pub struct Identity {
    /// For rustls.
    pub server: Arc<ServerConfig>,
    /// SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
}

/// Finds or makes the certificate.
pub fn identity(config: &Config) -> Result<Identity, TlsError> {
    let (cert, key) = match (&config.cert, &config.key) {
        (Some(cert), Some(key)) => (cert.clone(), key.clone()),
        _ => own(&config.data, &config.names)?,
    };
    let content = |path: &Path, error: rustls::pki_types::pem::Error| {
        TlsError::Content(path.to_owned(), error.to_string())
    };
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_file_iter(&cert)
        .and_then(Iterator::collect)
        .map_err(|error| content(&cert, error))?;
    let first =
        chain.first().ok_or_else(|| TlsError::Content(cert.clone(), "no certificate in it".to_owned()))?;
    let fingerprint = Sha256::digest(first).into();
    let key = PrivateKeyDer::from_pem_file(&key).map_err(|error| content(&key, error))?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut server = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    server.alpn_protocols = vec![b"http/1.1".to_vec()];
    Ok(Identity { server: Arc::new(server), fingerprint })
}

/// Digest of the certificate in a data folder, for join tokens made beside a running controller.
pub fn fingerprint_of(cert: &Path) -> Result<[u8; 32], TlsError> {
    let der = CertificateDer::from_pem_file(cert)
        .map_err(|error| TlsError::Content(cert.to_owned(), error.to_string()))?;
    Ok(Sha256::digest(&der).into())
}

/// The files of an own certificate; made where they are missing or about to expire.
fn own(data: &Path, names: &[String]) -> Result<(PathBuf, PathBuf), TlsError> {
    let folder = data.join("tls");
    let (cert, key, expiry) = (folder.join("cert.pem"), folder.join("key.pem"), folder.join("expires"));
    let today = jiff::Zoned::now().date();
    if cert.exists() && key.exists() {
        let text = fs::read_to_string(&expiry).map_err(|error| TlsError::File(expiry.clone(), error))?;
        let until: jiff::civil::Date = text
            .trim()
            .parse()
            .map_err(|error: jiff::Error| TlsError::Content(expiry.clone(), error.to_string()))?;
        let left = today.until((jiff::Unit::Day, until)).map_or(0, |span| i64::from(span.get_days()));
        if left >= RENEW_DAYS {
            return Ok((cert, key));
        }
        tracing::warn!(
            "the certificate expires on {until}: a new one is made; splayds that know the old one need new join tokens"
        );
    }
    let mut all = vec!["localhost".to_owned(), "127.0.0.1".to_owned(), "::1".to_owned()];
    all.extend(names.iter().cloned());
    let mut params = rcgen::CertificateParams::new(all)?;
    params.distinguished_name.push(rcgen::DnType::CommonName, "SPLAY controller");
    let until = jiff::civil::date(today.year() + YEARS, today.month(), today.day().min(28));
    let day = |date: jiff::civil::Date| {
        rcgen::date_time_ymd(date.year().into(), date.month() as u8, date.day() as u8)
    };
    // A splayd's clock may be behind.
    params.not_before = day(today.yesterday().unwrap_or(today));
    params.not_after = day(until);
    let pair = rcgen::KeyPair::generate()?;
    let made = params.self_signed(&pair)?;
    let file = |path: &Path| {
        let path = path.to_owned();
        move |error| TlsError::File(path, error)
    };
    fs::create_dir_all(&folder).map_err(file(&folder))?;
    write_private(&key, pair.serialize_pem().as_bytes()).map_err(file(&key))?;
    write_private(&expiry, until.to_string().as_bytes()).map_err(file(&expiry))?;
    // Last: with it the identity is complete.
    write_private(&cert, made.pem().as_bytes()).map_err(file(&cert))?;
    Ok((cert, key))
}

/// Writes a file that only its owner may read.
pub fn write_private(path: &Path, bytes: &[u8]) -> std::io::Result<()> {
    let part = path.with_extension("part");
    let _ = fs::remove_file(&part);
    let mut file = fs::OpenOptions::new().create_new(true).write(true).mode(0o600).open(&part)?;
    file.write_all(bytes)?;
    file.sync_all()?;
    fs::rename(&part, path)
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt as _;

    use super::*;

    #[test]
    fn an_own_certificate_is_kept_and_renewed_in_time() {
        let folder = tempfile::tempdir().unwrap();
        let config = Config { data: folder.path().to_owned(), ..Config::default() };
        let first = identity(&config).unwrap().fingerprint;
        assert_eq!(identity(&config).unwrap().fingerprint, first);
        let tls = folder.path().join("tls");
        assert_eq!(fingerprint_of(&tls.join("cert.pem")).unwrap(), first);
        assert_eq!(fs::metadata(tls.join("key.pem")).unwrap().permissions().mode() & 0o777, 0o600);
        let soon = jiff::Zoned::now().date().checked_add(jiff::Span::new().days(29)).unwrap();
        fs::write(tls.join("expires"), soon.to_string()).unwrap();
        assert_ne!(identity(&config).unwrap().fingerprint, first);
    }
}

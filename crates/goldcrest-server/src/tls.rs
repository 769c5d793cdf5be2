//! TLS 1.2 and 1.3, for HTTP and MQTT: certificate and key from PEM files.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, bail};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, version};

/// An address with a certificate.
#[derive(Debug, Clone)]
pub struct TlsSettings {
    /// Where to listen.
    pub listen: SocketAddr,
    /// PEM file: the certificate, then those that signed it.
    pub certificate: PathBuf,
    /// PEM file of the private key.
    pub key: PathBuf,
}

/// What makes TLS of a connection.
pub(crate) fn acceptor(settings: &TlsSettings) -> anyhow::Result<TlsAcceptor> {
    let chain = read_chain(&settings.certificate)?;
    let key = PrivateKeyDer::from_pem_file(&settings.key)
        .with_context(|| format!("no private key in {}: it must be PEM", settings.key.display()))?;
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_protocol_versions(&[&version::TLS13, &version::TLS12])
        .context("TLS 1.2 and 1.3 are not there")?
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .with_context(|| format!("{} is not the key of {}", settings.key.display(), settings.certificate.display()))?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

fn read_chain(path: &Path) -> anyhow::Result<Vec<CertificateDer<'static>>> {
    let read = || -> Result<Vec<_>, _> { CertificateDer::pem_file_iter(path)?.collect() };
    let chain = read().with_context(|| format!("no certificate in {}: it must be PEM", path.display()))?;
    if chain.is_empty() {
        bail!("no certificate in {}: it must be PEM", path.display());
    }
    Ok(chain)
}

//! TLS: whose certificates are believed, and which is shown.

use std::fmt;

use redis::{Client, ClientTlsConfig, ConnectionInfo, RedisResult, TlsCertificates};
use rustls::{
    ClientConfig, RootCertStore,
    crypto::{CryptoProvider, ring},
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};

/// What was asked for, in PEM.
#[derive(Clone, Default)]
pub(crate) struct Tls {
    pub(crate) ca: Option<Vec<u8>>,
    pub(crate) client: Option<(Vec<u8>, Vec<u8>)>,
}

impl Tls {
    pub(crate) fn is_asked_for(&self) -> bool {
        self.ca.is_some() || self.client.is_some()
    }

    /// Says what is wrong with the certificates: once, and not at each connection.
    pub(crate) fn check(&self) -> Result<(), String> {
        let mut roots = RootCertStore::empty();
        if let Some(pem) = &self.ca {
            for certificate in certificates("the CA's certificate", pem)? {
                let added = roots.add(certificate);
                added.map_err(|error| format!("the CA's certificate: {error}"))?;
            }
        }
        let Some((chain, key)) = &self.client else {
            return Ok(());
        };
        let chain = certificates("the client's certificate", chain)?;
        let key = PrivateKeyDer::from_pem_slice(key);
        let key = key.map_err(|error| format!("the client's key: {error}"))?;
        ClientConfig::builder_with_provider(ring::default_provider().into())
            .with_safe_default_protocol_versions()
            .map_err(|error| error.to_string())?
            .with_root_certificates(roots)
            .with_client_auth_cert(chain, key)
            .map(drop)
            .map_err(|error| format!("the client's certificate and key: {error}"))
    }

    pub(crate) fn client(&self, info: ConnectionInfo) -> RedisResult<Client> {
        if !self.is_asked_for() {
            return Client::open(info);
        }
        let client = self.client.clone();
        let certificates = TlsCertificates {
            client_tls: client.map(|(client_cert, client_key)| ClientTlsConfig {
                client_cert,
                client_key,
            }),
            root_cert: self.ca.clone(),
        };
        Client::build_with_tls(info, certificates)
    }
}

impl fmt::Debug for Tls {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls")
            .field("ca", &self.ca.is_some())
            .field("client", &self.client.is_some())
            .finish()
    }
}

fn certificates(what: &str, pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, String> {
    let read = CertificateDer::pem_slice_iter(pem).collect::<Result<Vec<_>, _>>();
    match read {
        Ok(none) if none.is_empty() => Err(format!("{what}: there is none in it")),
        Ok(some) => Ok(some),
        Err(error) => Err(format!("{what}: {error}")),
    }
}

/// The client takes the process's cryptography, and without a choice between several it would panic.
/// Only once a connection is made, so that an application can choose first.
pub(crate) fn choose_cryptography() {
    if CryptoProvider::get_default().is_none() {
        // Somebody else may have been first.
        let _chosen = ring::default_provider().install_default();
    }
}

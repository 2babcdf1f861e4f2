//! Which certificates of servers are trusted: those that the system's CAs or given ones vouch for, and those that were given
//! themselves, to this program or to the system (`SSL_CERT_FILE`).
//!
//! Who makes a registry's certificate with one `openssl req -x509` gets one that says it is a CA (`CA:TRUE`), and hands it to
//! clients as it is. The chain of rules that leads from a server to a CA has no room for that: a CA's certificate is no
//! server's. But there is nothing to find out: whoever was handed the very certificate of a server has been told to trust
//! it. Go's programs, which Docker and the containers tools are, take it so; and so does this, under the same conditions:
//! name, time and purpose of the certificate are checked, and that the server has its key.

mod der;
mod identity;

pub(super) use identity::read as identity;

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    client::verify_server_name,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
    sign::{CertifiedKey, SingleCertAndKey},
};
use rustls_platform_verifier::Verifier;
use std::sync::Arc;

/// Reads the certificates of a PEM text; `None` if it has none, or what looks like one and is none.
pub(super) fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    // A CA may be of version 1, which no server may.
    let valid =
        |certificate: &CertificateDer<'static>| RootCertStore::empty().add(certificate.clone()).is_ok();
    (!found.is_empty() && found.iter().all(valid)).then_some(found)
}

/// Whose word is taken for it that a server is the one it says it is.
pub(super) enum Trust {
    /// These certificates', and those of the system's CAs.
    Given(Vec<CertificateDer<'static>>),
    /// The server's own.
    Anyone,
}

/// A TLS configuration of a client that is `identity`, if it is asked.
pub(super) fn configuration(
    trust: Trust,
    identity: Option<Arc<CertifiedKey>>,
    provider: Arc<CryptoProvider>,
) -> Result<ClientConfig, Error> {
    let verifier: Arc<dyn ServerCertVerifier> = match trust {
        Trust::Given(given) => {
            let chains = Verifier::new_with_extra_roots(given.clone(), provider.clone())?;
            Arc::new(Given { given, system: system_certificates, chains })
        }
        Trust::Anyone => Arc::new(Anyone(provider.clone())),
    };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(verifier);
    let mut configuration = match identity {
        Some(identity) => builder.with_client_cert_resolver(Arc::new(SingleCertAndKey::from(identity))),
        None => builder.with_no_client_auth(),
    };
    configuration.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(configuration)
}

/// What the system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` name other places. What cannot be read is no part of it.
fn system_certificates() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
}

/// Checks nothing: what `--insecure-registry` asks for.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
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
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

/// Trusts given certificates as they are, and all others by their chain.
#[derive(Debug)]
struct Given<V> {
    given: Vec<CertificateDer<'static>>,
    /// Reads what the system trusts: only where a chain does not do, for it takes milliseconds.
    system: fn() -> Vec<CertificateDer<'static>>,
    chains: V,
}

/// Whether a server shows a certificate that is in `trusted`, and may.
fn is_among(
    trusted: &[CertificateDer<'_>],
    shown: &CertificateDer<'_>,
    name: &ServerName<'_>,
    now: UnixTime,
) -> bool {
    if !trusted.contains(shown) {
        return false;
    }
    let named = |parsed: &ParsedCertificate<'_>| verify_server_name(parsed, name).is_ok();
    ParsedCertificate::try_from(shown).is_ok_and(|parsed| named(&parsed))
        && der::Terms::of(shown).is_some_and(|terms| terms.allow_server(now.as_secs()))
}

impl<V: ServerCertVerifier> ServerCertVerifier for Given<V> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        if is_among(&self.given, end_entity, server_name, now) {
            return Ok(ServerCertVerified::assertion());
        }
        let verified =
            self.chains.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
        if verified.is_err() && is_among(&(self.system)(), end_entity, server_name, now) {
            return Ok(ServerCertVerified::assertion());
        }
        verified
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls12_signature(message, certificate, signed)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.chains.verify_tls13_signature(message, certificate, signed)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.chains.supported_verify_schemes()
    }
}

#[cfg(test)]
mod tests;

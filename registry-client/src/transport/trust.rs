//! Which certificates of servers are trusted: those that the system's CAs or given ones vouch for, and those that were given
//! themselves, to this program or to the system (`SSL_CERT_FILE`).
//!
//! Who makes a registry's certificate with one `openssl req -x509` gets one that says it is a CA (`CA:TRUE`), and hands it to
//! clients as it is. The chain of rules that leads from a server to a CA has no room for that: a CA's certificate is no
//! server's. But there is nothing to find out: whoever was handed the very certificate of a server has been told to trust
//! it. Go's programs, which Docker and the containers tools are, take it so; and so does this, under the same conditions:
//! name, time and purpose of the certificate are checked, and that the server has its key.

mod der;

use rustls::{
    ClientConfig, DigitallySignedStruct, Error, SignatureScheme,
    client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier},
    client::verify_server_name,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject},
    server::ParsedCertificate,
};
use rustls_platform_verifier::Verifier;
use std::sync::Arc;

/// Reads the certificates of a PEM text; `None` if it has none, or what looks like one and is none.
pub(super) fn certificates(pem: &[u8]) -> Option<Vec<CertificateDer<'static>>> {
    let found: Vec<_> = CertificateDer::pem_slice_iter(pem).collect::<Result<_, _>>().ok()?;
    let valid = |certificate| ParsedCertificate::try_from(certificate).is_ok();
    (!found.is_empty() && found.iter().all(valid)).then_some(found)
}

/// Reads who we are: certificates, our own first, and its key, of one PEM text.
pub(super) fn identity(pem: &[u8]) -> Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)> {
    Some((certificates(pem)?, PrivateKeyDer::from_pem_slice(pem).ok()?))
}

/// A TLS configuration that trusts `given` beside the system's CAs.
pub(super) fn configuration(
    given: Vec<CertificateDer<'static>>,
    identity: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
) -> Result<ClientConfig, Error> {
    let provider = CryptoProvider::get_default().cloned();
    let provider =
        provider.ok_or_else(|| Error::General("there is no provider of cryptography".to_owned()))?;
    let chains = Verifier::new_with_extra_roots(given.clone(), provider.clone())?;
    let verifier = Given { given, system: system_certificates, chains };
    let builder = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier));
    let mut configuration = match identity {
        Some((certificates, key)) => builder.with_client_auth_cert(certificates, key)?,
        None => builder.with_no_client_auth(),
    };
    configuration.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(configuration)
}

/// What the system trusts; `SSL_CERT_FILE` and `SSL_CERT_DIR` name other places. What cannot be read is no part of it.
fn system_certificates() -> Vec<CertificateDer<'static>> {
    rustls_native_certs::load_native_certs().certs
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

//! Who we are to a server that asks: a client certificate with its key.
//!
//! What is in the certificate is the server's business. Those of version 1 (which `openssl x509 -req` makes where no extensions
//! are asked for) are good for servers in Go and others, though `rustls` reads none of a server; so they are not looked into
//! further than to see that the key belongs to them.

use super::der;
use rustls::{
    Error, InconsistentKeys,
    crypto::CryptoProvider,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
    sign::{CertifiedKey, SigningKey},
};
use std::sync::Arc;

/// Why a text is no client certificate with its key.
#[derive(Debug, thiserror::Error)]
pub(in crate::transport) enum IdentityError {
    /// No certificate.
    #[error("the *.cert file is no PEM file of certificates")]
    NoCertificate,
    /// No key.
    #[error("the *.key file is no PEM file of a private key that is not encrypted")]
    NoKey,
    /// A key of an algorithm that is not known.
    #[error("the key cannot be used: {0}")]
    Key(Error),
    /// The key of another certificate.
    #[error("the key in the *.key file is not that of the certificate in the *.cert file")]
    Mismatch,
}

/// Reads certificates, our own first, and its key, of one PEM text.
pub(in crate::transport) fn read(
    pem: &[u8],
    provider: &CryptoProvider,
) -> Result<Arc<CertifiedKey>, IdentityError> {
    let chain: Vec<_> = CertificateDer::pem_slice_iter(pem)
        .collect::<Result<_, _>>()
        .map_err(|_| IdentityError::NoCertificate)?;
    let own = chain.first().and_then(|own| der::public_key(own)).ok_or(IdentityError::NoCertificate)?;
    let key = PrivateKeyDer::from_pem_slice(pem).map_err(|_| IdentityError::NoKey)?;
    let key = provider.key_provider.load_private_key(key).map_err(IdentityError::Key)?;
    let own = own.to_vec();
    let certified = CertifiedKey::new(chain, key);
    let matches = match certified.keys_match() {
        Ok(()) | Err(Error::InconsistentKeys(InconsistentKeys::Unknown)) => true,
        Err(Error::InconsistentKeys(_)) => false,
        // A certificate that rustls does not read.
        Err(_) => is_key_of(&*certified.key, &own),
    };
    if matches { Ok(Arc::new(certified)) } else { Err(IdentityError::Mismatch) }
}

/// Whether a certificate with that `SubjectPublicKeyInfo` is for this key; a key that does not tell is believed.
fn is_key_of(key: &dyn SigningKey, public: &[u8]) -> bool {
    key.public_key().is_none_or(|own| own.as_ref() == public)
}

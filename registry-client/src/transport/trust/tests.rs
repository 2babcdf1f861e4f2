use super::*;
use std::{fs, process::Command};

const HOUR: u64 = 3600;

/// A certificate that signed itself, of `openssl`; `None` where that is not there.
fn self_signed(extensions: &[&str]) -> Option<CertificateDer<'static>> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("certificate.pem");
    let mut command = Command::new("openssl");
    command.args(["req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=test"]);
    command.args([
        "-addext",
        "subjectAltName=DNS:registry.test,IP:127.0.0.1",
        "-keyout",
        "/dev/null",
        "-out",
    ]);
    command.arg(&path);
    for extension in extensions {
        command.args(["-addext", extension]);
    }
    match command.output() {
        Ok(output) => {
            assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
            Some(certificates(&fs::read(&path).unwrap()).unwrap().remove(0))
        }
        Err(error) => {
            let required = std::env::var_os("SLIPWAY_REQUIRE_TOOLS").is_some_and(|value| value == "1");
            assert!(!required, "openssl is required (SLIPWAY_REQUIRE_TOOLS=1): {error}");
            None
        }
    }
}

fn verified(given: &[&CertificateDer<'static>], shown: &CertificateDer<'_>, name: &str, later: u64) -> bool {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let provider = CryptoProvider::get_default().unwrap().clone();
    let given: Vec<CertificateDer<'static>> = given.iter().map(|given| (*given).clone()).collect();
    let chains = Verifier::new_with_extra_roots(given.clone(), provider).unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(UnixTime::now().as_secs() + later));
    Given { given, system: Vec::new, chains }.verify_server_cert(shown, &[], &name, &[], now).is_ok()
}

#[test]
fn a_certificate_that_was_given_is_trusted_as_it_is() {
    let (Some(own), Some(other)) = (self_signed(&[]), self_signed(&[])) else { return };
    for (given, shown, name, later, trusted) in [
        (&own, &own, "registry.test", 0, true),
        (&own, &own, "127.0.0.1", 0, true),
        (&own, &own, "127.0.0.1", 47 * HOUR, true),
        // Another name, another time, another certificate.
        (&own, &own, "registry.example", 0, false),
        (&own, &own, "127.0.0.2", 0, false),
        (&own, &own, "127.0.0.1", 49 * HOUR, false),
        (&own, &other, "127.0.0.1", 0, false),
    ] {
        assert_eq!(verified(&[given], shown, name, later), trusted, "{name} in {later} s");
    }
    assert!(!verified(&[], &own, "127.0.0.1", 0), "nobody vouches for it");
}

#[test]
fn a_certificate_that_the_system_trusts_is_trusted_as_it_is() {
    // As if it had been the one in SSL_CERT_FILE; a function has no place for more.
    static SYSTEM: std::sync::OnceLock<CertificateDer<'static>> = std::sync::OnceLock::new();
    let (Some(own), Some(other)) = (self_signed(&[]), self_signed(&[])) else { return };
    SYSTEM.set(own.clone()).unwrap();
    let _ = rustls::crypto::ring::default_provider().install_default();
    let provider = CryptoProvider::get_default().unwrap().clone();
    let chains = Verifier::new_with_extra_roots([own.clone()], provider).unwrap();
    let verifier =
        Given { given: Vec::new(), system: || SYSTEM.get().cloned().into_iter().collect(), chains };
    let trusted = |shown: &CertificateDer<'_>, name: &str| {
        let name = ServerName::try_from(name.to_owned()).unwrap();
        verifier.verify_server_cert(shown, &[], &name, &[], UnixTime::now()).is_ok()
    };
    assert!(trusted(&own, "registry.test"));
    assert!(!trusted(&own, "registry.example") && !trusted(&other, "registry.test"));
}

#[test]
fn purposes_count() {
    for (usage, trusted) in [
        ("extendedKeyUsage=serverAuth", true),
        ("extendedKeyUsage=clientAuth,serverAuth", true),
        ("extendedKeyUsage=anyExtendedKeyUsage", true),
        ("extendedKeyUsage=critical,clientAuth", false),
        ("extendedKeyUsage=codeSigning", false),
    ] {
        let Some(own) = self_signed(&[usage]) else { return };
        assert_eq!(verified(&[&own], &own, "127.0.0.1", 0), trusted, "{usage}");
    }
    // One that is no CA needs none of this, and is trusted as before.
    let Some(own) = self_signed(&["basicConstraints=critical,CA:FALSE"]) else { return };
    assert!(verified(&[&own], &own, "127.0.0.1", 0));
}

#[test]
fn terms() {
    let Some(own) = self_signed(&[]) else { return };
    let terms = der::Terms::of(&own).unwrap();
    let now = UnixTime::now().as_secs();
    assert!(
        terms.allow_server(now)
            && !terms.allow_server(now - 24 * HOUR)
            && !terms.allow_server(now + 49 * HOUR)
    );
    for length in 0..own.len() {
        // What is cut off is no certificate, and no reason to panic.
        assert_eq!(der::Terms::of(&own[..length]), None, "{length}");
    }
}

#[test]
fn files() {
    let provider = rustls::crypto::ring::default_provider();
    for bad in [
        "",
        "nothing",
        "-----BEGIN CERTIFICATE-----\nx",
        "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
    ] {
        assert!(certificates(bad.as_bytes()).is_none(), "{bad}");
        assert!(identity(bad.as_bytes(), &provider).is_err(), "{bad}");
    }
}

/// A CA, a key, and a certificate of version 1 for it: without extensions openssl makes no other.
fn version_1() -> Option<(Vec<u8>, Vec<u8>)> {
    self_signed(&[])?;
    let directory = tempfile::tempdir().unwrap();
    let openssl = |arguments: &str| {
        let output =
            Command::new("openssl").args(arguments.split(' ')).current_dir(&directory).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    };
    openssl("req -new -newkey rsa:2048 -nodes -subj /CN=user -keyout key.pem -out request.pem");
    openssl("x509 -req -in request.pem -signkey key.pem -days 2 -out certificate.pem");
    let read = |name: &str| fs::read(directory.path().join(name)).unwrap();
    Some((read("certificate.pem"), read("key.pem")))
}

#[test]
fn client_certificates_of_version_1() {
    let Some((certificate, key)) = version_1() else { return };
    let provider = rustls::crypto::ring::default_provider();
    let pair = [certificate.clone(), key.clone()].concat();
    let read = identity(&pair, &provider).unwrap();
    assert!(ParsedCertificate::try_from(&read.cert[0]).is_err(), "it is one that no server may have");
    let (_, other_key) = version_1().unwrap();
    for (pem, want) in [
        ([certificate.clone(), other_key].concat(), "is not that of the certificate"),
        (certificate.clone(), "no PEM file of a private key"),
        (key, "no PEM file of certificates"),
        (
            b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n".to_vec(),
            "no PEM file of certificates",
        ),
    ] {
        let error = identity(&pem, &provider).unwrap_err().to_string();
        assert!(error.contains(want), "{error}");
    }
    assert_eq!(certificates(&certificate).map(|found| found.len()), Some(1), "a CA may be of version 1");
}

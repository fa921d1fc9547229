//! TLS, by a certificate that changes while the host runs.

use std::path::PathBuf;

use countersign_tests::build::host;
use countersign_tests::until;
use rcgen::{CertifiedKey, generate_simple_self_signed};
use reqwest::{Certificate, Client, Version};
use serde_json::Value;

use super::{Door, rest};
use crate::command::{Folder, Said};

/// A certificate and its key in files.
struct Files {
    _folder: Folder,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn new() -> Self {
        let folder = Folder::new();
        let (certificate, key) = (folder.path().join("cert.pem"), folder.path().join("key.pem"));
        Self { _folder: folder, certificate, key }
    }

    /// Puts others in their place, and returns a client that believes only these.
    fn renew(&self) -> Client {
        let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["127.0.0.1".to_owned()]).unwrap();
        std::fs::write(&self.certificate, cert.pem()).unwrap();
        std::fs::write(&self.key, signing_key.serialize_pem()).unwrap();
        let believed = Certificate::from_pem(cert.pem().as_bytes()).unwrap();
        // Each request shakes hands anew.
        Client::builder().tls_certs_only([believed]).pool_max_idle_per_host(0).build().unwrap()
    }

    async fn door(&self) -> Door {
        let path = |path: &PathBuf| path.to_str().unwrap().to_owned();
        let (certificate, key) = (path(&self.certificate), path(&self.key));
        Door::new(&[("COUNTERSIGN_TLS_CERT", &certificate), ("COUNTERSIGN_TLS_KEY", &key)]).await
    }
}

async fn is_well(client: &Client, door: &Door) -> Option<()> {
    let health: Value = client.get(format!("{}/healthz", door.host.url())).send().await.ok()?.json().await.ok()?;
    (health["status"] == "ok").then_some(())
}

#[tokio::test]
async fn a_host_with_a_certificate_speaks_tls_and_nothing_else() {
    let files = Files::new();
    let client = files.renew();
    let door = files.door().await;
    let url = format!("{}/healthz", door.host.url());
    let reply = client.get(&url).send().await.unwrap();
    assert_eq!((reply.status().as_u16(), reply.version()), (200, Version::HTTP_2), "ALPN chooses HTTP/2");
    assert_eq!(reply.headers()["strict-transport-security"], "max-age=31536000");
    let stranger = Client::new().get(&url).send().await.unwrap_err();
    assert!(stranger.is_connect(), "{stranger:?}");
    let plain = rest(&mut door.sent(b"GET /healthz HTTP/1.1\r\nhost: x\r\n\r\n").await).await;
    assert!(!plain.contains("HTTP/1.1"), "{plain}");
    door.host.assert_unharmed();
}

#[tokio::test]
async fn a_handshake_that_is_not_finished_is_given_up() {
    let files = Files::new();
    let client = files.renew();
    let path = |path: &PathBuf| path.to_str().unwrap().to_owned();
    let (certificate, key) = (path(&files.certificate), path(&files.key));
    let door = Door::new(&[
        ("COUNTERSIGN_TLS_CERT", &certificate),
        ("COUNTERSIGN_TLS_KEY", &key),
        ("COUNTERSIGN_HTTP_PATIENCE_MS", "600"),
        ("COUNTERSIGN_CONNECTIONS", "4"),
    ])
    .await;
    let mut held = vec![];
    for n in 0..8 {
        held.push(door.sent(if n % 2 == 0 { b"" } else { b"\x16\x03\x01\x02\x00" }).await);
    }
    until("others are served", async || is_well(&client, &door).await).await;
    door.says("a TLS handshake took too long").await;
}

#[tokio::test]
async fn a_new_certificate_is_taken_and_a_bad_one_is_not() {
    let files = Files::new();
    let first = files.renew();
    let door = files.door().await;
    is_well(&first, &door).await.expect("the first is used");

    let second = files.renew();
    door.host.hang_up();
    until("the second is used", async || is_well(&second, &door).await).await;
    assert_eq!(is_well(&first, &door).await, None);

    std::fs::write(&files.certificate, "nothing that is PEM").unwrap();
    door.host.hang_up();
    door.says("kept the TLS certificate as it was").await;
    is_well(&second, &door).await.expect("the second is still used");

    // Nobody needs to tell the host.
    let third = files.renew();
    until("the third is used", async || is_well(&third, &door).await).await;
    door.host.assert_unharmed();
}

#[tokio::test]
async fn a_host_that_cannot_read_its_certificate_says_so_and_does_not_start() {
    let folder = Folder::new();
    folder.write("good.pem", generate_simple_self_signed(["x".to_owned()]).unwrap().cert.pem());
    folder.write("other.pem", generate_simple_self_signed(["x".to_owned()]).unwrap().signing_key.serialize_pem());
    folder.write("empty.pem", "");
    for (certificate, key, why) in [
        ("nothing.pem", "other.pem", "nothing.pem"),
        ("good.pem", "nothing.pem", "nothing.pem"),
        ("empty.pem", "other.pem", "there is none in it"),
        ("good.pem", "empty.pem", "empty.pem"),
        ("good.pem", "other.pem", "the TLS certificate and its key"),
    ] {
        let arguments =
            ["serve", "--listen", "127.0.0.1:0", "--data-dir", "data", "--tls-cert", certificate, "--tls-key", key];
        let said = Said::by(folder.command(host(), &arguments)).await;
        assert!(said.code.is_some_and(|code| code != 0) && said.err.contains(why), "{certificate} {key}: {}", said.err);
    }
    let alone = Said::by(folder.command(host(), &["serve", "--tls-cert", "good.pem"])).await;
    assert!(alone.code == Some(2) && alone.err.contains("--tls-key"), "{}", alone.err);
}

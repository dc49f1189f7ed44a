//! The node's own certificate and key: when they are made, and what they are.

use crate::harness::fake_core::{FakeCore, NORMAL};
use crate::harness::https::{Https, fixture};
use crate::harness::node::{Node, Setup};
use crate::harness::panel::Panel;
use crate::harness::provision::on_path;
use crate::harness::trial::Missing;
use crate::harness::*;
use libtest_mimic::Trial;
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

pub fn trials() -> Vec<Trial> {
    Suite::new("node::pair")
        .once("a_missing_pair_is_made", made)
        .once("half_a_pair_is_made_anew", half)
        .once("a_pair_that_is_there_stays", stays)
        .once("a_missing_directory_is_an_error", no_directory)
        .once("cert_node_makes_the_pair", command)
        .done()
}

fn setup(scene: &Scene) -> Result<Setup> {
    let core = FakeCore::new(scene, NORMAL)?;
    Setup::new(scene, &core.executable())
}

/// What openssl says about a certificate.
fn described(certificate: &Path) -> Result<String> {
    let Some(openssl) = on_path("openssl") else {
        bail!(Missing("openssl is missing"));
    };
    let output = std::process::Command::new(openssl)
        .args(["x509", "-noout", "-text", "-in"])
        .arg(certificate)
        .output()?;
    ensure!(output.status.success(), "openssl cannot read {}", certificate.display());
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The pair of the specification: P-256, v3, self-signed CN=Gozargah with the same name as SAN, a hundred years.
fn is_as_specified(certificate: &Path, key: &Path) -> Result<()> {
    let text = described(certificate)?;
    for part in ["Version: 3 ", "P-256", "DNS:Gozargah"] {
        ensure!(text.contains(part), "no {part:?} in\n{text}");
    }
    for name in ["Issuer:", "Subject:"] {
        let line = text.lines().find_map(|line| line.trim().strip_prefix(name));
        let line = line.with_context(|| format!("a certificate has {name}"))?;
        ensure!(line.replace(' ', "") == "CN=Gozargah", "{name} {line}");
    }
    let year = |name: &str| -> Result<u32> {
        let line = text.lines().find(|line| line.trim().starts_with(name));
        let line = line.with_context(|| format!("a certificate has {name}"))?;
        Ok(line
            .trim_end_matches(" GMT")
            .rsplit(' ')
            .next()
            .unwrap_or_default()
            .parse()?)
    };
    let years = year("Not After :")? - year("Not Before:")?;
    ensure!((99..=100).contains(&years), "it is good for {years} years");
    let mode = std::fs::metadata(key)?.permissions().mode() & 0o777;
    ensure!(mode == 0o600, "the key's mode is {mode:o}");
    let text = std::fs::read_to_string(key)?;
    ensure!(
        text.starts_with("-----BEGIN PRIVATE KEY-----"),
        "the key is no PKCS#8 PEM"
    );
    Ok(())
}

/// The node shows what is in its file.
async fn shows(node: &Node, certificate: &Path) -> Result<()> {
    let panel = Panel::connect(node).await?;
    let shown = Https::open(node.address, panel.login()).await?.certificate()?;
    let file = CertificateDer::from_pem_file(certificate)?;
    ensure!(
        shown == file.as_ref(),
        "the node shows another certificate than its file's"
    );
    Ok(())
}

async fn made(scene: Scene) -> Result<()> {
    let setup = setup(&scene)?;
    let [certificate, key] = ["SSL_CERT_FILE", "SSL_KEY_FILE"].map(|name| Path::new(setup.get(name)));
    std::fs::remove_file(certificate)?;
    std::fs::remove_file(key)?;
    let node = setup.start().await?;
    is_as_specified(certificate, key)?;
    shows(&node, certificate).await?;
    // The next start takes the same.
    let first = std::fs::read(certificate)?;
    drop(node);
    let node = setup.start().await?;
    ensure!(std::fs::read(certificate)? == first, "it was made anew");
    shows(&node, certificate).await
}

async fn half(scene: Scene) -> Result<()> {
    for missing in ["SSL_CERT_FILE", "SSL_KEY_FILE"] {
        let setup = setup(&scene)?;
        let [certificate, key] = ["SSL_CERT_FILE", "SSL_KEY_FILE"].map(|name| Path::new(setup.get(name)));
        std::fs::remove_file(setup.get(missing))?;
        let node = setup.start().await.with_context(|| format!("without {missing}"))?;
        is_as_specified(certificate, key).with_context(|| format!("without {missing}"))?;
        shows(&node, certificate).await?;
    }
    Ok(())
}

async fn stays(scene: Scene) -> Result<()> {
    for (certificate, key) in [
        ("node-original.pem", "node-original.key"),
        ("node-v1-p256.pem", "node-p256.key"),
    ] {
        let mut setup = setup(&scene)?;
        setup.show(certificate, key)?;
        let node = setup.start().await?;
        let file = Path::new(setup.get("SSL_CERT_FILE"));
        ensure!(
            std::fs::read(file)? == std::fs::read(fixture(certificate))?,
            "{certificate} was changed"
        );
        shows(&node, file).await?;
    }
    Ok(())
}

async fn no_directory(scene: Scene) -> Result<()> {
    let mut setup = setup(&scene)?;
    let nowhere = scene.file("nowhere");
    setup.set("SSL_CERT_FILE", nowhere.join("cert.pem").display());
    setup.set("SSL_KEY_FILE", nowhere.join("key.pem").display());
    let output = setup.run().await?;
    let text = String::from_utf8_lossy(&output.stderr).into_owned();
    ensure!(output.status.code() == Some(1), "{}:\n{text}", output.status);
    ensure!(
        text.contains("SSL_") && text.contains("nowhere"),
        "the file is not named:\n{text}"
    );
    Ok(())
}

async fn command(scene: Scene) -> Result<()> {
    let setup = setup(&scene)?;
    let [certificate, key] = ["SSL_CERT_FILE", "SSL_KEY_FILE"].map(|name| Path::new(setup.get(name)));
    let before = std::fs::read(certificate)?;
    // What is there is not overwritten.
    let output = setup.run_with(&["cert", "node"]).await?;
    ensure!(
        !output.status.success(),
        "a pair was overwritten without being asked to"
    );
    ensure!(std::fs::read(certificate)? == before, "the certificate was changed");
    std::fs::remove_file(certificate)?;
    std::fs::remove_file(key)?;
    let output = setup.run_with(&["cert", "node"]).await?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    is_as_specified(certificate, key)?;
    let node = setup.start().await?;
    shows(&node, certificate).await
}

//! Sections 1.7 and 1.8: variables, exit codes, and what is said about wrong values.

use crate::harness::fake_core::{FakeCore, NORMAL};
use crate::harness::https::fixture;
use crate::harness::node::{Node, Setup};
use crate::harness::panel::Panel;
use crate::harness::process::binary;
use crate::harness::*;
use libtest_mimic::Trial;
use std::process::Output;

pub fn trials() -> Vec<Trial> {
    Suite::new("node::environment")
        .once("invalid_values_are_1_and_named_in_one_line", invalid)
        .once("missing_client_certificates_are_0", client_certificates)
        .once("protocols_that_are_not_there_are_0", protocols)
        .once("a_core_that_is_not_there_is_1", no_core)
        .once("files_that_are_no_pem_are_1", no_pem)
        .once("an_address_in_use_is_75", in_use)
        .once("an_address_that_is_not_there_is_named", no_address)
        .once("booleans_are_those_of_the_original", booleans)
        .once("unsuitable_certificates_are_warned_about", unsuitable)
        .once("check_says_what_is_wrong", check)
        .once("defaults_are_those_of_the_original", defaults)
        .done()
}

pub(super) fn setup(scene: &Scene) -> Result<(Setup, FakeCore)> {
    let core = FakeCore::new(scene, NORMAL)?;
    Ok((Setup::new(scene, &core.executable())?, core))
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &stderr(output)
}

fn has_code(output: &Output, code: i32) -> Result<()> {
    let status = output.status;
    ensure!(
        status.code() == Some(code),
        "{status} instead of {code}:\n{}",
        said(output)
    );
    Ok(())
}

async fn invalid(scene: Scene) -> Result<()> {
    let cases = [
        ("SERVICE_PORT", "http"),
        ("SERVICE_PORT", "70000"),
        ("SERVICE_PORT", "-1"),
        ("XRAY_API_PORT", "6.5"),
        ("DEBUG", "perhaps"),
    ];
    for (name, value) in cases {
        let (mut setup, _core) = setup(&scene)?;
        setup.set(name, value);
        let output = setup.run().await?;
        has_code(&output, 1).with_context(|| format!("{name}={value}"))?;
        let text = stderr(&output);
        let line = text.lines().find(|line| line.contains(name));
        let line = line.with_context(|| format!("{name} is not named:\n{text}"))?;
        ensure!(line.contains(value), "the value of {name} is not named: {line}");
        ensure!(!text.contains("panicked"), "{text}");
    }
    Ok(())
}

async fn client_certificates(scene: Scene) -> Result<()> {
    let (mut unset, _core) = setup(&scene)?;
    unset.unset("SSL_CLIENT_CERT_FILE");
    let (mut empty, _core) = setup(&scene)?;
    empty.set("SSL_CLIENT_CERT_FILE", "");
    for setup in [unset, empty] {
        let output = setup.run().await?;
        has_code(&output, 0)?;
        let text = stderr(&output);
        for level in ["WARNING: ", "ERROR: "] {
            ensure!(
                text.lines().any(|line| line.starts_with(level)),
                "no line with {level:?}:\n{text}"
            );
        }
        ensure!(
            text.contains("SSL_CLIENT_CERT_FILE"),
            "the variable is not named:\n{text}"
        );
    }
    let (mut missing, _core) = setup(&scene)?;
    let absent = scene.file("absent.pem");
    missing.set("SSL_CLIENT_CERT_FILE", absent.display());
    let output = missing.run().await?;
    has_code(&output, 0)?;
    let text = stderr(&output);
    let named = text
        .lines()
        .any(|line| line.starts_with("ERROR: ") && line.contains("absent.pem"));
    ensure!(named, "no ERROR line names the file:\n{text}");
    Ok(())
}

async fn protocols(scene: Scene) -> Result<()> {
    for (value, word) in [("rpyc", "rest"), ("carrier-pigeon", "carrier-pigeon")] {
        let (mut setup, _core) = setup(&scene)?;
        setup.set("SERVICE_PROTOCOL", value);
        let output = setup.run().await?;
        has_code(&output, 0).with_context(|| value.to_owned())?;
        let text = stderr(&output);
        let line = text.lines().find(|line| line.contains("SERVICE_PROTOCOL"));
        let line = line.with_context(|| format!("{value}: the variable is not named:\n{text}"))?;
        ensure!(line.contains(word), "{value}: {line}");
    }
    let (mut setup, _core) = setup(&scene)?;
    setup.set("SERVICE_PROTOCOL", "rest");
    let node = setup.start().await?;
    Panel::connect(&node).await.map(drop)
}

async fn no_core(scene: Scene) -> Result<()> {
    let plain = scene.file("no-program");
    std::fs::write(&plain, "this is no program")?;
    for path in [
        scene.file("absent"),
        plain,
        scene.file("").parent().context("a parent")?.to_owned(),
    ] {
        let (mut setup, _core) = setup(&scene)?;
        setup.set("XRAY_EXECUTABLE_PATH", path.display());
        let output = setup.run().await?;
        has_code(&output, 1).with_context(|| path.display().to_string())?;
        let text = stderr(&output);
        let named = text
            .lines()
            .any(|line| line.contains("XRAY_EXECUTABLE_PATH") && line.contains(&path.display().to_string()));
        ensure!(named, "{} is not named:\n{text}", path.display());
    }
    Ok(())
}

async fn no_pem(scene: Scene) -> Result<()> {
    for name in ["SSL_CERT_FILE", "SSL_KEY_FILE", "SSL_CLIENT_CERT_FILE"] {
        for content in [
            "",
            "this is no PEM",
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
        ] {
            let (setup, _core) = setup(&scene)?;
            std::fs::write(setup.get(name), content)?;
            let output = setup.run().await?;
            has_code(&output, 1).with_context(|| format!("{name} with {content:?}"))?;
            let text = stderr(&output);
            let named = text
                .lines()
                .any(|line| line.contains(name) && line.contains(setup.get(name)));
            ensure!(named, "{name} with {content:?} is not named with its file:\n{text}");
        }
    }
    // A pair whose halves do not belong together.
    let (mut setup, _core) = setup(&scene)?;
    setup.show("node-v3-p256.pem", "stranger.key")?;
    let output = setup.run().await?;
    has_code(&output, 1).context("a key of another certificate")?;
    ensure!(stderr(&output).contains("SSL_KEY_FILE"), "{}", stderr(&output));
    Ok(())
}

async fn in_use(scene: Scene) -> Result<()> {
    let (setup, _core) = setup(&scene)?;
    let _node = setup.start().await?;
    let output = setup.run().await?;
    has_code(&output, 75)?;
    let text = stderr(&output);
    ensure!(text.contains("SERVICE_PORT"), "the variable is not named:\n{text}");
    ensure!(
        text.contains(&setup.address().port().to_string()),
        "the port is not named:\n{text}"
    );
    Ok(())
}

/// An address of somebody else, and a name of nobody.
async fn no_address(scene: Scene) -> Result<()> {
    for host in ["192.0.2.1", "no.such.host.invalid"] {
        let (mut setup, _core) = setup(&scene)?;
        setup.set("SERVICE_HOST", host);
        let output = setup.run().await?;
        let text = stderr(&output);
        ensure!(!output.status.success(), "{host}: {}", output.status);
        let named = text
            .lines()
            .any(|line| line.contains("SERVICE_HOST") && line.contains(host));
        ensure!(named, "{host} is not named:\n{text}");
    }
    Ok(())
}

async fn booleans(scene: Scene) -> Result<()> {
    let words = ["y", "YES", "t", "True", "on", "1", "n", "No", "f", "FALSE", "off", "0"];
    for word in words {
        let (mut setup, _core) = setup(&scene)?;
        setup.set("DEBUG", word);
        let _node = setup.start().await.with_context(|| format!("DEBUG={word}"))?;
    }
    Ok(())
}

async fn unsuitable(scene: Scene) -> Result<()> {
    for (certificate, key, words) in [
        (
            "unsuitable-issued.pem",
            "node-p256.key",
            &["self-signed", "authority", "issued"][..],
        ),
        ("unsuitable-ed25519.pem", "unsuitable-ed25519.key", &["ed25519"]),
        ("unsuitable-name.pem", "node-p256.key", &["gozargah"]),
    ] {
        let (mut setup, _core) = setup(&scene)?;
        setup.show(certificate, key)?;
        let node = setup.start().await.with_context(|| certificate.to_owned())?;
        warned(&node, words).await.with_context(|| certificate.to_owned())?;
    }
    for certificate in ["node-v3-p256.pem", "node-v1-p256.pem"] {
        let (mut setup, _core) = setup(&scene)?;
        setup.show(certificate, "node-p256.key")?;
        let node = setup.start().await?;
        Panel::connect(&node).await?;
        // Warnings come before it.
        node.process.logs(SOON, "connected, Session ID").await?;
        let log = node.process.log();
        let warning = log.lines().find(|line| line.starts_with("WARNING"));
        ensure!(warning.is_none(), "{certificate} is good, but {warning:?}");
    }
    Ok(())
}

/// Waits for a warning that has one of these words.
async fn warned(node: &Node, words: &[&str]) -> Result<()> {
    let look = || async {
        let log = node.process.log();
        let found = log.lines().filter(|line| line.starts_with("WARNING")).any(|line| {
            let line = line.to_lowercase();
            words.iter().any(|word| line.contains(word))
        });
        found
            .then_some(())
            .with_context(|| format!("no such warning in\n{log}"))
    };
    eventually(secs(5), &format!("a warning with one of {words:?}"), look)
        .await
        .map(drop)
}

async fn check(scene: Scene) -> Result<()> {
    let (setup_, _core) = setup(&scene)?;
    let output = setup_.run_with(&["check", "--node"]).await?;
    has_code(&output, 0)?;
    let (mut wrong, _core) = setup(&scene)?;
    wrong
        .set("SERVICE_PORT", "http")
        .set("DEBUG", "perhaps")
        .set("XRAY_EXECUTABLE_PATH", "/nowhere/xray")
        .set("SERVICE_PROTOCOL", "rpyc");
    let output = wrong.run_with(&["check", "--node"]).await?;
    ensure!(
        output.status.code().is_some_and(|code| code != 0),
        "all is well?\n{}",
        said(&output)
    );
    let text = said(&output);
    for (name, value) in [
        ("SERVICE_PORT", "http"),
        ("DEBUG", "perhaps"),
        ("XRAY_EXECUTABLE_PATH", "/nowhere/xray"),
        ("SERVICE_PROTOCOL", "rpyc"),
    ] {
        let named = text.lines().any(|line| line.contains(name) && line.contains(value));
        ensure!(named, "{name}={value} is not named:\n{text}");
    }
    Ok(())
}

/// Without any variable the files of the original are looked for. They are not there on a machine that runs tests; where
/// they are, nothing is tried.
async fn defaults(scene: Scene) -> Result<()> {
    let original = std::path::Path::new("/var/lib/marzban-node");
    if original.exists() || std::path::Path::new("/usr/local/bin/xray").exists() {
        bail!(crate::harness::trial::Missing(
            "a node of the original is installed here"
        ));
    }
    let directory = scene.file("empty");
    std::fs::create_dir_all(&directory)?;
    let core = FakeCore::new(&scene, NORMAL)?;
    for (core, named) in [
        (None, "/usr/local/bin/xray"),
        (Some(core.executable()), "/var/lib/marzban-node"),
    ] {
        let mut command = tokio::process::Command::new(binary());
        command.args(["check", "--node"]).current_dir(&directory).env_clear();
        command.env("SSL_CLIENT_CERT_FILE", fixture("panel-v1-rsa.pem"));
        command.envs(core.map(|core| ("XRAY_EXECUTABLE_PATH", core)));
        let output = within(SOON, "the check ends", command.kill_on_drop(true).output()).await??;
        let text = said(&output);
        ensure!(text.contains(named), "it does not look at {named}:\n{text}");
    }
    Ok(())
}

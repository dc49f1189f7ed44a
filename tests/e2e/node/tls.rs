//! Who gets in, with what, and how everybody else is sent away. Matrix by openssl, refusals by rustls, noise by hand.

use crate::harness::fake_core::NORMAL;
use crate::harness::https::{Https, Login, fixture};
use crate::harness::node::{Node, Setup};
use crate::harness::panel::{Panel, request};
use crate::harness::process::Signal;
use crate::harness::trial::Missing;
use crate::harness::visitor::End;
use crate::harness::{fake_core::FakeCore, provision::on_path, *};
use libtest_mimic::Trial;
use rustls::version::{TLS12, TLS13};
use rustls_pki_types::CertificateDer;
use rustls_pki_types::pem::PemObject;
use std::process::Stdio;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

pub fn trials() -> Vec<Trial> {
    Suite::new("node::tls")
        .once("clear_text_gets_an_alert_and_a_clean_end_within_1_s", clear_text)
        .once("a_handshake_that_does_not_go_on_is_ended", half_a_handshake)
        .once("silent_connections_keep_nobody_out", silent_crowd)
        .once("matrix_with_a_v1_rsa_pair", |scene| {
            matrix(scene, "node-v1-rsa.pem", "node-rsa.key")
        })
        .once("matrix_with_a_v1_p256_pair", |scene| {
            matrix(scene, "node-v1-p256.pem", "node-p256.key")
        })
        .once("matrix_with_a_v3_rsa_pair", |scene| {
            matrix(scene, "node-v3-rsa.pem", "node-rsa.key")
        })
        .once("matrix_with_a_v3_p256_pair", |scene| {
            matrix(scene, "node-v3-p256.pem", "node-p256.key")
        })
        .once("a_pair_as_the_original_makes_it", original_pair)
        .once("no_certificate_sees_the_nodes_and_gets_no_answer", anonymous)
        .once("an_unknown_certificate_gets_no_answer", unknown)
        .once("a_known_certificate_with_another_key_gets_no_answer", wrong_key)
        .once("a_certificate_that_is_signed_by_a_trusted_one_gets_in", chained)
        .once("every_certificate_of_the_file_gets_in", several)
        .once("no_protocol_is_negotiated", no_alpn)
        .done()
}

const POST: &[u8] = b"POST / HTTP/1.1\r\nhost: node.test\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

async fn node(scene: &Scene, change: impl FnOnce(&mut Setup) -> Result<()>) -> Result<Node> {
    let core = FakeCore::new(scene, NORMAL)?;
    let mut setup = Setup::new(scene, &core.executable())?;
    change(&mut setup)?;
    setup.start().await
}

/// What a peer gets for bytes that are no TLS: all that came, and how it ended.
async fn told(address: SocketAddr, bytes: &[u8], finish: bool, limit: Duration) -> Result<(Vec<u8>, End)> {
    let mut stream = TcpStream::connect(address).await?;
    let (mut reader, mut writer) = stream.split();
    // The node may have left before all of it is sent.
    let write = async {
        let _ = writer.write_all(bytes).await;
        if finish {
            let _ = writer.shutdown().await;
        }
    };
    let read = async {
        let mut came = Vec::new();
        match reader.read_to_end(&mut came).await {
            Ok(_) => (came, End::Clean),
            Err(_) => (came, End::Reset),
        }
    };
    let both = async { tokio::join!(write, read).1 };
    within(limit, "the node ends the connection", both).await
}

async fn clear_text(scene: Scene) -> Result<()> {
    /// Twice the panel's patience.
    const PATIENCE: Duration = secs(2);
    const ALERT: u8 = 0x15;
    let (node, _core) = Node::start(&scene, NORMAL).await?;
    let large = vec![b'x'; 64 << 10];
    let words: [(&str, &[u8]); 6] = [
        ("the panel's probe", b"HEAD / HTTP/1.0\r\n\r\n"),
        (
            "a request",
            b"POST /connect HTTP/1.1\r\nhost: node.test\r\ncontent-length: 2\r\n\r\n{}",
        ),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0"),
        ("64 KiB", &large),
        ("zeros", &[0; 100]),
        ("SSH", b"SSH-2.0-OpenSSH_9.6\r\n"),
    ];
    for (name, bytes) in words {
        let (came, end) = told(node.address, bytes, false, PATIENCE)
            .await
            .context(name.to_owned())?;
        ensure!(end == End::Clean, "{name}: the connection was reset");
        ensure!(came.len() == 7 && came[0] == ALERT, "{name}: the answer is {came:02x?}");
    }
    for (name, bytes) in [
        ("nothing", &b""[..]),
        ("one byte", b"H"),
        ("two bytes of a handshake", b"\x16\x03"),
    ] {
        let (_, end) = told(node.address, bytes, true, PATIENCE)
            .await
            .context(name.to_owned())?;
        ensure!(end == End::Clean, "{name}: the connection was reset");
    }
    Panel::connect(&node).await?.ping().await?;
    Ok(())
}

/// Twice the time that a handshake may take.
const HANDSHAKE_ENDS: Duration = secs(20);

async fn half_a_handshake(scene: Scene) -> Result<()> {
    let (node, _core) = Node::start(&scene, NORMAL).await?;
    let beginnings: [(&str, &[u8]); 3] = [
        ("silence", b""),
        ("one byte", b"H"),
        ("half of a greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    ];
    let waits = beginnings.map(|(name, bytes)| async move {
        let (_, end) = told(node.address, bytes, false, HANDSHAKE_ENDS).await.context(name)?;
        ensure!(end == End::Clean, "{name}: the connection was reset");
        anyhow::Ok(())
    });
    futures_util::future::try_join_all(waits).await?;
    Ok(())
}

async fn silent_crowd(scene: Scene) -> Result<()> {
    const CROWD: usize = 300;
    let (mut node, _core) = Node::start(&scene, NORMAL).await?;
    let mut crowd = Vec::new();
    for _ in 0..CROWD {
        crowd.push(TcpStream::connect(node.address).await?);
    }
    // More than the node shakes hands with at a time; it lets them go, and the panel in.
    let look = || async { Panel::connect(&node).await.map(drop) };
    eventually(HANDSHAKE_ENDS, "a panel gets in", look).await?;
    drop(crowd);
    node.process.signal(Signal::TERM)?;
    ensure!(node.process.exit(SOON).await?.code() == Some(0), "it did not end well");
    Ok(())
}

/// Both versions and six kinds of client certificate against one pair of the node.
async fn matrix(scene: Scene, certificate: &'static str, key: &'static str) -> Result<()> {
    let kinds: Vec<String> = ["v1", "v3", "ca"]
        .iter()
        .flat_map(|version| ["rsa", "p256"].map(|kind| format!("panel-{version}-{kind}.pem")))
        .collect();
    let names: Vec<&str> = kinds.iter().map(String::as_str).collect();
    let node = node(&scene, |setup| {
        setup.show(certificate, key)?;
        setup.trust(&names).map(drop)
    })
    .await?;
    for version in ["1.2", "1.3"] {
        for kind in &kinds {
            let client_key = if kind.contains("rsa") {
                "panel-rsa.key"
            } else {
                "panel-p256.key"
            };
            let said = s_client(node.address, version, certificate, Some((kind, client_key))).await?;
            let name = format!("TLS {version} with {kind}");
            ensure!(said.contains(&format!("New, TLSv{version}, ")), "{name}:\n{said}");
            ensure!(
                said.contains("Verify return code: 0 (ok)"),
                "{name}: not verified\n{said}"
            );
            ensure!(said.contains("HTTP/1.1 200 OK\r\n"), "{name}:\n{said}");
        }
    }
    Ok(())
}

/// What `openssl s_client` prints after it has sent [`POST`]. It trusts the node's certificate alone.
async fn s_client(address: SocketAddr, version: &str, node: &str, own: Option<(&str, &str)>) -> Result<String> {
    let Some(openssl) = on_path("openssl") else {
        bail!(Missing("openssl is missing"));
    };
    let mut command = tokio::process::Command::new(openssl);
    command
        .args([
            "s_client",
            "-ign_eof",
            "-verify_return_error",
            "-connect",
            &address.to_string(),
        ])
        .arg(format!("-tls{}", version.replace('.', "_")))
        .arg("-CAfile")
        .arg(fixture(node));
    if let Some((certificate, key)) = own {
        command
            .arg("-cert")
            .arg(fixture(certificate))
            .arg("-key")
            .arg(fixture(key));
    }
    command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command.spawn().context("starting openssl")?;
    let mut stdin = child.stdin.take().context("openssl has a standard input")?;
    // It may have failed already: then its output says why.
    let _ = stdin.write_all(POST).await;
    drop(stdin);
    let output = within(SOON, "openssl ends", child.wait_with_output()).await??;
    Ok([output.stdout, output.stderr]
        .map(|said| String::from_utf8_lossy(&said).into_owned())
        .concat())
}

async fn original_pair(scene: Scene) -> Result<()> {
    let (certificate, key) = ("node-original.pem", "node-original.key");
    let node = node(&scene, |setup| setup.show(certificate, key).map(drop)).await?;
    let own = Some(("panel-v1-rsa.pem", "panel-rsa.key"));
    for version in ["1.2", "1.3"] {
        let said = s_client(node.address, version, certificate, own).await?;
        ensure!(said.contains("HTTP/1.1 200 OK\r\n"), "TLS {version}:\n{said}");
    }
    Ok(())
}

async fn anonymous(scene: Scene) -> Result<()> {
    let (node, _core) = Node::start(&scene, NORMAL).await?;
    let shown = CertificateDer::from_pem_file(fixture("node-v3-p256.pem"))?;
    // TLS 1.3: the client is through before the node has judged. The panel fetches the certificate in this way.
    let mut connection = Https::open(node.address, &Login::anonymous(&[&TLS13])?).await?;
    ensure!(
        connection.certificate()? == shown.as_ref(),
        "the node shows something else"
    );
    refused(&mut connection).await?;
    // TLS 1.2: the handshake itself fails, but not before the certificate was shown.
    let said = s_client(node.address, "1.2", "node-v3-p256.pem", None).await?;
    ensure!(
        said.contains("subject=CN = Gozargah") || said.contains("subject=CN=Gozargah"),
        "{said}"
    );
    ensure!(!said.contains("HTTP/1.1"), "it was answered:\n{said}");
    ensure!(!said.contains("errno=104"), "it was reset:\n{said}");
    Ok(())
}

/// Sends a request on a connection whose certificate the node does not take: an alert or an end, never an answer or a
/// reset.
async fn refused(connection: &mut Https) -> Result<()> {
    // The node may have closed already; then there is nothing to send to.
    let _ = connection.send(POST).await;
    let (came, end) = connection.end(SOON).await?;
    ensure!(came.is_empty(), "it was answered: {:?}", String::from_utf8_lossy(&came));
    ensure!(end == End::Clean, "the connection was reset");
    Ok(())
}

/// Tries to get in with a certificate that is not taken, in both versions.
async fn expect_refusal(node: &Node, certificate: &str, key: &str) -> Result<()> {
    let name = format!("{certificate} with {key}");
    let body = vec![b'x'; 100_000];
    for _ in 0..10 {
        let login = Login::with(certificate, key, &[&TLS13])?;
        // An error of the handshake is a refusal as well, when it is no reset.
        if let Ok(mut connection) = Https::open(node.address, &login).await {
            refused(&mut connection).await.with_context(|| name.clone())?;
        }
        // A large request must not turn the refusal into a reset.
        if let Ok(mut connection) = Https::open(node.address, &login).await {
            let _ = connection.send(&request("/start", &body)).await;
            let (came, end) = connection.end(SOON).await?;
            ensure!(
                came.is_empty() && end == End::Clean,
                "{name}: {end:?} after {} bytes",
                came.len()
            );
        }
    }
    let login = Login::with(certificate, key, &[&TLS12])?;
    match Https::open(node.address, &login).await {
        Ok(mut connection) => refused(&mut connection).await.with_context(|| name)?,
        Err(error) => {
            let error = format!("{error:#}");
            ensure!(!error.contains("reset"), "{name}, TLS 1.2: {error}");
        }
    }
    Ok(())
}

async fn unknown(scene: Scene) -> Result<()> {
    let (node, _core) = Node::start(&scene, NORMAL).await?;
    // The name is the same as that of the panel, the key and the bytes are not.
    expect_refusal(&node, "stranger.pem", "stranger.key").await?;
    expect_refusal(&node, "panel-v3-p256.pem", "panel-p256.key").await?;
    expect_refusal(&node, "chained.pem", "panel-p256.key").await?;
    Panel::connect(&node).await.map(drop)
}

async fn wrong_key(scene: Scene) -> Result<()> {
    let node = node(&scene, |setup| {
        setup.trust(&["panel-v1-rsa.pem", "panel-v1-p256.pem"]).map(drop)
    })
    .await?;
    expect_refusal(&node, "panel-v1-rsa.pem", "node-rsa.key").await?;
    expect_refusal(&node, "panel-v1-p256.pem", "stranger.key").await?;
    expect_refusal(&node, "panel-v1-p256.pem", "panel-rsa.key").await?;
    Panel::connect(&node).await.map(drop)
}

async fn chained(scene: Scene) -> Result<()> {
    let node = node(&scene, |setup| setup.trust(&["authority.pem"]).map(drop)).await?;
    for versions in [&[&TLS12], &[&TLS13]] {
        let login = Login::with("chained.pem", "panel-p256.key", versions)?;
        Panel::connect_as(&node, &login).await?;
    }
    expect_refusal(&node, "panel-v3-p256.pem", "panel-p256.key").await?;
    expect_refusal(&node, "chained.pem", "stranger.key").await
}

async fn several(scene: Scene) -> Result<()> {
    let trusted = ["panel-v1-rsa.pem", "panel-ca-p256.pem", "stranger.pem"];
    let node = node(&scene, |setup| setup.trust(&trusted).map(drop)).await?;
    for (certificate, key) in [
        ("panel-v1-rsa.pem", "panel-rsa.key"),
        ("panel-ca-p256.pem", "panel-p256.key"),
        ("stranger.pem", "stranger.key"),
    ] {
        let login = Login::with(certificate, key, rustls::ALL_VERSIONS)?;
        let mut panel = Panel::connect_as(&node, &login)
            .await
            .with_context(|| certificate.to_owned())?;
        panel.ping().await?;
    }
    expect_refusal(&node, "chained.pem", "panel-p256.key").await
}

async fn no_alpn(scene: Scene) -> Result<()> {
    let (node, _core) = Node::start(&scene, NORMAL).await?;
    let login = Login::panel()?.offering(&["h2", "http/1.1"]);
    let mut connection = Https::open(node.address, &login).await?;
    ensure!(connection.protocol() != Some("h2".to_owned()), "the node chose HTTP/2");
    connection.ask(POST).await?.expect(200)?;
    Ok(())
}

//! The command line: what is said, and with which exit code.

use crate::harness::process::binary;
use crate::harness::tunnel::listening;
use crate::harness::visitor::visit;
use crate::harness::*;
use libtest_mimic::Trial;
use std::process::Output;

pub fn trials() -> Vec<Trial> {
    Suite::new("cli")
        .once("usage_errors_are_64", usage)
        .once("every_problem_of_a_file_is_named_and_the_code_is_64", problems)
        .once("check_is_0_for_a_good_file", good_file)
        .once("unknown_keys_are_warnings_when_lenient", lenient)
        .once("address_in_use_is_75", address_in_use)
        .once("forbidden_port_is_75", forbidden_port)
        .once("what_does_not_work_yet_is_named", not_yet)
        .once("tokens_are_long_and_never_the_same", tokens)
        .once("secrets_come_from_environment_and_file_and_are_never_logged", secrets)
        .once("doctor_prints_a_table", doctor)
        .once("run_runs_every_section", run_all)
        .busy()
        .once("demo_moves_real_traffic", demo)
        .done()
}

async fn kariz(arguments: &[&str]) -> Result<Output> {
    kariz_with(arguments, &[]).await
}

async fn kariz_with(arguments: &[&str], env: &[(&str, &str)]) -> Result<Output> {
    let mut command = std::process::Command::new(binary());
    command.args(arguments).envs(env.iter().copied());
    let run = tokio::task::spawn_blocking(move || command.output());
    Ok(within(secs(60), &format!("kariz {arguments:?}"), run).await???)
}

fn said(output: &Output) -> String {
    [&output.stdout[..], &output.stderr[..]]
        .map(String::from_utf8_lossy)
        .concat()
}

fn has_code(output: &Output, code: i32) -> Result<()> {
    ensure!(
        output.status.code() == Some(code),
        "{} instead of {code}:\n{}",
        output.status,
        said(output)
    );
    Ok(())
}

async fn usage(scene: Scene) -> Result<()> {
    let absent = scene.file("absent.toml").display().to_string();
    let cases: [&[&str]; 6] = [
        &["fly"],
        &["server"],
        &["server", "-c"],
        &["server", "-c", &absent],
        &["check", "-c", &absent],
        &["server", "--no-such-flag"],
    ];
    for arguments in cases {
        let output = kariz(arguments).await?;
        has_code(&output, 64).with_context(|| format!("{arguments:?}"))?;
        ensure!(!said(&output).is_empty(), "{arguments:?} failed silently");
    }
    has_code(&kariz(&["--help"]).await?, 0)
}

async fn problems(scene: Scene) -> Result<()> {
    let mut config = Config::server(&scene, scene.address());
    config.server_service("web", scene.address());
    config
        .set("server.hartbeat", 3)
        .set("server.keep_alive", "soon")
        .set("server.mss", -5);
    config
        .set("server.services.web.priority", 9)
        .set("server.services.web.bind_addr", "nowhere");
    config.set("runtime.io", "kqueue").set("limits.visitors", "many");
    let file = config.write(&scene, "bad")?.display().to_string();
    for command in ["check", "server"] {
        let output = kariz(&[command, "-c", &file]).await?;
        has_code(&output, 64).context(command)?;
        let text = said(&output);
        for key in [
            "hartbeat",
            "heartbeat",
            "keep_alive",
            "mss",
            "priority",
            "bind_addr",
            "io",
            "kqueue",
            "visitors",
        ] {
            ensure!(text.contains(key), "{command} does not mention {key}:\n{text}");
        }
    }
    std::fs::write(&file, "[server]\nbind_addr = ")?;
    has_code(&kariz(&["check", "-c", &file]).await?, 64)?;
    // A section that is asked for has to be there; one that is not asked for may be missing.
    std::fs::write(
        &file,
        "[relay.services.web]\nbind_addr = \"127.0.0.1:1\"\nremote_addr = \"127.0.0.1:2\"\n",
    )?;
    has_code(&kariz(&["server", "-c", &file]).await?, 64)
}

async fn good_file(scene: Scene) -> Result<()> {
    let mut config = Config::server(&scene, scene.address());
    config.server_service("web", scene.address());
    let file = config.write(&scene, "good")?.display().to_string();
    has_code(&kariz(&["check", "-c", &file]).await?, 0)?;
    config.set("server.default_token", "short");
    let file = config.write(&scene, "short-token")?.display().to_string();
    let output = kariz(&["check", "-c", &file]).await?;
    has_code(&output, 0)?;
    ensure!(
        said(&output).contains("token"),
        "no warning about a short token:\n{}",
        said(&output)
    );
    ensure!(
        !said(&output).contains("short\"") && !said(&output).contains("= short"),
        "the token is printed"
    );
    Ok(())
}

async fn lenient(scene: Scene) -> Result<()> {
    let mut config = Config::server(&scene, scene.address());
    config
        .server_service("web", scene.address())
        .set("server.shiny_new_key", 1);
    let file = config.write(&scene, "unknown")?.display().to_string();
    has_code(&kariz(&["check", "-c", &file]).await?, 64)?;
    let output = kariz(&["check", "--lenient", "-c", &file]).await?;
    has_code(&output, 0)?;
    ensure!(
        said(&output).contains("shiny_new_key"),
        "the unknown key is not mentioned:\n{}",
        said(&output)
    );
    Ok(())
}

async fn address_in_use(scene: Scene) -> Result<()> {
    // Another process of ours is caught, too: `SO_REUSEPORT` would hide it.
    let target = Target::echo(&scene)?;
    let tunnel = Tunnel::start(&scene, target.address()).await?;
    let mut same = Kariz::start(&scene, "server", &tunnel.server_config)?;
    let status = same.exit(SOON).await?;
    ensure!(
        status.code() == Some(75),
        "the carrier address is in use: {status}\n{}",
        same.log()
    );
    let mut config = Config::server(&scene, scene.address());
    config.server_service("web", target.address());
    let mut taken = Kariz::start(&scene, "server", &config)?;
    let status = taken.exit(SOON).await?;
    ensure!(
        status.code() == Some(75),
        "a public address is in use: {status}\n{}",
        taken.log()
    );
    let mut config = Config::new(&scene);
    config.relay_service("web", tunnel.public, target.address());
    let mut relay = Kariz::start(&scene, "relay", &config)?;
    let status = relay.exit(SOON).await?;
    ensure!(
        status.code() == Some(75),
        "the relay's address is in use: {status}\n{}",
        relay.log()
    );
    tunnel.answers().await?;
    Ok(())
}

async fn forbidden_port(scene: Scene) -> Result<()> {
    // An address that this machine does not have cannot be bound by anybody, root included.
    let mut config = Config::server(&scene, "192.0.2.1:4040".parse()?);
    config.server_service("web", scene.address());
    let mut server = Kariz::start(&scene, "server", &config)?;
    let status = server.exit(SOON).await?;
    ensure!(status.code() == Some(75), "{status}\n{}", server.log());
    Ok(())
}

async fn not_yet(scene: Scene) -> Result<()> {
    for (key, value) in [
        ("server.services.web.type", "udp"),
        ("server.services.web.type", "http"),
        ("server.transport", "tls"),
        ("server.transport", "wssmux"),
        ("server.transport", "quic"),
    ] {
        let mut config = Config::server(&scene, scene.address());
        config.server_service("web", scene.address()).set(key, value);
        let file = config.write(&scene, "not-yet")?.display().to_string();
        let output = kariz(&["check", "-c", &file]).await?;
        has_code(&output, 64)?;
        let text = said(&output);
        ensure!(
            text.contains(value) && text.contains("tcp"),
            "{value}: what works is not named:\n{text}"
        );
    }
    Ok(())
}

async fn tokens(_: Scene) -> Result<()> {
    let mut seen = std::collections::HashSet::new();
    for _ in 0..5 {
        let output = kariz(&["token"]).await?;
        has_code(&output, 0)?;
        let token = String::from_utf8(output.stdout)?.trim().to_owned();
        ensure!(
            token.len() >= 32 && !token.contains(char::is_whitespace),
            "the token is {token:?}"
        );
        ensure!(seen.insert(token), "the same token twice");
    }
    Ok(())
}

async fn secrets(scene: Scene) -> Result<()> {
    const SECRET: &str = "a secret that nobody may ever read";
    let target = Target::echo(&scene)?;
    let secret_file = scene.file("secret");
    std::fs::write(&secret_file, format!("{SECRET}\n"))?;
    let from_file = toml::Table::from_iter([("file".to_owned(), secret_file.display().to_string().into())]);
    let tunnel = Tunnel::start_with(&scene, target.address(), |server, client| {
        server
            .set("server.default_token", from_file)
            .set("server.log_level", "trace");
        client
            .set("client.default_token", SECRET)
            .set("client.log_level", "trace");
    })
    .await?;
    tunnel.answers().await?;
    // What is logged by now is written by then.
    tokio::time::sleep(millis(200)).await;
    for log in [tunnel.server.log(), tunnel.client.log()] {
        ensure!(!log.contains(SECRET), "the token is in the log");
    }
    let mut config = Config::server(&scene, scene.address());
    let from_env = toml::Table::from_iter([("env".to_owned(), "KARIZ_E2E_TOKEN".into())]);
    config
        .server_service("web", scene.address())
        .set("server.default_token", from_env);
    let file = config.write(&scene, "env")?.display().to_string();
    has_code(
        &kariz_with(&["check", "-c", &file], &[("KARIZ_E2E_TOKEN", SECRET)]).await?,
        0,
    )?;
    let output = kariz(&["check", "-c", &file]).await?;
    has_code(&output, 64)?;
    ensure!(
        said(&output).contains("KARIZ_E2E_TOKEN"),
        "the missing variable is not named:\n{}",
        said(&output)
    );
    Ok(())
}

async fn doctor(_: Scene) -> Result<()> {
    let output = kariz(&["doctor"]).await?;
    let text = said(&output).to_lowercase();
    for subject in [
        "kernel",
        "io_uring",
        "nofile",
        "pipe",
        "somaxconn",
        "congestion",
        "rmem",
        "wmem",
    ] {
        ensure!(text.contains(subject), "doctor does not mention {subject}:\n{text}");
    }
    // The last line adds the words up.
    let rows = text.trim_end().rsplit_once('\n').context("doctor prints a table")?.0;
    let failed = rows.split_whitespace().any(|word| word == "fail");
    has_code(&output, i32::from(failed))
}

async fn run_all(scene: Scene) -> Result<()> {
    let target = Target::echo(&scene)?;
    let (carrier, public, relay) = (scene.address(), scene.address(), scene.address());
    let mut config = Config::server(&scene, carrier);
    config
        .server_service("web", public)
        .relay_service("direct", relay, target.address());
    config
        .set("client.remote_addr", carrier.to_string())
        .set("client.transport", scene.lane().transport());
    config
        .set("client.default_token", config::TOKEN)
        .client_service("web", target.address());
    let mut all = Kariz::start(&scene, "run", &config)?;
    for address in [public, relay] {
        listening(address, None, SOON).await?;
        within(SOON, "a visit", visit(address)).await??;
    }
    all.signal(Signal::TERM)?;
    let status = all.exit(SOON).await?;
    ensure!(status.code() == Some(0), "the exit status is {status}");
    Ok(())
}

async fn demo(_: Scene) -> Result<()> {
    let output = kariz(&["demo"]).await?;
    has_code(&output, 0)?;
    let text = said(&output);
    for figure in ["Gbit/s", "p50", "p99"] {
        ensure!(text.contains(figure), "the demo shows no {figure}:\n{text}");
    }
    Ok(())
}

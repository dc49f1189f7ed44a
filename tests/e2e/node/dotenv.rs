//! Section 1.7: variables in a `.env` file.

use super::environment::setup;
use crate::harness::node::Setup;
use crate::harness::panel::Panel;
use crate::harness::*;
use libtest_mimic::Trial;

pub fn trials() -> Vec<Trial> {
    Suite::new("node::dotenv")
        .once("it_is_read_from_the_working_directory_and_its_parents", dotenv)
        .once("the_real_environment_wins", environment_wins)
        .done()
}

/// Moves all variables into a `.env` file.
fn into_dotenv(setup: &mut Setup, write: impl Fn(&str, &str) -> String) -> String {
    let names = [
        "SERVICE_HOST",
        "SERVICE_PORT",
        "XRAY_API_HOST",
        "XRAY_API_PORT",
        "XRAY_EXECUTABLE_PATH",
        "XRAY_ASSETS_PATH",
        "SSL_CERT_FILE",
        "SSL_KEY_FILE",
        "SSL_CLIENT_CERT_FILE",
    ];
    let mut text = "# written by the tests\n\n".to_owned();
    for name in names {
        text.push_str(&write(name, setup.get(name)));
        text.push('\n');
        setup.unset(name);
    }
    text
}

async fn dotenv(scene: Scene) -> Result<()> {
    type Write = fn(&str, &str) -> String;
    let ways: [Write; 5] = [
        |name, value| format!("{name}={value}"),
        |name, value| format!("{name} = \"{value}\""),
        |name, value| format!("export {name}='{value}'"),
        |name, value| format!("  {name}={value}   # a comment"),
        |name, value| format!("{name} = \"{value}\"  # a comment\r"),
    ];
    for (number, write) in ways.into_iter().enumerate() {
        let (mut setup, _core) = setup(&scene)?;
        let text = into_dotenv(&mut setup, write);
        // In the first round in the working directory, then further and further above it.
        let top = setup.directory().to_owned();
        let mut below = top.clone();
        for _ in 0..number {
            below = below.join("deeper");
        }
        std::fs::create_dir_all(&below)?;
        std::fs::write(top.join(".env"), text)?;
        let node = setup
            .work_in(&below)
            .start()
            .await
            .with_context(|| format!("way {number}"))?;
        Panel::connect(&node).await.with_context(|| format!("way {number}"))?;
    }
    // Values with blanks, variables inside values, a line that is none.
    let (mut setup, _core) = setup(&scene)?;
    let assets = setup.directory().display().to_string();
    let mut text = into_dotenv(&mut setup, |name, value| match name {
        "XRAY_ASSETS_PATH" => "XRAY_ASSETS_PATH=\"${BASE_OF_THE_TEST}/assets\"".to_owned(),
        _ => format!("{name}={value}"),
    });
    text = format!("BASE_OF_THE_TEST={assets}\n?? this is no line ??\n{text}INBOUNDS=VLESS TCP, TROJAN\n");
    std::fs::write(setup.directory().join(".env"), text)?;
    let node = setup.start().await?;
    let mut panel = Panel::connect(&node).await?;
    let config = r#"{"inbounds":[{"tag":"VLESS TCP"},{"tag":"other"},{"tag":"TROJAN"}]}"#;
    panel.start(config).await?.expect(200)?;
    let life = _core.life(1).await?;
    let set = format!("XRAY_LOCATION_ASSET={assets}/assets");
    ensure!(life.environment.contains(&set), "{:?}", life.environment);
    let seen: serde_json::Value = serde_json::from_str(&life.config.unwrap_or_default())?;
    let tags: Vec<&str> = seen["inbounds"]
        .as_array()
        .map(|inbounds| inbounds.iter().filter_map(|inbound| inbound["tag"].as_str()).collect())
        .unwrap_or_default();
    ensure!(tags == ["API_INBOUND", "VLESS TCP", "TROJAN"], "{tags:?}");
    Ok(())
}

async fn environment_wins(scene: Scene) -> Result<()> {
    let (setup, _core) = setup(&scene)?;
    let other = scene.address();
    let text = format!(
        "SERVICE_PORT = {}\nDEBUG = nonsense\nSERVICE_HOST = 192.0.2.1\n",
        other.port()
    );
    std::fs::write(setup.directory().join(".env"), text)?;
    let mut setup = setup;
    setup.set("DEBUG", "no");
    let node = setup.start().await?;
    Panel::connect(&node).await.map(drop)
}

//! Section 1.6 as the core sees it: what arrives on its standard input, and how it is started.

use crate::harness::fake_core::{FakeCore, NORMAL};
use crate::harness::https::{Https, Login};
use crate::harness::node::{Node, Setup};
use crate::harness::panel::{CONFIG, Panel, request};
use crate::harness::*;
use libtest_mimic::Trial;
use serde_json::{Value, json};

pub fn trials() -> Vec<Trial> {
    Suite::new("node::transform")
        .once("the_core_is_started_as_specified", command_line)
        .once("the_api_is_put_in_front", api)
        .once("stale_api_inbounds_and_rules_go", stale)
        .once("what_is_unknown_stays_as_it_was_written", unknown)
        .once("the_log_level_rule", log_level)
        .once("missing_parts_are_made", missing)
        .once("inbounds_are_filtered_by_tag", inbounds)
        .done()
}

/// Starts a core with `config`; what it read.
async fn seen(node: &Node, core: &FakeCore, config: &str) -> Result<String> {
    let mut panel = Panel::connect(node).await?;
    seen_by(&mut panel, core, config).await
}

async fn seen_by(panel: &mut Panel, core: &FakeCore, config: &str) -> Result<String> {
    let number = core.lives()?.len() + 1;
    panel.restart(config).await?.expect(200)?;
    core.life(number)
        .await?
        .config
        .context("the core read its configuration")
}

async fn command_line(scene: Scene) -> Result<()> {
    let core = FakeCore::new(&scene, NORMAL)?;
    let mut setup = Setup::new(&scene, &core.executable())?;
    setup.set("SECRET_OF_THE_NODE", "not for the core");
    let node = setup.start().await?;
    let mut panel = Panel::connect(&node).await?;
    panel.start(CONFIG).await?.expect(200)?;
    let life = core.life(1).await?;
    ensure!(life.arguments == ["run", "-config", "stdin:"], "{:?}", life.arguments);
    // A shell stands between the node and this core, and may export its own.
    let of_the_shell = ["PWD=", "OLDPWD=", "SHLVL=", "_="];
    let mut environment = life.environment.clone();
    environment.retain(|line| !of_the_shell.iter().any(|name| line.starts_with(name)));
    let assets = format!("XRAY_LOCATION_ASSET={}", setup.get("XRAY_ASSETS_PATH"));
    ensure!(environment == [assets], "{environment:?}");
    ensure!(life.group == life.pid, "the core is in group {}", life.group);
    // What this process itself was started with and could not close is not the node's.
    let ours: Vec<String> = std::fs::read_dir("/proc/self/fd")?
        .filter_map(|entry| Some(std::fs::read_link(entry.ok()?.path()).ok()?.display().to_string()))
        .collect();
    let inherited: Vec<&String> = life
        .descriptors
        .iter()
        .filter(|line| {
            let (number, target) = line.split_once(' ').unwrap_or_default();
            !matches!(number, "0" | "1" | "2") && !line.contains("/proc/") && !ours.iter().any(|own| own == target)
        })
        .collect();
    ensure!(inherited.is_empty(), "the core inherits {inherited:?}");
    Ok(())
}

async fn api(scene: Scene) -> Result<()> {
    let core = FakeCore::new(&scene, NORMAL)?;
    let setup = Setup::new(&scene, &core.executable())?;
    let node = setup.start().await?;
    let source = scene.ip(9);
    let mut connection = Https::open_from(source, node.address, &Login::panel()?).await?;
    let connected = connection.ask(&request("/connect", b"")).await?.expect(200)?.json()?;
    let config = json!({
        "stats": { "old": true },
        "api": { "tag": "old", "services": [] },
        "inbounds": [{ "tag": "in", "port": 1, "protocol": "vless" }],
        "routing": { "domainStrategy": "AsIs", "balancers": [{ "tag": "b" }], "rules": [{ "type": "field", "outboundTag": "DIRECT" }] },
        "policy": { "levels": { "0": { "handshake": 4 } } },
    });
    let body = json!({ "session_id": connected["session_id"], "config": config.to_string() });
    connection
        .ask(&request("/start", body.to_string().as_bytes()))
        .await?
        .expect(200)?;
    let got: Value = serde_json::from_str(&core.life(1).await?.config.unwrap_or_default())?;
    let wanted = json!({
        "stats": {},
        "api": { "services": ["HandlerService", "StatsService", "LoggerService"], "tag": "API" },
        "inbounds": [
            {
                "listen": node.api.ip(), "port": node.api.port(), "protocol": "dokodemo-door",
                "settings": { "address": "127.0.0.1" },
                "streamSettings": { "security": "tls", "tlsSettings": { "certificates": [{
                    "certificateFile": setup.get("SSL_CERT_FILE"), "keyFile": setup.get("SSL_KEY_FILE"),
                }] } },
                "tag": "API_INBOUND",
            },
            { "tag": "in", "port": 1, "protocol": "vless" },
        ],
        "routing": {
            "domainStrategy": "AsIs", "balancers": [{ "tag": "b" }],
            "rules": [
                { "type": "field", "inboundTag": ["API_INBOUND"], "source": ["127.0.0.1", source], "outboundTag": "API" },
                { "type": "field", "outboundTag": "DIRECT" },
            ],
        },
        "policy": { "levels": { "0": { "handshake": 4 } } },
    });
    ensure!(got == wanted, "the core got\n{got:#}\ninstead of\n{wanted:#}");
    Ok(())
}

/// Tags of the inbounds in a configuration.
fn tags(config: &str) -> Result<Vec<String>> {
    let config: Value = serde_json::from_str(config)?;
    let inbounds = config["inbounds"].as_array().context("there are inbounds")?;
    Ok(inbounds
        .iter()
        .map(|inbound| inbound["tag"].as_str().unwrap_or("?").to_owned())
        .collect())
}

async fn stale(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, NORMAL).await?;
    let door = |tag: &str, port: u16| json!({ "tag": tag, "protocol": "dokodemo-door", "port": port });
    let rule = |tag: &str, domain: &str| json!({ "type": "field", "outboundTag": tag, "domain": [domain] });
    let config = json!({
        "api": { "tag": "API" },
        "inbounds": [
            door("API_INBOUND", 1), door("API_INBOUND", 2), { "tag": "v", "protocol": "vless" }, door("API_INBOUND", 3),
            door("tunnel", 4), { "tag": "API_INBOUND", "protocol": "vless" },
        ],
        "routing": { "rules": [rule("API", "a"), rule("API", "b"), rule("DIRECT", "c"), rule("API", "d"), { "balancerTag": "x" }] },
    });
    let text = seen(&node, &core, &config.to_string()).await?;
    let got = tags(&text)?;
    // A door of another name and another protocol of that name both stay.
    ensure!(
        got == ["API_INBOUND", "v", "tunnel", "API_INBOUND"],
        "the inbounds are {got:?}"
    );
    let parsed: Value = serde_json::from_str(&text)?;
    let rules = parsed["routing"]["rules"].as_array().context("there are rules")?;
    ensure!(rules.len() == 3, "the rules are {rules:?}");
    ensure!(
        rules[0]["outboundTag"] == "API" && rules[1]["outboundTag"] == "DIRECT",
        "{rules:?}"
    );
    // Without `api.tag` no rule is removed.
    let config = json!({ "inbounds": [], "routing": { "rules": [rule("API", "a"), rule("API", "b")] } });
    let parsed: Value = serde_json::from_str(&seen(&node, &core, &config.to_string()).await?)?;
    let rules = parsed["routing"]["rules"].as_array().context("there are rules")?;
    ensure!(rules.len() == 3, "the rules are {rules:?}");
    Ok(())
}

async fn unknown(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, NORMAL).await?;
    let config = r#"{"zebra":[1,{"deep":[true,null]}],"big":123456789012345678901234567890,"small":-0.000000000000000000012,
        "precise":3.14159265358979323846,"fraction":1.50,"inbounds":[{"protocol":"vless","tag":"配置 – 😀","zz":1,"aa":2}],
        "apple":"é\u0000\u001f\"\\/\u2028"}"#;
    let text = seen(&node, &core, config).await?;
    ensure!(text.is_ascii(), "the core gets more than ASCII: {text}");
    for number in [
        "123456789012345678901234567890",
        "3.14159265358979323846",
        "1.50",
        "-0.000000000000000000012",
    ] {
        ensure!(text.contains(number), "{number} is written otherwise: {text}");
    }
    ensure!(text.contains("\\u914d\\u7f6e \\u2013 \\ud83d\\ude00"), "{text}");
    let [before, after]: [Value; 2] = [serde_json::from_str(config)?, serde_json::from_str(&text)?];
    for key in ["zebra", "big", "small", "precise", "fraction", "apple"] {
        ensure!(
            before[key] == after[key],
            "{key} was {} and is {}",
            before[key],
            after[key]
        );
    }
    ensure!(
        after["inbounds"][1] == before["inbounds"][0],
        "the inbound is {}",
        after["inbounds"][1]
    );
    let mut last = 0;
    for key in [
        "\"zebra\"",
        "\"big\"",
        "\"small\"",
        "\"precise\"",
        "\"fraction\"",
        "\"inbounds\"",
        "\"zz\"",
        "\"aa\"",
        "\"apple\"",
    ] {
        let at = text.find(key).with_context(|| format!("{key} is gone"))?;
        ensure!(at > last || last == 0, "{key} has moved: {text}");
        last = at;
    }
    Ok(())
}

async fn log_level(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, NORMAL).await?;
    for (log, wanted) in [
        (json!({ "logLevel": "none" }), json!({ "logLevel": "warning" })),
        (json!({ "logLevel": "error" }), json!({ "logLevel": "warning" })),
        (json!({ "logLevel": "debug" }), json!({ "logLevel": "debug" })),
        (json!({ "loglevel": "none" }), json!({ "loglevel": "none" })),
        (
            json!({ "access": "/dev/null", "logLevel": "none", "dnsLog": true }),
            json!({ "access": "/dev/null", "logLevel": "warning", "dnsLog": true }),
        ),
        (json!({}), json!({})),
    ] {
        let config = json!({ "log": log, "inbounds": [] }).to_string();
        let got: Value = serde_json::from_str(&seen(&node, &core, &config).await?)?;
        ensure!(got["log"] == wanted, "{log} became {}", got["log"]);
    }
    Ok(())
}

async fn missing(scene: Scene) -> Result<()> {
    let (node, core) = Node::start(&scene, NORMAL).await?;
    for (config, routing_keys) in [
        ("{}", vec!["rules"]),
        ("[]", vec!["rules"]),
        (r#"{"routing":{}}"#, vec!["rules"]),
        // The original loses this key; here it stays.
        (
            r#"{"routing":{"domainStrategy":"AsIs"}}"#,
            vec!["domainStrategy", "rules"],
        ),
        (r#"{"inbounds":[],"routing":{"rules":[]}}"#, vec!["rules"]),
    ] {
        let text = seen(&node, &core, config).await?;
        ensure!(tags(&text)? == ["API_INBOUND"], "{config} became {text}");
        let parsed: Value = serde_json::from_str(&text)?;
        let routing = parsed["routing"].as_object().context("there is a routing")?;
        let mut keys: Vec<&String> = routing.keys().collect();
        keys.sort();
        ensure!(keys == routing_keys, "{config} has the routing {routing:?}");
        let rules = routing["rules"].as_array().map(Vec::len);
        ensure!(rules == Some(1), "{config} has {rules:?} rules");
        ensure!(
            parsed["stats"] == json!({}) && parsed["api"]["tag"] == "API",
            "{config} became {text}"
        );
    }
    Ok(())
}

async fn inbounds(scene: Scene) -> Result<()> {
    let config = json!({ "inbounds": [
        { "tag": "VLESS TCP", "protocol": "vless" },
        { "tag": "VLESS", "protocol": "vless" },
        { "tag": "TROJAN", "protocol": "trojan" },
        { "protocol": "vmess" },
        { "tag": "API_INBOUND", "protocol": "dokodemo-door" },
    ] });
    let core = FakeCore::new(&scene, NORMAL)?;
    for (filter, wanted) in [
        ("VLESS TCP,TROJAN", vec!["API_INBOUND", "VLESS TCP", "TROJAN"]),
        (" TROJAN ,  VLESS TCP ", vec!["API_INBOUND", "VLESS TCP", "TROJAN"]),
        ("vless", vec!["API_INBOUND"]),
        ("", vec!["API_INBOUND", "VLESS TCP", "VLESS", "TROJAN", "?"]),
    ] {
        let mut setup = Setup::new(&scene, &core.executable())?;
        setup.set("INBOUNDS", filter);
        let node = setup.start().await?;
        let mut panel = Panel::connect(&node).await?;
        let got = tags(&seen_by(&mut panel, &core, &config.to_string()).await?)?;
        ensure!(got == wanted, "INBOUNDS={filter:?} leaves {got:?}");
    }
    Ok(())
}

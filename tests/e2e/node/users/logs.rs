//! Two readers of one core's log.

use super::{Stage, suite, told};
use crate::harness::bridge::Bridge;
use crate::harness::doors::{Door, Doors};
use crate::harness::protocol::{Member, Protocol};
use crate::harness::visitor::talk;
use crate::harness::*;
use libtest_mimic::Trial;
use serde_json::{Value, json};

pub(super) fn trials() -> Vec<Trial> {
    suite().once("two_readers_see_every_line", follow).done()
}

/// Connections, each with a line of its own, and how many of them come at once: their lines and those around them fit into
/// what the node keeps for a reader that is behind.
const CONNECTIONS: usize = 240;
const AT_ONCE: usize = 8;

async fn follow(scene: Scene) -> Result<()> {
    let member = Member::new(1, &[Protocol::Vless]);
    let stage = Stage::new(&scene, &[Protocol::Vless]).await?;
    let mut grpc = stage.panel("grpc")?;
    let mut config = stage.config();
    config["log"]["loglevel"] = "info".into();
    // Whatever name they ask for, they reach the echo.
    config["outbounds"][0]["settings"] = json!({ "redirect": stage.echo() });
    let users = told(std::slice::from_ref(&member));
    grpc.ok(json!({ "do": "start", "config": config, "users": users }))
        .await?;
    let mut rest = stage.panel("rest")?;
    let doors = Doors::start(&scene, &[(&member, stage.servers[0])]).await?;
    let door = doors.door(0);

    let mut readers = [Reader::new(&mut grpc).await?, Reader::new(&mut rest).await?];
    visit(door, "begin").await?;
    until(&mut readers, "begin").await?;
    let names: Vec<String> = (0..CONNECTIONS).map(|number| format!("line-{number}")).collect();
    for (number, some) in names.chunks(AT_ONCE).enumerate() {
        futures_util::future::try_join_all(some.iter().map(|name| visit(door, name))).await?;
        // Everybody is up to date before it goes on.
        let mark = format!("mark-{number}");
        visit(door, &mark).await?;
        until(&mut readers, &mark).await?;
    }
    visit(door, "end").await?;
    until(&mut readers, "end").await?;

    let [of_grpc, of_rest] = [readers[0].between("begin", "end")?, readers[1].between("begin", "end")?];
    for name in &names {
        let accepted = |line: &&String| line.contains(&access(name)) && line.ends_with(&member.email);
        let count = of_grpc.iter().filter(accepted).count();
        ensure!(count == 1, "{count} lines of {name}");
    }
    let differs = of_grpc.iter().zip(of_rest).find(|(one, other)| one != other);
    ensure!(
        differs.is_none() && of_grpc.len() == of_rest.len(),
        "{} lines and {} lines, and the first that differ are {differs:?}",
        of_grpc.len(),
        of_rest.len()
    );
    ensure!(
        of_grpc.len() > 2 * CONNECTIONS,
        "only {} lines at level info",
        of_grpc.len()
    );
    Ok(())
}

/// A part of the line by which the core says that it lets a user through to `name`.
fn access(name: &str) -> String {
    format!("accepted tcp:{name}.test:80 ")
}

async fn visit(door: Door, name: &str) -> Result<()> {
    let mut stream = door.connect(&format!("{name}.test"), 80).await?;
    within(SOON, "an echo", talk(&mut stream, name.as_bytes())).await?
}

/// Waits until every reader has the line of `name`.
async fn until(readers: &mut [Reader<'_>], name: &str) -> Result<()> {
    futures_util::future::try_join_all(readers.iter_mut().map(|reader| reader.until(name))).await?;
    Ok(())
}

/// A panel that reads the log, and what it has read.
struct Reader<'a> {
    panel: &'a mut Bridge,
    lines: Vec<String>,
}

impl<'a> Reader<'a> {
    async fn new(panel: &'a mut Bridge) -> Result<Self> {
        panel.ok(json!({ "do": "follow" })).await?;
        Ok(Self {
            panel,
            lines: Vec::new(),
        })
    }

    async fn until(&mut self, name: &str) -> Result<()> {
        let lines = self.panel.ok(json!({ "do": "lines", "until": access(name) })).await?;
        let lines = lines.as_array().context("lines are a list")?;
        let text = |line: &Value| line.as_str().unwrap_or_default().to_owned();
        self.lines.extend(lines.iter().map(text));
        Ok(())
    }

    /// From the line of one name to that of another.
    fn between(&self, first: &str, last: &str) -> Result<&[String]> {
        let find = |name: &str| {
            self.lines
                .iter()
                .position(|line| line.contains(&access(name)))
                .context("both came")
        };
        Ok(&self.lines[find(first)?..=find(last)?])
    }
}

//! A core for what the real one does not do on request: this very binary, started by the node under the core's name.
//!
//! What it does is a script that a test may change between two starts: steps with `;` between them (see [`step`]).
//! After its last step it waits until it is killed. Everything that a life saw is recorded.

use super::scene::Scene;
use super::wait::eventually;
use super::{Context, Duration, Result, SOON, ensure};
use serde_json::{Value, json};
use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::time::sleep;

/// First argument by which this binary knows that it is to be a core.
const ROLE: &str = "fake-core";

/// What `version` prints unless a test wants something else.
pub const VERSION_TEXT: &str =
    "Xray 26.3.27 (Xray, Penetrates Everything.) e2e (go1.26 linux/amd64)\nA core of the tests\n";

/// The line by which a core says that it is ready.
pub const READY: &str = "2026/03/27 10:20:30.405060 [Warning] core: Xray 26.3.27 started";

/// Ready, then says what it is told to by [`FakeCore::say`].
pub const NORMAL: &str = "ready;follow";

/// How often `follow` looks for something to say, and `lines` writes.
const TICK: Duration = Duration::from_millis(10);

/// A core in a directory of its own.
#[derive(Debug, Clone)]
pub struct FakeCore {
    directory: PathBuf,
}

/// What one start of it saw.
#[derive(Debug, Clone)]
pub struct Life {
    /// Process id.
    pub pid: u32,
    /// Process group.
    pub group: u32,
    /// Arguments behind the program's name.
    pub arguments: Vec<String>,
    /// Its whole environment, `NAME=value`.
    pub environment: Vec<String>,
    /// Its open descriptors.
    pub descriptors: Vec<String>,
    /// When it began.
    pub began: SystemTime,
    /// When it ended by itself or by a SIGTERM that it noticed.
    pub ended: Option<SystemTime>,
    /// What it read from its standard input, if it did.
    pub config: Option<String>,
}

impl FakeCore {
    /// A core that does `script` whenever it is started.
    pub fn new(scene: &Scene, script: &str) -> Result<Self> {
        let directory = scene.file("core");
        std::fs::create_dir_all(directory.join("lives"))?;
        let core = Self { directory };
        core.script(script)?;
        core.version(VERSION_TEXT)?;
        std::fs::write(core.directory.join("speech"), "")?;
        let binary = std::env::current_exe()?;
        // The core's environment is empty: what it has to know stands in its command line.
        let wrapper = format!(
            "#!/bin/sh\nexec '{}' {ROLE} '{}' \"$@\"\n",
            binary.display(),
            core.directory.display()
        );
        scene.script(&core.executable(), &wrapper)?;
        Ok(core)
    }

    /// What to name in `XRAY_EXECUTABLE_PATH`.
    pub fn executable(&self) -> PathBuf {
        self.directory.join("xray")
    }

    /// What it does from its next start on.
    pub fn script(&self, script: &str) -> Result<()> {
        Ok(std::fs::write(self.directory.join("script"), script)?)
    }

    /// What `version` prints from now on.
    pub fn version(&self, text: &str) -> Result<()> {
        Ok(std::fs::write(self.directory.join("version"), text)?)
    }

    /// Has a core that does `follow` print `text`.
    pub fn say(&self, text: &str) -> Result<()> {
        let mut speech = std::fs::OpenOptions::new()
            .append(true)
            .open(self.directory.join("speech"))?;
        Ok(speech.write_all(text.as_bytes())?)
    }

    /// Every start with `run` so far, oldest first.
    pub fn lives(&self) -> Result<Vec<Life>> {
        let mut names: Vec<PathBuf> = std::fs::read_dir(self.directory.join("lives"))?
            .filter_map(|entry| Some(entry.ok()?.path()))
            .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
            .collect();
        names.sort();
        names.iter().map(|name| read_life(name)).collect()
    }

    /// The start number `number` (from 1), once it has read its configuration.
    pub async fn life(&self, number: usize) -> Result<Life> {
        let look = || async {
            let lives = self.lives()?;
            let life = lives.get(number - 1).context("it was not started")?;
            ensure!(life.config.is_some(), "it has not read its configuration");
            Ok(life.clone())
        };
        Ok(eventually(SOON, &format!("start {number} of the core"), look).await?.0)
    }
}

fn read_life(path: &Path) -> Result<Life> {
    let life: Value = serde_json::from_slice(&std::fs::read(path)?)?;
    let number = |key: &str| life[key].as_u64().and_then(|n| u32::try_from(n).ok());
    let list = |key: &str| {
        let items = life[key].as_array().map(Vec::as_slice).unwrap_or_default();
        items
            .iter()
            .filter_map(|item| Some(item.as_str()?.to_owned()))
            .collect()
    };
    let modified = |path: PathBuf| std::fs::metadata(path).and_then(|data| data.modified()).ok();
    Ok(Life {
        pid: number("pid").context("a life has a pid")?,
        group: number("group").context("a life has a group")?,
        arguments: list("arguments"),
        environment: list("environment"),
        descriptors: list("descriptors"),
        began: modified(path.to_owned()).context("a file has a time")?,
        ended: modified(path.with_extension("ended")),
        config: std::fs::read_to_string(path.with_extension("config")).ok(),
    })
}

/// Is the core, if that is what this process was started for.
pub fn run_if_asked() -> Option<ExitCode> {
    let mut arguments = std::env::args().skip(1);
    if arguments.next().as_deref() != Some(ROLE) {
        return None;
    }
    let directory = PathBuf::from(arguments.next().unwrap_or_default());
    let outcome = match arguments.next().as_deref() {
        Some("version") => std::fs::read_to_string(directory.join("version"))
            .map_err(anyhow::Error::from)
            .and_then(|text| say(&text)),
        _ => live(&directory),
    };
    // Only a script's own step ends it with a code of its choice.
    Some(match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("the core of the tests failed: {error:#}");
            ExitCode::from(99)
        }
    })
}

fn live(directory: &Path) -> Result<()> {
    let script = std::fs::read_to_string(directory.join("script"))?;
    // Before anybody can know that this life has begun: what is said from now on is for it.
    let speech = Speech::from_its_end(directory)?;
    let record = record(directory)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        if !script.starts_with("deaf") {
            let mut config = String::new();
            std::io::stdin().read_to_string(&mut config)?;
            replace(&record.with_extension("config"), config.as_bytes())?;
        }
        for text in script.split(';') {
            step(text, &speech, &record).await?;
        }
        std::future::pending().await
    })
}

/// Does one step of a script.
///
/// | step | |
/// |---|---|
/// | `deaf` | as the first: never reads its standard input |
/// | `ready` | prints [`READY`] |
/// | `say:TEXT`, `err:TEXT` | prints a line |
/// | `count:N` | prints `line 1` to `line N` |
/// | `flood:KIB` | writes that much to standard error |
/// | `lines:N` | prints N lines in each second, for ever |
/// | `follow` | prints what [`FakeCore::say`] says, for ever |
/// | `sleep:MS` | |
/// | `exit:CODE` | |
/// | `ignore-term` | SIGTERM does nothing from here on |
/// | `slow-term:MS` | from here on SIGTERM ends it after that time |
async fn step(text: &str, speech: &Speech, record: &Path) -> Result<()> {
    let (name, value) = text.split_once(':').unwrap_or((text, ""));
    let number = || {
        value
            .parse::<u64>()
            .with_context(|| format!("the step {text:?} has a number"))
    };
    match name {
        "deaf" => {}
        "ready" => say(&format!("{READY}\n"))?,
        "say" => say(&format!("{value}\n"))?,
        "err" => eprintln!("{value}"),
        "count" => say(&(1..=number()?).map(|n| format!("line {n}\n")).collect::<String>())?,
        "flood" => {
            let kib = "noise on standard error".repeat(45);
            (0..number()?).for_each(|_| eprintln!("{kib}"));
        }
        "lines" => flow(number()?).await?,
        "follow" => speech.follow().await?,
        "sleep" => sleep(Duration::from_millis(number()?)).await,
        "exit" => {
            replace(&record.with_extension("ended"), b"")?;
            std::process::exit(i32::try_from(number()?)?);
        }
        "ignore-term" => {
            let term = signal(SignalKind::terminate())?;
            tokio::spawn(ignore(term));
        }
        "slow-term" => {
            let (term, patience) = (signal(SignalKind::terminate())?, Duration::from_millis(number()?));
            tokio::spawn(end_slowly(term, patience, record.with_extension("ended")));
        }
        _ => anyhow::bail!("{text:?} is no step of a script"),
    }
    Ok(())
}

async fn ignore(mut term: Signal) {
    while term.recv().await.is_some() {}
}

async fn end_slowly(mut term: Signal, patience: Duration, ended: PathBuf) {
    if term.recv().await.is_some() {
        sleep(patience).await;
        // Without it the test that waits for the end fails, and says so.
        let _ = replace(&ended, b"");
        std::process::exit(0);
    }
}

/// `rate` lines in each second.
async fn flow(rate: u64) -> Result<()> {
    let begin = std::time::Instant::now();
    let mut said = 0;
    loop {
        let due = u64::try_from(begin.elapsed().as_millis())? * rate / 1000;
        let lines = (said..due).map(|n| format!("2026/03/27 10:20:30.405060 [Info] line {n} of a flood\n"));
        say(&lines.collect::<String>())?;
        said = due;
        sleep(TICK).await;
    }
}

/// What a test says to its core.
struct Speech(std::fs::File);

impl Speech {
    fn from_its_end(directory: &Path) -> Result<Self> {
        let mut file = std::fs::File::open(directory.join("speech"))?;
        std::io::Seek::seek(&mut file, std::io::SeekFrom::End(0))?;
        Ok(Self(file))
    }

    async fn follow(&self) -> Result<()> {
        loop {
            let mut text = String::new();
            (&self.0).read_to_string(&mut text)?;
            say(&text)?;
            sleep(TICK).await;
        }
    }
}

fn say(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    Ok(out.flush()?)
}

/// Writes down what this life began with; the path of the record.
fn record(directory: &Path) -> Result<PathBuf> {
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH)?.as_nanos();
    let pid = std::process::id();
    let path = directory.join("lives").join(format!("{now:030}-{pid}.json"));
    let descriptors = std::fs::read_dir("/proc/self/fd")?.filter_map(|entry| {
        let entry = entry.ok()?;
        let target = std::fs::read_link(entry.path()).ok()?;
        // Files of this harness are not the node's doing.
        if target.starts_with(directory) {
            return None;
        }
        Some(format!("{} {}", entry.file_name().display(), target.display()))
    });
    let life = json!({
        "pid": pid,
        "group": rustix::process::getpgrp().as_raw_nonzero().get(),
        // Nor are the arguments of its wrapper.
        "arguments": std::env::args().skip(3).collect::<Vec<_>>(),
        "environment": std::env::vars().map(|(name, value)| format!("{name}={value}")).collect::<Vec<_>>(),
        "descriptors": descriptors.collect::<Vec<_>>(),
    });
    replace(&path, life.to_string().as_bytes())?;
    Ok(path)
}

/// Nobody sees half of it.
fn replace(path: &Path, content: &[u8]) -> Result<()> {
    let unfinished = path.with_extension("unfinished");
    std::fs::write(&unfinished, content)?;
    Ok(std::fs::rename(&unfinished, path)?)
}

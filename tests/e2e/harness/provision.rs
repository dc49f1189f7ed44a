//! What the tests of the node need and a machine may not have: the real xray-core, and the panel's Python libraries.
//!
//! Both are made once below the target directory. It takes minutes, so it begins when the tests do, in the background,
//! and a test that needs it waits before its own time starts to run.

use super::trial::Missing;
use super::{Context, Result, bail};
use std::fs::File;
use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;
use std::time::Instant;

/// The Go module version of xray-core 26.3.27, with which the specification was measured.
const XRAY_MODULE: &str = "github.com/xtls/xray-core/main@v1.260327.0";

/// The folder of the built core; its name changes with the version.
const XRAY_FOLDER: &str = "xray-1.260327.0";

/// The libraries of a Marzban panel at its versions.
const REQUIREMENTS: &str = include_str!("../../python/requirements.txt");

/// The libraries of Gozargah and PasarGuard panels.
const BRIDGE_REQUIREMENTS: &str = include_str!("../../python/requirements-bridge.txt");

/// The library of earlier PasarGuard panels, which cannot be where the later one is.
const OLD_BRIDGE_REQUIREMENTS: &str = include_str!("../../python/requirements-bridge-0.8.txt");

/// The library of Gozargah panels that have sessions, pinned.
const SESSION_BRIDGE_REQUIREMENTS: &str = include_str!("../../python/requirements-bridge-0.0.txt");

/// Something that is made once. The error is text, because everybody who waits for it gets it.
type Made = OnceLock<Result<PathBuf, Fault>>;

#[derive(Debug, Clone)]
enum Fault {
    Missing(&'static str),
    Broken(String),
}

/// The real core: `XRAY_EXECUTABLE_PATH`, or `xray` on PATH, or one that is built here.
pub fn xray() -> Result<PathBuf> {
    static XRAY: Made = OnceLock::new();
    get(&XRAY, || {
        if let Some(path) = std::env::var_os("XRAY_EXECUTABLE_PATH") {
            return Ok(path.into());
        }
        match on_path("xray") {
            Some(path) => Ok(path),
            None => make(XRAY_FOLDER, "xray", build_xray),
        }
    })
}

/// A Python interpreter that has a Marzban panel's libraries.
pub fn python() -> Result<PathBuf> {
    static PYTHON: Made = OnceLock::new();
    get(&PYTHON, || {
        make(&python_folder("panel", REQUIREMENTS), "bin/python", |folder| {
            build_python(folder, REQUIREMENTS)
        })
    })
}

/// A Python interpreter that has the libraries of Gozargah and PasarGuard panels.
pub fn bridge() -> Result<PathBuf> {
    static BRIDGE: Made = OnceLock::new();
    get(&BRIDGE, || {
        make(&python_folder("bridge", BRIDGE_REQUIREMENTS), "bin/python", |folder| {
            build_python(folder, BRIDGE_REQUIREMENTS)
        })
    })
}

/// A Python interpreter that has the library of earlier PasarGuard panels.
pub fn old_bridge() -> Result<PathBuf> {
    static BRIDGE: Made = OnceLock::new();
    get(&BRIDGE, || {
        make(
            &python_folder("bridge", OLD_BRIDGE_REQUIREMENTS),
            "bin/python",
            |folder| build_python(folder, OLD_BRIDGE_REQUIREMENTS),
        )
    })
}

/// A Python interpreter that has the library of Gozargah panels that have sessions.
pub fn session_bridge() -> Result<PathBuf> {
    static BRIDGE: Made = OnceLock::new();
    get(&BRIDGE, || {
        make(
            &python_folder("bridge", SESSION_BRIDGE_REQUIREMENTS),
            "bin/python",
            |folder| build_python(folder, SESSION_BRIDGE_REQUIREMENTS),
        )
    })
}

/// Another folder for other requirements.
fn python_folder(name: &str, requirements: &str) -> String {
    let mut hash = DefaultHasher::new();
    requirements.hash(&mut hash);
    format!("{name}-{:016x}", hash.finish())
}

/// Starts making something without waiting for it.
pub fn begin(make: fn() -> Result<PathBuf>) {
    // Whoever needs it asks again, and gets the error then.
    std::thread::spawn(move || drop(make()));
}

fn get(made: &Made, find: impl FnOnce() -> Result<PathBuf>) -> Result<PathBuf> {
    let found = made.get_or_init(|| {
        find().map_err(|error| match error.downcast_ref::<Missing>() {
            Some(missing) => Fault::Missing(missing.0),
            None => Fault::Broken(format!("{error:#}")),
        })
    });
    match found {
        Ok(path) => Ok(path.clone()),
        Err(Fault::Missing(what)) => bail!(Missing(what)),
        Err(Fault::Broken(text)) => bail!("{text}"),
    }
}

/// `file` in the folder `name`, which `build` fills unless it is there already. Other runs of the tests wait for this one.
fn make(name: &str, file: &str, build: fn(&Path) -> Result<()>) -> Result<PathBuf> {
    let base = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let folder = base.join(name);
    let result = folder.join(file);
    let lock = File::create(base.join(format!("{name}.lock")))?;
    lock.lock().context("locking what is provisioned")?;
    if !result.exists() {
        let begin = Instant::now();
        let unfinished = base.join(format!("{name}.unfinished"));
        for old in [&unfinished, &folder] {
            // Left by a run that was killed.
            let _ = std::fs::remove_dir_all(old);
        }
        std::fs::create_dir_all(&unfinished)?;
        build(&unfinished)?;
        std::fs::rename(&unfinished, &folder)?;
        eprintln!("provisioned {} in {} s", result.display(), begin.elapsed().as_secs());
    }
    Ok(result)
}

fn build_xray(folder: &Path) -> Result<()> {
    let Some(go) = on_path("go") else {
        bail!(Missing("there is neither xray nor go to build it with"));
    };
    let mut install = Command::new(go);
    install
        .args(["install", "-trimpath", "-ldflags=-s -w", XRAY_MODULE])
        .env("GOBIN", folder)
        .env("CGO_ENABLED", "0")
        .env_remove("GOFLAGS");
    run(&mut install)?;
    Ok(std::fs::rename(folder.join("main"), folder.join("xray"))?)
}

fn build_python(folder: &Path, requirements: &str) -> Result<()> {
    let Some(python) = on_path("python3") else {
        bail!(Missing("python3 is missing"));
    };
    // Copied interpreters and absolute paths would not survive the folder's new name: only links and `python -m`.
    run(Command::new(python).args(["-m", "venv", "--symlinks"]).arg(folder))?;
    let file = folder.join("requirements.txt");
    std::fs::write(&file, requirements)?;
    let mut install = Command::new(folder.join("bin/python"));
    install
        .args([
            "-m",
            "pip",
            "install",
            "--quiet",
            "--disable-pip-version-check",
            "--no-input",
            // The libraries of newer panels ask for a newer Python than they need.
            "--ignore-requires-python",
            "-r",
        ])
        .arg(file);
    run(&mut install)
}

fn run(command: &mut Command) -> Result<()> {
    let output = command.output().with_context(|| format!("running {command:?}"))?;
    if !output.status.success() {
        let said = String::from_utf8_lossy(&output.stderr);
        bail!("{command:?} ended with {}:\n{said}", output.status);
    }
    Ok(())
}

/// A program on PATH.
pub fn on_path(name: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path)
        .map(|folder| folder.join(name))
        .find(|file| file.is_file())
}

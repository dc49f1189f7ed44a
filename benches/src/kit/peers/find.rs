//! Finding the programs of peers, and installing the one that a registry carries.

use super::Peer;
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The rathole that is installed when none is found.
const RATHOLE: &str = "0.5.0";

/// The peers of one run.
#[derive(Debug, Clone, Default)]
pub(crate) struct Peers {
    wanted: Vec<Peer>,
    found: BTreeMap<Peer, Found>,
    /// Who could not be had, and why.
    missing: BTreeMap<String, String>,
}

#[derive(Debug, Clone)]
struct Found {
    programs: Vec<PathBuf>,
    version: String,
}

impl Peer {
    /// The executables that it consists of; none for what is part of this kit.
    fn executables(self) -> &'static [&'static str] {
        match self {
            Self::Rathole => &["rathole"],
            Self::Frp => &["frps", "frpc"],
            Self::Backhaul => &["backhaul"],
            Self::Haproxy => &["haproxy"],
            Self::Realm => &["realm"],
            _ => &[],
        }
    }

    /// The release that the targets were set for, as it stands in what the program says of itself.
    fn usual_version(self) -> &'static str {
        match self {
            Self::Rathole => RATHOLE,
            Self::Frp => "0.70",
            Self::Backhaul => "0.7.2",
            Self::Realm => "2.9",
            _ => "",
        }
    }

    fn version_option(self) -> &'static str {
        match self {
            Self::Backhaul | Self::Haproxy => "-v",
            _ => "--version",
        }
    }
}

impl Peers {
    /// Looks for everybody in `wanted`; installs rathole if it has to.
    pub(crate) fn find(wanted: &[Peer], folder: Option<&Path>) -> Self {
        let installed = installed();
        let mut places: Vec<PathBuf> = folder.map(Path::to_owned).into_iter().collect();
        places.push(installed.join("bin"));
        places.extend(std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()));
        // Debian puts daemons where only root's PATH reaches.
        places.push("/usr/sbin".into());
        let mut peers = Self {
            wanted: wanted.to_vec(),
            ..Self::default()
        };
        for peer in wanted.iter().filter(|peer| !peer.executables().is_empty()) {
            match look(*peer, &places).or_else(|why| install(*peer, &installed).context(why)) {
                Ok(found) => {
                    peers.found.insert(*peer, found);
                }
                Err(error) => {
                    peers.missing.insert(peer.name(), format!("{error:#}"));
                }
            }
        }
        peers
    }

    /// Those of the wanted that can take part.
    pub(crate) fn available(&self) -> impl Iterator<Item = Peer> {
        self.wanted
            .iter()
            .copied()
            .filter(|peer| peer.executables().is_empty() || self.found.contains_key(peer))
    }

    /// Its executables, in the order of `executables`.
    pub(super) fn programs(&self, peer: Peer) -> Option<&[PathBuf]> {
        Some(&self.found.get(&peer)?.programs)
    }

    /// Who could not be had, and why.
    pub(crate) fn missing(&self) -> &BTreeMap<String, String> {
        &self.missing
    }

    /// Says who is of another release than the targets were set for.
    pub(crate) fn warn_of_others(&self) {
        for (peer, found) in &self.found {
            let usual = peer.usual_version();
            if !found.version.contains(usual) {
                println!(
                    "{} is `{}`; the targets were set for {usual}",
                    peer.name(),
                    found.version
                );
            }
        }
    }

    /// What each says that it is.
    pub(crate) fn versions(&self) -> BTreeMap<String, String> {
        let version = |(peer, found): (&Peer, &Found)| (peer.name(), found.version.clone());
        self.found.iter().map(version).collect()
    }
}

/// `target/peers` of this workspace.
fn installed() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/peers")
}

fn look(peer: Peer, places: &[PathBuf]) -> Result<Found> {
    let places = std::env::join_paths(places).context("looking for programs")?;
    let find = |executable: &&str| {
        which::which_in(executable, Some(&places), ".")
            .with_context(|| format!("no `{executable}` on PATH or in --peers-dir"))
    };
    let programs = peer.executables().iter().map(find).collect::<Result<Vec<_>>>()?;
    let version = version(&programs[0], peer.version_option())?;
    Ok(Found { programs, version })
}

/// What the program prints about itself, the line that matters.
fn version(program: &Path, option: &str) -> Result<String> {
    let output = Command::new(program)
        .arg(option)
        .stdin(Stdio::null())
        .output()
        .with_context(|| format!("running {}", program.display()))?;
    let text = [output.stdout, output.stderr].concat();
    Ok(version_line(&String::from_utf8_lossy(&text)))
}

/// The first line with a digit that speaks of a version, or the first with a digit.
fn version_line(text: &str) -> String {
    let with_digit = || text.lines().filter(|line| line.contains(|c: char| c.is_ascii_digit()));
    let line = with_digit().find(|line| line.to_lowercase().contains("version"));
    let words = line
        .or_else(|| with_digit().next())
        .unwrap_or("unknown")
        .split_whitespace();
    words.collect::<Vec<_>>().join(" ")
}

/// Builds rathole into `folder`. Without `--locked`: its lock file names versions that today's compilers refuse.
fn install(peer: Peer, folder: &Path) -> Result<Found> {
    ensure!(peer == Peer::Rathole, "no registry carries it");
    eprintln!("installing rathole {RATHOLE} into target/peers");
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let status = Command::new(cargo)
        .args(["install", "rathole", "--version", RATHOLE, "--no-default-features"])
        .args(["--features", "server,client", "--root"])
        .arg(folder)
        .status()
        .context("starting cargo")?;
    ensure!(status.success(), "cargo install rathole: {status}");
    look(peer, &[folder.join("bin")])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_version_is_found_among_other_lines() {
        let rathole = "rathole \nBuild Timestamp:     2026-11-24T22:04:10Z\nBuild Version:       0.5.0\n";
        assert_eq!(version_line(rathole), "Build Version: 0.5.0");
        assert_eq!(version_line("Realm 2.9.4 [proxy]\n"), "Realm 2.9.4 [proxy]");
        assert_eq!(version_line(""), "unknown");
    }
}

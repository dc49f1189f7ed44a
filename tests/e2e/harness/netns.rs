//! Network namespaces that vanish by themselves: each lives as long as a child that reads from a pipe.

use super::trial::Missing;
use anyhow::{Context, Result, bail, ensure};
use rustix::thread::{LinkNameSpaceType, move_into_link_name_space};
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

/// A network namespace with its loopback up. Clones share it; the last one ends it, as does the end of the tests.
#[derive(Debug, Clone)]
pub struct Netns(Arc<Holder>);

#[derive(Debug)]
struct Holder {
    child: Child,
    file: File,
}

impl Drop for Holder {
    fn drop(&mut self) {
        // The holder ends when its pipe closes; killing it first only makes that quicker.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Netns {
    /// Makes a namespace. [`Missing`] without root or without the tools.
    pub fn new() -> Result<Self> {
        if !rustix::process::geteuid().is_root() {
            bail!(Missing("network namespaces need root"));
        }
        let unshare = Command::new("unshare")
            .args(["--net", "cat"])
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn();
        let child = unshare.context(Missing("the tool unshare is missing"))?;
        let own = std::fs::read_link("/proc/self/ns/net")?;
        let path = format!("/proc/{}/ns/net", child.id());
        // The child is in a new namespace a moment after it was started.
        for _ in 0..500 {
            if std::fs::read_link(&path).is_ok_and(|link| link != own) {
                let netns = Self(Arc::new(Holder {
                    file: File::open(&path)?,
                    child,
                }));
                netns.ip("link set lo up")?;
                return Ok(netns);
            }
            std::thread::sleep(std::time::Duration::from_millis(10));
        }
        bail!(Missing("this machine makes no network namespaces"))
    }

    /// Runs `work` on a thread inside the namespace. Sockets and children made there stay in it.
    pub fn enter<T: Send>(&self, work: impl FnOnce() -> T + Send) -> Result<T> {
        std::thread::scope(|scope| {
            let inside = scope.spawn(|| {
                move_into_link_name_space(self.0.file.as_fd(), Some(LinkNameSpaceType::Network))?;
                Ok(work())
            });
            inside.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
        })
    }

    /// Runs `ip ARGS` inside.
    pub fn ip(&self, args: &str) -> Result<()> {
        self.run("ip", args)
    }

    /// Runs a tool of iproute2 inside.
    pub fn run(&self, tool: &str, args: &str) -> Result<()> {
        let output = self.enter(|| Command::new(tool).args(args.split(' ')).output())?;
        let output = output.context(Missing("a tool of iproute2 (ip, tc) is missing"))?;
        ensure!(
            output.status.success(),
            "{tool} {args}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        Ok(())
    }

    /// Connects two namespaces by a pair of interfaces called `name`, each with its address and a /24 network.
    pub fn link(&self, own: IpAddr, other: &Self, theirs: IpAddr, name: &str) -> Result<()> {
        let there = other.0.child.id();
        self.ip(&format!("link add {name} type veth peer name {name} netns {there}"))?;
        for (netns, address) in [(self, own), (other, theirs)] {
            netns.ip(&format!("addr add {address}/24 dev {name}"))?;
            netns.ip(&format!("link set {name} up"))?;
        }
        Ok(())
    }

    /// Lets the namespace forward packets between its interfaces.
    pub fn forward(&self) -> Result<()> {
        self.enter(|| std::fs::write("/proc/sys/net/ipv4/ip_forward", "1"))?
            .context("switching forwarding on")
    }
}

//! The two ends are far apart: every packet takes 50 ms.

use crate::harness::process::Setting;
use crate::harness::trial::Missing;
use crate::harness::tunnel::SERVICE;
use crate::harness::*;
use kariz_bench::load::wait_until_up;
use kariz_bench::path::{self, DelayedPath};
use kariz_bench::target::Target as FarTarget;
use kariz_bench::visitor;
use libtest_mimic::Trial;
use std::net::{Ipv4Addr, TcpStream};
use std::thread::JoinHandle;

pub fn trials() -> Vec<Trial> {
    Suite::new("distance")
        .lanes("server_finishes_transfers_on_sigterm", |scene| {
            drain(scene, End::Server)
        })
        .lanes("client_finishes_transfers_on_sigterm", |scene| {
            drain(scene, End::Client)
        })
        .done()
}

/// Who is told to go.
#[derive(Clone, Copy, PartialEq)]
enum End {
    Server,
    Client,
}

const ONE_WAY: Duration = millis(50);
const ENTRY: SocketAddr = SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8000);
const CARRIER: SocketAddr = SocketAddr::new(IpAddr::V4(path::FIRST), 4040);

/// A server here, a client and its target there.
struct World {
    path: DelayedPath,
    server: Kariz,
    client: Kariz,
    _target: FarTarget,
}

impl World {
    fn start(scene: &Scene) -> Result<Self> {
        if !rustix::process::geteuid().is_root() || !std::path::Path::new("/dev/net/tun").exists() {
            bail!(Missing("a path with delay needs root and /dev/net/tun"));
        }
        let path = DelayedPath::new(ONE_WAY)?;
        let target = path.second.run(|| FarTarget::start((Ipv4Addr::LOCALHOST, 0).into()))?;
        let mut server = Config::server(scene, CARRIER);
        server.server_service(SERVICE, ENTRY);
        let mut client = Config::client(scene, CARRIER);
        client.client_service(SERVICE, target.address());
        let start = |role: &'static str, config: Config| {
            let scene = scene.clone();
            move || Kariz::start_with(&scene, role, &config, Setting::default())
        };
        let world = Self {
            server: path.first.run(start("server", server))?,
            client: path.second.run(start("client", client))?,
            path,
            _target: target,
        };
        world.path.first.run(|| wait_until_up(ENTRY, BACK))?;
        Ok(world)
    }

    /// Downloads in the background; every byte is checked.
    fn download(&self, seed: u64, bytes: u64) -> JoinHandle<Result<()>> {
        self.path.first.run(move || {
            std::thread::spawn(move || {
                let stream = TcpStream::connect(ENTRY)?;
                Ok(visitor::download(&stream, seed, bytes)?)
            })
        })
    }
}

/// What is under way when the signal comes is more than the path holds, and arrives to the last byte.
async fn drain(scene: Scene, end: End) -> Result<()> {
    const BYTES: u64 = 64 << 20;
    let mut world = World::start(&scene)?;
    let transfers: Vec<_> = (0..4).map(|_| world.download(scene.stream_seed(), BYTES)).collect();
    tokio::time::sleep(millis(700)).await;
    ensure!(
        transfers.iter().all(|transfer| !transfer.is_finished()),
        "a transfer has ended before the signal"
    );
    let process = match end {
        End::Server => &mut world.server,
        End::Client => &mut world.client,
    };
    process.signal(Signal::TERM)?;
    let status = process.exit(secs(60)).await?;
    ensure!(status.code() == Some(0), "the exit status is {status}");
    for transfer in transfers {
        let ended = transfer.join();
        ended
            .map_err(|_| anyhow::anyhow!("a visitor panicked"))?
            .context("a transfer that was under way")?;
    }
    Ok(())
}

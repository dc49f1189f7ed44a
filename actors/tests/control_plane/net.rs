//! A network in memory: control carriers are pipes that a test can cut, silence or leave half open.

use kariz_actors::dataplane::{Arrival, ControlCarrier, ControlStream};
use std::collections::HashMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
use tokio::sync::{mpsc, watch};

/// What happens to the bytes of a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Path {
    Open,
    /// Nothing arrives any more, nobody is told.
    Silent,
    /// The client sees the end, the server hears nothing any more.
    HalfOpen,
    /// Both see the end.
    Cut,
}

#[derive(Default)]
pub(crate) struct Net {
    servers: Mutex<HashMap<SocketAddr, mpsc::Sender<Arrival>>>,
    paths: Mutex<Vec<(SocketAddr, watch::Sender<Path>)>>,
    dials: AtomicUsize,
}

impl Net {
    pub(crate) fn listen(&self, address: SocketAddr, arrivals: mpsc::Sender<Arrival>) {
        self.servers.lock().unwrap().insert(address, arrivals);
    }

    /// The server refuses connections from now on; [`Net::listen`] with what this returns makes it accept again.
    pub(crate) fn close(&self, address: SocketAddr) -> Option<mpsc::Sender<Arrival>> {
        self.servers.lock().unwrap().remove(&address)
    }

    /// How often anybody tried to connect.
    pub(crate) fn dials(&self) -> usize {
        self.dials.load(Ordering::Relaxed)
    }

    /// Changes all paths that were opened so far.
    pub(crate) fn set_all(&self, path: Path) {
        for (_, sender) in self.paths.lock().unwrap().drain(..) {
            sender.send_replace(path);
        }
    }

    /// Changes the paths that one client (by its source address) has opened so far.
    pub(crate) fn set(&self, client: SocketAddr, path: Path) {
        for (from, sender) in self.paths.lock().unwrap().iter() {
            if *from == client {
                sender.send_replace(path);
            }
        }
    }

    pub(crate) async fn connect(&self, from: SocketAddr, to: SocketAddr) -> io::Result<Box<dyn ControlStream>> {
        self.dials.fetch_add(1, Ordering::Relaxed);
        let server = self.servers.lock().unwrap().get(&to).cloned();
        let server = server.ok_or(io::ErrorKind::ConnectionRefused)?;
        let (path, changes) = watch::channel(Path::Open);
        self.paths.lock().unwrap().push((from, path));
        let (client_end, client_side) = duplex(64 << 10);
        let (server_end, server_side) = duplex(64 << 10);
        tokio::spawn(pipe(client_side, server_side, changes));
        tokio::spawn(async move {
            let mut stream = server_end;
            let mut first = vec![0; 4096];
            let length = stream.read(&mut first).await.unwrap_or(0);
            first.truncate(length);
            let carrier = ControlCarrier {
                stream: Box::new(stream),
                first: first.into(),
                peer: from,
            };
            let _ = server.send(Arrival::Control(carrier)).await;
        });
        Ok(Box::new(client_end))
    }
}

async fn pipe(mut client: DuplexStream, mut server: DuplexStream, mut changes: watch::Receiver<Path>) {
    let (mut up, mut down) = (vec![0; 16 << 10], vec![0; 16 << 10]);
    loop {
        let path = *changes.borrow_and_update();
        match path {
            Path::Cut => return,
            Path::Open => {}
            Path::Silent | Path::HalfOpen => {
                let _server = server;
                let _client = (path == Path::Silent).then_some(client);
                return std::future::pending().await;
            }
        }
        tokio::select! {
            // A path whose test is over stays as it is.
            Ok(()) = changes.changed() => {}
            Ok(length) = client.read(&mut up) => {
                if length == 0 || server.write_all(&up[..length]).await.is_err() {
                    return;
                }
            }
            Ok(length) = server.read(&mut down) => {
                if length == 0 || client.write_all(&down[..length]).await.is_err() {
                    return;
                }
            }
            else => return,
        }
    }
}

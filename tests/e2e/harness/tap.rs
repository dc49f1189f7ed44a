//! A forwarder between client and server that records what it forwards, and can change, hold or replay it.

use super::scene::Scene;
use super::target::listen;
use anyhow::Result;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Instant;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, tcp};
use tokio::task::{JoinHandle, JoinSet};

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Way {
    /// From the client to the server.
    ToServer,
    /// From the server to the client.
    ToClient,
}

/// One read of the forwarder.
#[derive(Debug, Clone)]
pub struct Piece {
    /// Direction.
    pub way: Way,
    /// Bytes as they came.
    pub bytes: Vec<u8>,
    /// When.
    pub at: Instant,
}

/// What may be done to bytes before they go on: direction, offset in that direction, the bytes.
pub type Change = Arc<dyn Fn(Way, u64, &mut [u8]) + Send + Sync>;

/// Changes nothing.
pub fn untouched() -> Change {
    Arc::new(|_, _, _| {})
}

/// A recording forwarder.
pub struct Tap {
    address: SocketAddr,
    record: Arc<Mutex<Vec<Vec<Piece>>>>,
    task: JoinHandle<()>,
}

impl Tap {
    /// Forwards a fresh address to `remote`.
    pub fn start(scene: &Scene, remote: SocketAddr) -> Result<Self> {
        Self::start_changing(scene, remote, untouched())
    }

    /// Forwards a fresh address to `remote` and lets `change` alter the bytes.
    pub fn start_changing(scene: &Scene, remote: SocketAddr, change: Change) -> Result<Self> {
        let address = scene.address();
        let listener = listen(address, None)?;
        let record: Arc<Mutex<Vec<Vec<Piece>>>> = Arc::default();
        let book = record.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let (book, change) = (book.clone(), change.clone());
                connections.spawn(async move {
                    let Ok(server) = TcpStream::connect(remote).await else {
                        return;
                    };
                    let number = {
                        let mut book = book.lock().expect("no test panics with the book");
                        book.push(Vec::new());
                        book.len() - 1
                    };
                    let (from_client, to_client) = client.into_split();
                    let (from_server, to_server) = server.into_split();
                    let note = |piece| book.lock().expect("no test panics with the book")[number].push(piece);
                    tokio::join!(
                        forward(Way::ToServer, from_client, to_server, &change, &note),
                        forward(Way::ToClient, from_server, to_client, &change, &note),
                    );
                });
            }
        });
        Ok(Self { address, record, task })
    }

    /// Where the client has to connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// What every connection so far has carried.
    pub fn record(&self) -> Vec<Vec<Piece>> {
        self.record.lock().expect("no test panics with the book").clone()
    }

    /// All bytes of each connection in one direction.
    pub fn bytes(&self, way: Way) -> Vec<Vec<u8>> {
        let of = |pieces: &Vec<Piece>| {
            pieces
                .iter()
                .filter(|p| p.way == way)
                .flat_map(|p| p.bytes.clone())
                .collect()
        };
        self.record().iter().map(of).collect()
    }
}

impl Drop for Tap {
    fn drop(&mut self) {
        self.task.abort();
    }
}

async fn forward(
    way: Way,
    mut from: tcp::OwnedReadHalf,
    mut to: tcp::OwnedWriteHalf,
    change: &Change,
    note: &impl Fn(Piece),
) {
    let mut buffer = vec![0; 64 * 1024];
    let mut offset = 0;
    // An error ends this direction as a clean end would: no test of honest ends looks through a tap.
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        note(Piece {
            way,
            bytes: buffer[..n].to_vec(),
            at: Instant::now(),
        });
        change(way, offset, &mut buffer[..n]);
        offset += n as u64;
        if to.write_all(&buffer[..n]).await.is_err() {
            break;
        }
    }
    let _ = to.shutdown().await;
}

//! The programs behind the tunnel: listeners with a handler for each connection.

use super::netns::Netns;
use super::scene::Scene;
use anyhow::Result;
use std::future::Future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::{JoinHandle, JoinSet};

/// A listener whose connections are served until it is dropped.
#[derive(Debug)]
pub struct Target {
    address: SocketAddr,
    accepted: Arc<AtomicU64>,
    task: JoinHandle<()>,
}

impl Target {
    /// Serves every connection to a fresh address with `handler`.
    pub fn serve<F, Fut>(scene: &Scene, handler: F) -> Result<Self>
    where
        F: Fn(TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        Self::serve_at(scene.address(), None, handler)
    }

    /// Serves every connection to `address` with `handler`, inside `netns` if there is one.
    pub fn serve_at<F, Fut>(address: SocketAddr, netns: Option<&Netns>, handler: F) -> Result<Self>
    where
        F: Fn(TcpStream) -> Fut + Send + 'static,
        Fut: Future<Output = ()> + Send + 'static,
    {
        let listener = listen(address, netns)?;
        let accepted = Arc::new(AtomicU64::new(0));
        let count = accepted.clone();
        let task = tokio::spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::Relaxed);
                connections.spawn(handler(stream));
                while connections.try_join_next().is_some() {}
            }
        });
        Ok(Self {
            address,
            accepted,
            task,
        })
    }

    /// Sends back what it gets, and ends when the other side has ended.
    pub fn echo(scene: &Scene) -> Result<Self> {
        Self::serve(scene, echo)
    }

    /// An echo at `address`, inside `netns` if there is one.
    pub fn echo_at(address: SocketAddr, netns: Option<&Netns>) -> Result<Self> {
        Self::serve_at(address, netns, echo)
    }

    /// Sends `greeting` at once, then is an echo.
    pub fn greeter(scene: &Scene, greeting: &'static str) -> Result<Self> {
        Self::serve(scene, move |mut stream| async move {
            if stream.write_all(greeting.as_bytes()).await.is_ok() {
                echo(stream).await;
            }
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections so far.
    pub fn accepted(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Target {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A listener with room for many waiting connections.
pub fn listen(address: SocketAddr, netns: Option<&Netns>) -> Result<TcpListener> {
    let open = move || {
        let socket = socket2::Socket::new(socket2::Domain::for_address(address), socket2::Type::STREAM, None)?;
        socket.set_reuse_address(true)?;
        socket.set_nonblocking(true)?;
        socket.bind(&address.into())?;
        socket.listen(4096)?;
        Ok::<std::net::TcpListener, std::io::Error>(socket.into())
    };
    let listener = match netns {
        Some(netns) => netns.enter(open)??,
        None => open()?,
    };
    Ok(TcpListener::from_std(listener)?)
}

async fn echo(mut stream: TcpStream) {
    let (mut reader, mut writer) = stream.split();
    // The visitor's view decides a test; here an error only means that the visitor is gone.
    if tokio::io::copy(&mut reader, &mut writer).await.is_ok() {
        let _ = writer.shutdown().await;
    }
}

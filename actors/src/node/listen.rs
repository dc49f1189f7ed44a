//! The node's port: TCP, then TLS, then whatever the panel says.
//!
//! However a connection ends, what was written reaches the other side: nothing is closed while there are bytes to read,
//! because the kernel would answer them with a reset, and a reset takes an alert back (`spec/node-marzban.md`, 2, item 1). It is the
//! [`Stream`] that sees to that.

use super::StartError;
use super::gozargah::Door;
use super::marzban::Panel;
use super::settings::Settings;
use super::stream::{LINGER_TIMEOUT, Stream};
use super::tls::Servers;
use crate::shared::Guarded;
use rustix::net::sockopt;
use rustls::server::Acceptor;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::pin::pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, Semaphore, oneshot, watch};
use tokio::task::yield_now;
use tokio::time::{sleep, timeout};
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

/// How long a handshake may take, and after it the first good key.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);

/// Most handshakes under way, and connections that have not shown a key yet. When there are more, the oldest gives way of the
/// source that has the most: one that only connects keeps no panel out that comes from elsewhere.
const MAX_HANDSHAKES: usize = 128;

/// Most connections of panels that have shown their certificate. What comes on top is closed.
const MAX_CONNECTIONS: usize = 1024;

/// How long a connection is silent before the kernel asks whether there is still somebody, and how long nothing of what was written
/// may be taken.
const KEEP_ALIVE_AFTER: Duration = Duration::from_secs(60);
const TAKEN_WITHIN: Duration = Duration::from_secs(120);

/// Most connections that are over here and not yet there. What comes on top is closed at once.
const MAX_LINGERING: usize = 256;

/// How long a failure to accept is waited out; most are a lack of descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens the port.
///
/// # Errors
/// The address is in use, not of this machine, or cannot be resolved.
pub(crate) async fn bind(settings: &Settings) -> Result<TcpListener, StartError> {
    let (host, port) = (settings.service_host.as_str(), settings.service_port);
    TcpListener::bind((host, port))
        .await
        .map_err(|error| StartError::Listen {
            host: host.to_owned(),
            port,
            error,
        })
}

/// What is wrong with the address, as far as one can see without opening the port.
pub(crate) fn check(settings: &Settings) -> Option<String> {
    let (host, port) = (settings.service_host.as_str(), settings.service_port);
    let error = (host, port).to_socket_addrs().err()?;
    Some(format!("SERVICE_HOST={host}: {error}"))
}

/// Who serves a connection once it is encrypted, by what panels show.
pub(crate) enum Service {
    /// A certificate, in the handshake.
    Certificate(Panel),
    /// A key, with every request.
    Key(Door),
}

/// What all connections share.
pub(crate) struct Port {
    servers: Servers,
    /// To answer a client's hello is to sign, which takes milliseconds with a large key. One at a time does it, so that
    /// whatever else is ready has its turn in between.
    signing: Semaphore,
    service: Service,
    stopping: watch::Receiver<bool>,
    handshakes: Handshakes,
    places: Semaphore,
    lingering: Semaphore,
}

impl Port {
    /// `stopping` becomes true when the node ends.
    pub(crate) fn new(servers: Servers, stopping: watch::Receiver<bool>, service: Service) -> Arc<Self> {
        Arc::new(Self {
            servers,
            signing: Semaphore::new(1),
            service,
            stopping,
            handshakes: Handshakes::default(),
            places: Semaphore::new(MAX_CONNECTIONS),
            lingering: Semaphore::new(MAX_LINGERING),
        })
    }

    /// Serves the port until the node ends.
    pub(crate) async fn serve(self: Arc<Self>, listener: TcpListener) {
        let mut stopping = self.stopping.clone();
        let mut number = 0;
        loop {
            let accepted = tokio::select! {
                accepted = listener.accept() => accepted,
                _ = stopping.wait_for(|stopping| *stopping) => return,
            };
            match accepted {
                Ok((stream, client)) => {
                    number += 1;
                    let give_way = self.handshakes.begin(number, client.ip());
                    tokio::spawn(self.clone().connection(number, stream, client, give_way));
                }
                Err(error) => {
                    tracing::warn!("a connection could not be accepted: {error}");
                    sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Logs how much there is of everything that has a bound.
    pub(crate) fn log_gauges(&self) {
        tracing::info!(
            handshakes = self.handshakes.0.lock().len(),
            connections = MAX_CONNECTIONS - self.places.available_permits(),
            lingering = MAX_LINGERING - self.lingering.available_permits(),
            "gauges"
        );
        match &self.service {
            Service::Certificate(panel) => panel.log_gauges(),
            Service::Key(door) => door.log_gauges(),
        }
    }

    async fn connection(
        self: Arc<Self>,
        number: u64,
        stream: TcpStream,
        client: SocketAddr,
        mut give_way: oneshot::Receiver<()>,
    ) {
        let client = SocketAddr::new(client.ip().to_canonical(), client.port());
        let local = stream.local_addr().unwrap_or(client);
        // Answers are small and written in one piece; without it they are only slower.
        let _ = stream.set_nodelay(true);
        keep_alive(&stream);
        let shaken = tokio::select! {
            shaken = self.shake_hands(stream) => shaken,
            _ = &mut give_way => return tracing::debug!("{client}: no TLS yet, and {MAX_HANDSHAKES} came after it"),
            () = sleep(HANDSHAKE_TIMEOUT) => {
                self.handshakes.end(number);
                return tracing::debug!("{client}: no TLS within {HANDSHAKE_TIMEOUT:?}");
            }
        };
        let tls = match shaken {
            Ok(tls) => tls,
            Err((error, stream)) => {
                self.handshakes.end(number);
                tracing::debug!("{client}: no TLS: {error}");
                if let Some(stream) = stream {
                    self.end(stream).await;
                }
                return;
            }
        };
        let panel = match &self.service {
            Service::Certificate(panel) => panel,
            Service::Key(door) => return self.stranger(number, door, tls, client, give_way).await,
        };
        self.handshakes.end(number);
        let tls = match self.places.try_acquire() {
            Ok(_place) => panel.serve(tls, client, local).await,
            Err(_) => {
                tracing::warn!("{client}: there are {MAX_CONNECTIONS} connections already");
                Some(tls)
            }
        };
        let Some(mut tls) = tls else { return };
        // A client that is gone needs no goodbye.
        let _ = timeout(LINGER_TIMEOUT, tls.shutdown()).await;
        self.end(tls.into_inner().0).await;
    }

    /// Serves a connection that has shown nothing yet. Until its first good key it is one of the handshakes: it may be put out
    /// by others, and has as much time.
    async fn stranger(
        &self,
        number: u64,
        door: &Door,
        tls: TlsStream<TcpStream>,
        client: SocketAddr,
        give_way: oneshot::Receiver<()>,
    ) {
        let admitted = Arc::new(Notify::new());
        let mut served = pin!(door.serve(Stream::new(tls), client, admitted.clone()));
        let refused = tokio::select! {
            () = served.as_mut() => Some("gone"),
            () = admitted.notified() => None,
            _ = give_way => Some("no key yet, and too many came after it"),
            () = sleep(HANDSHAKE_TIMEOUT) => Some("no key in time"),
        };
        self.handshakes.end(number);
        if let Some(reason) = refused {
            return tracing::debug!("{client}: {reason}");
        }
        match self.places.try_acquire() {
            Ok(_place) => served.await,
            Err(_) => tracing::warn!("{client}: there are {MAX_CONNECTIONS} connections already"),
        }
    }

    /// The handshake. One that fails gives the connection back, with the alert sent.
    async fn shake_hands(&self, stream: TcpStream) -> Result<TlsStream<TcpStream>, (io::Error, Option<TcpStream>)> {
        let mut hello = LazyConfigAcceptor::new(Acceptor::default(), stream);
        let begun = match (&mut hello).await {
            Ok(begun) => begun,
            Err(error) => return Err((error, hello.take_io())),
        };
        let accept = {
            // Nobody closes it.
            let _turn = self.signing.acquire().await;
            // Those who wait for their turn stand in no queue of the runtime: whatever has come in goes before each of them.
            yield_now().await;
            let server = self.servers.of(&begun.client_hello());
            begun.into_stream(server)
        };
        accept
            .into_fallible()
            .await
            .map_err(|(error, stream)| (error, Some(stream)))
    }

    /// Ends a connection: the end goes out behind what was written, and what still comes is read until the other side ends.
    async fn end(&self, stream: TcpStream) {
        let Ok(_place) = self.lingering.try_acquire() else {
            return;
        };
        // Whoever does not end in time, or is gone, has had their time.
        let _ = Stream::new(stream).shutdown().await;
    }
}

/// Has the kernel end a connection whose other side is gone without a word. Without it, it only takes longer.
fn keep_alive(stream: &TcpStream) {
    let set = || {
        sockopt::set_socket_keepalive(stream, true)?;
        sockopt::set_tcp_keepidle(stream, KEEP_ALIVE_AFTER)?;
        sockopt::set_tcp_keepintvl(stream, KEEP_ALIVE_AFTER / 4)?;
        sockopt::set_tcp_keepcnt(stream, 4)?;
        sockopt::set_tcp_user_timeout(stream, TAKEN_WITHIN.as_millis().try_into().unwrap_or(u32::MAX))
    };
    if let Err(error) = set() {
        tracing::debug!("no keep-alive: {error}");
    }
}

/// The handshakes under way, oldest first.
#[derive(Default)]
struct Handshakes(Guarded<VecDeque<Handshake>>);

struct Handshake {
    number: u64,
    source: IpAddr,
    /// Dropped to tell it to give way.
    _give_way: oneshot::Sender<()>,
}

impl Handshakes {
    /// Notes one that begins; if there are too many, the oldest of the source that has the most gives way. What is returned
    /// resolves when this one has to. Numbers rise.
    fn begin(&self, number: u64, source: IpAddr) -> oneshot::Receiver<()> {
        let (give_way, told) = oneshot::channel();
        let mut under_way = self.0.lock();
        under_way.push_back(Handshake {
            number,
            source,
            _give_way: give_way,
        });
        if under_way.len() > MAX_HANDSHAKES {
            let mut of_source = HashMap::new();
            for handshake in under_way.iter() {
                *of_source.entry(handshake.source).or_insert(0) += 1;
            }
            let most = of_source.values().max().copied();
            let victim = under_way
                .iter()
                .position(|handshake| of_source.get(&handshake.source).copied() == most);
            under_way.remove(victim.unwrap_or(0));
        }
        told
    }

    /// Forgets one that is over.
    fn end(&self, number: u64) {
        let mut under_way = self.0.lock();
        if let Ok(place) = under_way.binary_search_by_key(&number, |handshake| handshake.number) {
            under_way.remove(place);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    const FLOOD: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

    #[tokio::test]
    async fn a_connection_whose_other_side_is_gone_is_ended_by_the_kernel() {
        let listener = TcpListener::bind((FLOOD, 0)).await.unwrap();
        let stream = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        keep_alive(&stream);
        assert!(sockopt::socket_keepalive(&stream).unwrap());
        assert_eq!(sockopt::tcp_keepidle(&stream).unwrap(), KEEP_ALIVE_AFTER);
        let taken_within = sockopt::tcp_user_timeout(&stream).unwrap();
        assert_eq!(Duration::from_millis(taken_within.into()), TAKEN_WITHIN);
    }

    #[test]
    fn a_flood_from_elsewhere_keeps_nobody_out() {
        let handshakes = Handshakes::default();
        let mut panel = handshakes.begin(0, IpAddr::from([192, 0, 2, 7]));
        let flood: Vec<_> = (1..1_000).map(|number| handshakes.begin(number, FLOOD)).collect();
        assert_eq!(panel.try_recv(), Err(oneshot::error::TryRecvError::Empty));
        let told = |mut told: oneshot::Receiver<()>| told.try_recv() == Err(oneshot::error::TryRecvError::Closed);
        assert_eq!(
            flood.into_iter().filter_map(|one| told(one).then_some(())).count(),
            999 - (MAX_HANDSHAKES - 1)
        );
    }

    #[test]
    fn the_oldest_handshake_gives_way() {
        let handshakes = Handshakes::default();
        let mut told: Vec<_> = (0..MAX_HANDSHAKES as u64)
            .map(|number| handshakes.begin(number, FLOOD))
            .collect();
        assert!(
            told.iter_mut()
                .all(|told| told.try_recv() == Err(oneshot::error::TryRecvError::Empty))
        );
        handshakes.end(0);
        let _more = handshakes.begin(1000, FLOOD);
        assert_eq!(told[1].try_recv(), Err(oneshot::error::TryRecvError::Empty));
        let _one_too_many = handshakes.begin(1001, FLOOD);
        assert_eq!(told[1].try_recv(), Err(oneshot::error::TryRecvError::Closed));
        assert_eq!(told[2].try_recv(), Err(oneshot::error::TryRecvError::Empty));
    }
}

//! Joins the planes: the workers as the actors want to see them, and the workers' news as the actors read them.

use kariz_actors::dataplane::{Arrival, BoxFuture, ControlCarrier, ControlDial, ControlStream, DataPlane, Demand};
use kariz_dataplane::{ControlArrival, Sink};
use kariz_proto::control::{BudgetId, Command, CommandError, Event, WorkerIndex, WorkerSnapshot};
use std::io;
use std::net::{SocketAddr, TcpStream as StdStream};
use std::os::fd::OwnedFd;
use std::sync::Arc;
use tokio::net::{TcpSocket, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

/// Arrivals that wait for the control plane; workers count what comes on top as lost.
pub(crate) const ARRIVALS: usize = 4096;

/// The workers, seen from the actors.
pub(crate) struct Workers(pub(crate) Arc<kariz_dataplane::DataPlane>);

impl DataPlane for Workers {
    fn submit(&self, command: Command) -> BoxFuture<'_, Result<(), CommandError>> {
        let (done, outcome) = oneshot::channel();
        self.0.submit(command, move |result| {
            // An actor that has stopped waiting does not want to know.
            let _ = done.send(result);
        });
        Box::pin(async move { outcome.await.unwrap_or(Err(CommandError::Stopped)) })
    }

    fn dial_control(&self, dial: ControlDial) -> BoxFuture<'_, io::Result<Box<dyn ControlStream>>> {
        Box::pin(async move {
            let ControlDial {
                remote,
                local,
                socket,
                timeout: limit,
                user_timeout,
            } = dial;
            let fd = kariz_dataplane::DataPlane::control_socket(remote, local, &socket, user_timeout)?;
            let stream = timeout(limit, connect(fd, remote))
                .await
                .map_err(|_| io::Error::from(io::ErrorKind::TimedOut))?;
            Ok(Box::new(stream?) as Box<dyn ControlStream>)
        })
    }

    fn workers(&self) -> u16 {
        self.0.workers()
    }

    fn snapshots(&self) -> Vec<WorkerSnapshot> {
        self.0.snapshots()
    }

    fn grant(&self, budget: BudgetId, worker: WorkerIndex, tokens: u64) {
        self.0.grant(budget, worker, tokens);
    }

    fn demand(&self, budget: BudgetId) -> Vec<Demand> {
        let demand = self.0.demand(budget).into_iter();
        demand
            .map(|one| Demand {
                worker: one.worker,
                used: one.used,
                waiting: one.waiting,
            })
            .collect()
    }
}

async fn connect(fd: OwnedFd, remote: SocketAddr) -> io::Result<TcpStream> {
    TcpSocket::from_std_stream(StdStream::from(fd)).connect(remote).await
}

/// The workers' news, put where the actors read them.
pub(crate) struct News {
    pub(crate) arrivals: mpsc::Sender<Arrival>,
    /// Control carriers are registered with this runtime; workers are not on it.
    pub(crate) runtime: Handle,
}

impl Sink for News {
    fn event(&self, event: Event) -> Result<(), Event> {
        self.arrivals
            .try_send(Arrival::Event(event))
            .map_err(|refused| match refused.into_inner() {
                Arrival::Event(event) => event,
                Arrival::Control(_) => unreachable!("the channel gives back what was sent"),
            })
    }

    fn control(&self, arrival: ControlArrival) -> Result<(), ControlArrival> {
        let Ok(room) = self.arrivals.try_reserve() else {
            return Err(arrival);
        };
        let ControlArrival { fd, first, peer } = arrival;
        let _runtime = self.runtime.enter();
        // The runtime has no room for it: dropping it closes it, and the client comes back.
        if let Ok(stream) = TcpStream::from_std(StdStream::from(fd)) {
            room.send(Arrival::Control(ControlCarrier {
                stream: Box::new(stream),
                first: first.into(),
                peer,
            }));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{Ipv4Addr, TcpListener};

    fn control() -> ControlArrival {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let peer = listener.local_addr().unwrap();
        ControlArrival {
            fd: StdStream::connect(peer).unwrap().into(),
            first: Vec::new(),
            peer,
        }
    }

    #[tokio::test]
    async fn arrivals_beyond_the_bound_are_given_back() {
        let (arrivals, mut waiting) = mpsc::channel(ARRIVALS);
        let news = News {
            arrivals,
            runtime: Handle::current(),
        };
        for _ in 0..ARRIVALS {
            assert!(news.event(Event::Drained).is_ok());
        }
        assert!(matches!(news.event(Event::Drained), Err(Event::Drained)));
        assert!(news.control(control()).is_err());
        waiting.recv().await.unwrap();
        assert!(news.event(Event::Drained).is_ok());
    }
}

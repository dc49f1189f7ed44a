//! Both planes of one specification, running.

use crate::exit::Exit;
use crate::plane::{ARRIVALS, News, Workers};
use kariz_actors::{ControlPlane, StartError};
use kariz_proto::control::{Counter, WorkerSnapshot};
use kariz_proto::model::Spec;
use std::sync::Arc;
use tokio::runtime::Handle;
use tokio::sync::mpsc;

/// A running server, client, relay, or any of them together.
pub(crate) struct Stack {
    pub(crate) control: ControlPlane,
    pub(crate) workers: Arc<kariz_dataplane::DataPlane>,
}

/// Why a stack could not be started.
#[derive(Debug, thiserror::Error)]
pub(crate) enum StackError {
    #[error("the workers cannot start: {0}")]
    Workers(std::io::Error),
    #[error(transparent)]
    Control(#[from] StartError),
}

impl StackError {
    /// What a supervisor is told.
    pub(crate) fn exit(&self) -> Exit {
        match self {
            Self::Control(StartError::Ended) => Exit::Internal,
            Self::Workers(_) | Self::Control(StartError::Listen { .. }) => Exit::CannotStart,
        }
    }
}

impl Stack {
    /// Starts the workers, then the actors. To be called on the runtime that the actors are to live on.
    pub(crate) async fn start(spec: Spec) -> Result<Self, StackError> {
        let (arrivals, news) = mpsc::channel(ARRIVALS);
        let sink = Arc::new(News {
            arrivals,
            runtime: Handle::current(),
        });
        let mut runtime = spec.runtime.clone();
        runtime.max_visitors = visitors(&spec);
        let workers = kariz_dataplane::DataPlane::start(&runtime, sink).map_err(StackError::Workers)?;
        let workers = Arc::new(workers);
        let control = ControlPlane::start(spec, Arc::new(Workers(workers.clone())), news).await?;
        Ok(Self { control, workers })
    }

    /// Puts another specification in force, as far as that goes without a restart.
    pub(crate) async fn reload(&self, spec: Spec) {
        self.workers.set_max_visitors(visitors(&spec));
        self.control.reload(spec).await;
    }

    /// Ends everything at once: what is connected is reset.
    pub(crate) async fn stop(self) {
        let Self { control, workers } = self;
        drop(control);
        // Joining threads is not for a runtime's thread.
        let _ = tokio::task::spawn_blocking(move || workers.stop()).await;
    }

    /// Logs every counter and gauge: a line for the control plane, and one for each worker.
    pub(crate) fn log_counters(&self) {
        let snapshot = self.control.snapshot();
        tracing::info!(
            handshakes = snapshot.handshakes,
            handshakes_refused = snapshot.handshakes_refused,
            handshakes_failed = snapshot.handshakes_failed,
            sessions = snapshot.sessions,
            links = snapshot.links,
            resumed = snapshot.resumed,
            services_open = snapshot.services_open,
            events_dropped = snapshot.events_dropped,
            workers_replaced = snapshot.workers_replaced,
            "control plane counters"
        );
        for worker in &snapshot.workers {
            tracing::info!(worker = worker.worker.0, counters = %Values(worker), "worker counters");
        }
    }
}

/// `[limits] visitors` is counted where visitors are admitted, as `[runtime] max_visitors` is.
fn visitors(spec: &Spec) -> Option<u32> {
    [spec.runtime.max_visitors, spec.limits.visitors]
        .into_iter()
        .flatten()
        .min()
}

/// `name=value` for every counter.
struct Values<'a>(&'a WorkerSnapshot);

impl std::fmt::Display for Values<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let mut separator = "";
        for counter in Counter::ALL {
            write!(f, "{separator}{}={}", counter.as_str(), self.0.get(*counter))?;
            separator = " ";
        }
        Ok(())
    }
}

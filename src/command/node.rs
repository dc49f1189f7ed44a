//! `kariz node`: the node that a panel drives, set up by its environment.

use crate::exit::Exit;
use crate::logging::{Logging, NodeLogging};
use crate::memory;
use crate::signals::{Asked, Signals};
use kariz_actors::node::settings::Settings;
use kariz_actors::node::{Failure, Node, StartError};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use std::time::Duration;

/// Threads that read large bodies. Only two are read at a time; the others resolve names.
const MAX_BLOCKING_THREADS: usize = 4;

/// How long such a thread waits for more.
const BLOCKING_THREAD_KEEP_ALIVE: Duration = Duration::from_secs(5);

/// Runs the node until a signal ends it.
pub(crate) fn node() -> Exit {
    let reading = super::environment();
    let debug = reading.settings.as_ref().is_ok_and(|settings| settings.debug);
    let logging = match Logging::start_node(debug) {
        Ok(logging) => logging,
        Err(error) => {
            eprintln!("error: {error:#}");
            return Exit::Usage;
        }
    };
    for warning in &reading.warnings {
        tracing::warn!("{warning}");
    }
    let settings = match reading.settings {
        Ok(settings) => settings,
        Err(refused) => {
            for problem in &refused.problems {
                tracing::error!("{problem}");
            }
            return Exit::of_node(refused.exit);
        }
    };
    raise_descriptor_limit();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .max_blocking_threads(MAX_BLOCKING_THREADS)
        .thread_keep_alive(BLOCKING_THREAD_KEEP_ALIVE)
        .build();
    let runtime = match runtime {
        Ok(runtime) => runtime,
        Err(error) => {
            tracing::error!("no runtime for the node: {error}");
            return Exit::CannotStart;
        }
    };
    let exit = runtime.block_on(serve(settings, &logging));
    // A configuration that is being read must not hold the exit up.
    runtime.shutdown_background();
    logging.finish();
    exit
}

/// Takes as many descriptors as the host lets it: services often begin with 1,024, which connections alone could take, and a
/// restart of the core would find none for its pipes.
fn raise_descriptor_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: limit.maximum,
        maximum: limit.maximum,
    };
    if let Err(error) = setrlimit(Resource::Nofile, raised) {
        tracing::warn!("the limit of descriptors stays as it is: {error}");
    }
}

async fn serve(settings: Settings, logging: &NodeLogging) -> Exit {
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            tracing::error!("no signals: {error}");
            return Exit::CannotStart;
        }
    };
    let node = match Node::start(settings, memory::give_back).await {
        Ok(node) => node,
        Err(error) => {
            tracing::error!("{error}");
            return match error {
                StartError::Listen { .. } => Exit::CannotStart,
                StartError::Certificate { .. } => Exit::Failed,
                StartError::Internal(_) => Exit::Internal,
            };
        }
    };
    tracing::info!("Node service running on :{}", node.address().port());
    loop {
        let asked = tokio::select! {
            asked = signals.next() => asked,
            failure = node.failed() => {
                tracing::error!("{failure}");
                node.stop().await;
                return match failure {
                    Failure::Core { .. } => Exit::Failed,
                    Failure::Internal => Exit::Internal,
                };
            }
        };
        match asked {
            Asked::Reload => tracing::info!("a node has nothing to reload: the panel sends its configuration"),
            Asked::Counters => {
                node.log_gauges();
                tracing::info!(dropped_lines = logging.dropped_lines(), "log");
            }
            Asked::End => break,
        }
    }
    tokio::select! {
        () = node.stop() => {}
        () = signals.second_end() => {
            tracing::warn!("second signal: the core is killed");
            node.kill().await;
        }
    }
    Exit::Done
}

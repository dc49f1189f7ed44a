//! Turns async tests into a list that runs many at a time: most of them wait, few of them compute.

use super::scene::{Lane, Scene, Variant};
use anyhow::Result;
use libtest_mimic::{Completion, Failed, Trial};
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::time::Duration;
use tokio::sync::Semaphore;

/// Tests that keep a core busy: no more than this many at a time, so that the others' deadlines stay honest.
static BUSY: Semaphore = Semaphore::const_new(2);

/// A test that takes longer than this hangs.
const LIMIT: Duration = Duration::from_secs(240);

const DIRECT: Variant = Variant {
    lane: Lane::Direct,
    io: "auto",
};
const MUX: Variant = Variant {
    lane: Lane::Mux,
    io: "auto",
};
const EPOLL_DIRECT: Variant = Variant {
    lane: Lane::Direct,
    io: "epoll",
};
const EPOLL_MUX: Variant = Variant {
    lane: Lane::Mux,
    io: "epoll",
};

/// A test found that this machine cannot run it: a skip for a developer, a failure under `CI=true`.
#[derive(Debug)]
pub struct Missing(pub &'static str);

impl std::fmt::Display for Missing {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "skipped: {}", self.0)
    }
}

impl std::error::Error for Missing {}

/// The tests of one module.
pub struct Suite {
    module: &'static str,
    trials: Vec<Trial>,
    busy: bool,
    needs: fn() -> Result<()>,
}

impl Suite {
    /// An empty list for `module`.
    pub fn new(module: &'static str) -> Self {
        Self {
            module,
            trials: Vec::new(),
            busy: false,
            needs: || Ok(()),
        }
    }

    /// The tests added after this wait for `needs`, which may take longer than a test, before they begin.
    pub fn needs(mut self, needs: fn() -> Result<()>) -> Self {
        self.needs = needs;
        self
    }

    /// The tests added after this keep a core busy, and wait for their turn.
    pub fn busy(mut self) -> Self {
        self.busy = true;
        self
    }

    /// A test that has no lane.
    pub fn once<F, Fut>(mut self, name: &'static str, test: F) -> Self
    where
        F: Fn(Scene) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<()>>,
    {
        self.add(name, "", DIRECT, test);
        self
    }

    /// A test that runs in one lane only.
    pub fn only<F, Fut>(mut self, lane: Lane, name: &'static str, test: F) -> Self
    where
        F: Fn(Scene) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<()>>,
    {
        match lane {
            Lane::Direct => self.add(name, "::direct", DIRECT, test),
            Lane::Mux => self.add(name, "::mux", MUX, test),
        }
        self
    }

    /// A test that runs in both lanes.
    pub fn lanes<F, Fut>(mut self, name: &'static str, test: F) -> Self
    where
        F: Fn(Scene) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<()>>,
    {
        self.add(name, "::direct", DIRECT, test.clone());
        self.add(name, "::mux", MUX, test);
        self
    }

    /// A test that has no lane, on each driver.
    pub fn drivers<F, Fut>(mut self, name: &'static str, test: F) -> Self
    where
        F: Fn(Scene) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<()>>,
    {
        self.add(name, "::auto", DIRECT, test.clone());
        self.add(name, "::epoll", EPOLL_DIRECT, test);
        self
    }

    /// A test that runs in both lanes on each driver.
    pub fn faults<F, Fut>(mut self, name: &'static str, test: F) -> Self
    where
        F: Fn(Scene) -> Fut + Clone + Send + 'static,
        Fut: Future<Output = Result<()>>,
    {
        self = self.lanes(name, test.clone());
        self.add(name, "::epoll_direct", EPOLL_DIRECT, test.clone());
        self.add(name, "::epoll_mux", EPOLL_MUX, test);
        self
    }

    /// The list.
    pub fn done(self) -> Vec<Trial> {
        self.trials
    }

    fn add<F, Fut>(&mut self, name: &str, suffix: &str, variant: Variant, test: F)
    where
        F: Fn(Scene) -> Fut + Send + 'static,
        Fut: Future<Output = Result<()>>,
    {
        let name = format!("{}::{name}{suffix}", self.module);
        let (busy, needs) = (self.busy, self.needs);
        self.trials.push(Trial::ignorable_test(name.clone(), move || {
            needs().map_or_else(|error| verdict(&error), |()| run(&name, variant, busy, test))
        }));
    }
}

/// Runs one test on a runtime of its own and joins its failure with the logs of the processes that it started.
fn run<F, Fut>(name: &str, variant: Variant, busy: bool, test: F) -> Result<Completion, Failed>
where
    F: Fn(Scene) -> Fut,
    Fut: Future<Output = Result<()>>,
{
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let scene = Scene::new(name, variant).map_err(|error| format!("{error:#}"))?;
    let body = || {
        runtime.block_on(async {
            let _turn = if busy { BUSY.acquire().await.ok() } else { None };
            super::wait::within(LIMIT, "the whole test", test(scene.clone())).await?
        })
    };
    let outcome = std::panic::catch_unwind(AssertUnwindSafe(body));
    drop(runtime);
    let failure = match outcome {
        Ok(Ok(())) => {
            scene.tidy();
            return Ok(Completion::Completed);
        }
        Ok(Err(error)) => match verdict(&error) {
            Ok(skipped) => return Ok(skipped),
            Err(_) => format!("{error:#}\n{}", places(&error)),
        },
        Err(panic) => panic_text(panic.as_ref()),
    };
    Err(Failed::from(format!("{failure}\n{}", scene.story())))
}

/// What an error means: a failure, or a skip where a tool is missing.
fn verdict(error: &anyhow::Error) -> Result<Completion, Failed> {
    match error.downcast_ref::<Missing>() {
        Some(missing) if !in_ci() => Ok(Completion::ignored_with(missing)),
        _ => Err(Failed::from(format!("{error:#}"))),
    }
}

/// Where in the tests the error came from; needs `RUST_BACKTRACE=1`.
fn places(error: &anyhow::Error) -> String {
    let trace = error.backtrace().to_string();
    let ours = trace
        .lines()
        .filter_map(|line| line.trim().strip_prefix("at ./tests/e2e/"));
    ours.filter(|place| !place.starts_with("harness/trial.rs"))
        .map(|place| format!("  at {place}\n"))
        .collect()
}

/// Whether a missing tool is a failure.
fn in_ci() -> bool {
    std::env::var("CI").is_ok_and(|value| value == "true")
}

fn panic_text(panic: &(dyn std::any::Any + Send)) -> String {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("the test panicked")
        .to_owned()
}

//! A contestant in a comparison: started once for all works that can share processes, afresh for the others.

use super::stage::Stage;
use crate::kit::contestant::Contestant;
use crate::kit::pair::{Addresses, Chain, Plan};
use crate::kit::programs::Programs;
use anyhow::Result;
use kariz_bench::path;
use std::net::SocketAddr;
use std::time::Duration;

#[derive(Debug)]
pub(super) struct Candidate {
    pub(super) contestant: Contestant,
    programs: Programs,
    running: Option<Running>,
}

/// Its processes and where visitors go.
#[derive(Debug)]
pub(super) struct Running {
    pub(super) entry: SocketAddr,
    pub(super) chain: Chain,
}

impl Candidate {
    pub(super) fn new(contestant: Contestant, programs: &Programs) -> Self {
        Self {
            contestant,
            programs: programs.clone(),
            running: None,
        }
    }

    /// Its processes that stay for the whole comparison; started if they are not running.
    pub(super) fn lasting(&mut self, stage: &Stage) -> Result<&Running> {
        let running = match self.running.take() {
            Some(running) => running,
            None => self.fresh(stage)?,
        };
        Ok(self.running.insert(running))
    }

    /// Ends the lasting processes: the next work that wants them starts others.
    pub(super) fn dismiss(&mut self) {
        self.running = None;
    }

    /// Processes for one turn.
    pub(super) fn fresh(&self, stage: &Stage) -> Result<Running> {
        let plan = self.plan(Addresses::local(stage.target.address())?);
        let (entry, chain) = (plan.addresses.entry, plan.start()?);
        Ok(Running { entry, chain })
    }

    /// Starts processes, and returns how long it took until a visitor had its 64 bytes back.
    pub(super) fn time_start(&self, stage: &Stage) -> Result<Duration> {
        let plan = self.plan(Addresses::local(stage.target.address())?);
        Ok(plan.start_in_turn()?.1)
    }

    /// Processes at the two ends of the stage's long path, for one turn; visitors come from the first namespace.
    pub(super) fn distant(&self, stage: &Stage) -> Result<Running> {
        let long = stage.long_path()?;
        let port = long.target.address().port();
        if self.contestant == Contestant::Bare {
            return Ok(Running {
                entry: (path::SECOND, port).into(),
                chain: Chain { processes: Vec::new() },
            });
        }
        let plan = Plan::across(self.contestant, port, &self.programs)?;
        let (entry, chain) = (plan.addresses.entry, plan.start_across(&long.path)?);
        Ok(Running { entry, chain })
    }

    fn plan(&self, addresses: Addresses) -> Plan {
        Plan::new(self.contestant, addresses, &self.programs)
    }
}

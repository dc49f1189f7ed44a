//! The inner end of the tunnel on a worker: carriers go out to the server, visitors come in on them and go to their
//! targets.
//!
//! | file | what it is |
//! |---|---|
//! | `link` | sessions with servers, as the control plane tells of them |
//! | `carrier` | one carrier: dialled for a voucher, then idle, then a visitor's |
//! | `target` | dialling the target of a visitor |

mod carrier;
mod link;
mod target;

use link::Link;
pub(crate) use target::{Target, dial};

use crate::tally::Tally;
use crate::worker::{Worker, spawn};
use kariz_proto::control::{LinkId, LinkSpec, ServiceId, TargetSpec, Voucher};
use std::cell::RefCell;
use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;

/// The client's side of one worker. Empty in a process that is none.
#[derive(Default)]
pub(crate) struct ClientRole {
    links: RefCell<HashMap<LinkId, Rc<Link>>>,
    targets: RefCell<HashMap<ServiceId, Target>>,
}

impl ClientRole {
    /// A session was (re)established, or serves other services. Carriers of an older epoch that are idle are closed.
    pub(crate) fn link_up(&self, spec: Arc<LinkSpec>, carriers: Arc<Tally>) {
        let id = spec.link;
        let mut links = self.links.borrow_mut();
        let link = match links.get(&id) {
            Some(old) if old.spec.epoch == spec.epoch => old.renewed(spec),
            Some(old) => {
                old.close();
                Link::new(spec, carriers)
            }
            None => Link::new(spec, carriers),
        };
        links.insert(id, Rc::new(link));
    }

    /// The control carrier is lost: what is idle is closed.
    pub(crate) fn link_down(&self, id: LinkId) {
        if let Some(link) = self.links.borrow_mut().remove(&id) {
            link.close();
        }
    }

    /// The server wants carriers.
    pub(crate) fn dial(&self, worker: &Rc<Worker>, id: LinkId, service: ServiceId, vouchers: Vec<Voucher>) {
        let Some(link) = self.links.borrow().get(&id).cloned() else {
            return;
        };
        for voucher in vouchers {
            spawn(worker, carrier::run(worker.clone(), link.clone(), service, voucher));
        }
    }

    pub(crate) fn set_target(&self, spec: Arc<TargetSpec>) {
        self.targets.borrow_mut().insert(spec.service, spec);
    }

    pub(crate) fn drop_target(&self, service: ServiceId) {
        self.targets.borrow_mut().remove(&service);
    }

    pub(crate) fn target(&self, service: ServiceId) -> Option<Target> {
        self.targets.borrow().get(&service).cloned()
    }

    /// No further carrier, and idle ones are closed; visitors live on.
    pub(crate) fn drain(&self) {
        self.links.borrow_mut().drain().for_each(|(_, link)| link.close());
    }
}

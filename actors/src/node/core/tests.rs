//! The supervisor with cores that do what a real one does not do on request: shell scripts.

use super::*;
use crate::node::settings::{Access, Files, Generation, Protocols, Settings};
use crate::node::state::State;
use kameo::prelude::*;
use rustix::process::{Pid, test_kill_process};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

/// Long enough for a machine that is busy with something else.
const PATIENCE: Duration = Duration::from_secs(20);

const READY: &str = "cat >/dev/null; echo '[Warning] core: Xray 1.2.3 started'; exec sleep 1000";

/// A supervisor whose core is a script. The script's process id is in the file `pid` of the folder.
struct Stage {
    folder: tempfile::TempDir,
    state: Arc<State>,
    supervisor: ActorRef<Supervisor>,
}

impl Stage {
    fn new(script: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let core = folder.path().join("xray");
        let script = format!("#!/bin/sh\necho $$ >>{}/pid\n{script}\n", folder.path().display());
        // Written beside and renamed: a file that is open for writing in a child that another test forks cannot be run.
        let beside = folder.path().join("new");
        std::fs::write(&beside, script).unwrap();
        std::fs::set_permissions(&beside, std::fs::Permissions::from_mode(0o755)).unwrap();
        std::fs::rename(&beside, &core).unwrap();
        Self::with_core(folder, &core)
    }

    fn with_core(folder: tempfile::TempDir, core: &Path) -> Self {
        let settings = Settings {
            service_host: "127.0.0.1".into(),
            service_port: 0,
            api_host: "127.0.0.1".into(),
            api_port: 0,
            core: core.into(),
            assets: folder.path().into(),
            files: Files {
                certificate: folder.path().into(),
                key: folder.path().into(),
                client_certificates: folder.path().into(),
            },
            inbounds: Vec::new(),
            access: Access::Certificate,
            debug: false,
            soft_takeover: true,
            protocols: Protocols::Both,
            generation: Generation::G3,
            log_lines: 100,
            startup_log_lines: 200,
            generated: None,
        };
        let state = State::new(settings, Spawner::start().unwrap(), || ());
        let supervisor = Supervisor::spawn(state.clone());
        Self {
            folder,
            state,
            supervisor,
        }
    }

    async fn launch(&self, mode: Mode) -> Outcome {
        self.launch_with(mode, b"{}".to_vec()).await
    }

    async fn launch_with(&self, mode: Mode, config: Vec<u8>) -> Outcome {
        self.launch_for(Owner::Marzban, mode, config).await
    }

    async fn launch_for(&self, owner: Owner, mode: Mode, config: Vec<u8>) -> Outcome {
        let (outcome, told) = oneshot::channel();
        let fingerprint = Some(Fingerprint::of(&config));
        let config = Prepared {
            json: Ok(config),
            fingerprint,
            sockets: Vec::new(),
        };
        let launch = Launch {
            owner,
            mode,
            config,
            outcome,
        };
        self.supervisor.tell(launch).await.unwrap();
        timeout(PATIENCE, told).await.unwrap().unwrap()
    }

    /// Process ids of all cores so far.
    fn pids(&self) -> Vec<Pid> {
        let text = std::fs::read_to_string(self.folder.path().join("pid")).unwrap_or_default();
        text.lines()
            .map(|line| Pid::from_raw(line.parse().unwrap()).unwrap())
            .collect()
    }

    async fn eventually(&self, what: &str, is: impl Fn(&Self) -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is(self) {
            assert!(Instant::now() < deadline, "{what}: not within {PATIENCE:?}");
            sleep(Duration::from_millis(5)).await;
        }
    }

    fn lines(&self) -> Vec<String> {
        let mut reader = self.state.logs.reader(100);
        let unseen = self.state.logs.take(&mut reader);
        unseen.lines.iter().map(ToString::to_string).collect()
    }
}

fn is_there(pid: Pid) -> bool {
    test_kill_process(pid).is_ok()
}

#[tokio::test]
async fn a_start_is_answered_when_the_core_says_that_it_is_ready() {
    let stage = Stage::new(READY);
    let begin = Instant::now();
    assert_eq!(stage.launch(Mode::Start).await, Outcome::Running);
    assert!(
        begin.elapsed() < supervisor::READY_TIMEOUT,
        "the ready line was not waited for"
    );
    assert!(stage.state.is_started_for(Owner::Marzban));
    assert_eq!(stage.launch(Mode::Start).await, Outcome::AlreadyStarted);
    assert_eq!(stage.pids().len(), 1);
}

#[tokio::test]
async fn a_restart_takes_the_place_of_a_start_that_waits() {
    let stage =
        Stage::new("trap '' TERM; cat >> $0.config; echo 'core: Xray 1.2.3 started'; while :; do sleep 0.05; done");
    assert_eq!(stage.launch_with(Mode::Start, b"A".to_vec()).await, Outcome::Running);
    stage.supervisor.ask(Stop { owner: Owner::Marzban }).await.unwrap();
    let (start, restart) = tokio::join!(stage.launch_with(Mode::Start, b"B".to_vec()), async {
        sleep(Duration::from_millis(200)).await;
        stage.launch_with(Mode::Restart, b"C".to_vec()).await
    });
    assert_eq!((start, restart), (Outcome::Running, Outcome::Running));
    let configs = std::fs::read_to_string(stage.folder.path().join("xray.config")).unwrap();
    assert_eq!(configs, "AC", "the last one that was asked for runs, and nothing else");
}

#[tokio::test]
async fn a_core_that_is_stopped_is_not_ready_any_more() {
    let stage = Stage::new("trap '' TERM; cat >/dev/null; sleep 0.4; echo 'core: Xray 1.2.3 started'; sleep 1000");
    let (start, ()) = tokio::join!(stage.launch(Mode::Start), async {
        sleep(Duration::from_millis(200)).await;
        stage.supervisor.ask(Stop { owner: Owner::Marzban }).await.unwrap();
    });
    assert!(matches!(start, Outcome::Failed(_)), "{start:?}");
    assert!(!stage.state.is_started_for(Owner::Marzban));
}

#[tokio::test]
async fn what_a_core_has_forked_ends_with_it() {
    for (name, script) in [
        (
            "stopped",
            "cat >/dev/null; sleep 1000 & echo $! >> ${0%/*}/pid; echo 'core: Xray 1.2.3 started'; wait",
        ),
        (
            "dies",
            "cat >/dev/null; sleep 1000 & echo $! >> ${0%/*}/pid; echo 'core: Xray 1.2.3 started'; sleep 0.3",
        ),
    ] {
        let stage = Stage::new(script);
        assert_eq!(stage.launch(Mode::Start).await, Outcome::Running);
        let [core, child] = stage.pids()[..] else {
            panic!("{name}: {:?}", stage.pids())
        };
        if name == "stopped" {
            stage.supervisor.ask(Stop { owner: Owner::Marzban }).await.unwrap();
        }
        stage.eventually(name, |_| !is_there(core) && !is_there(child)).await;
    }
}

#[tokio::test]
async fn an_offered_core_goes_on_with_what_it_runs_and_with_nothing_else() {
    let stage = Stage::new(READY);
    assert_eq!(stage.launch_with(Mode::Start, b"{}".to_vec()).await, Outcome::Running);
    stage.supervisor.ask(Offer).await.unwrap();
    assert!(
        !stage.state.is_started_for(Owner::Marzban),
        "it is not the new panel's yet"
    );
    assert_eq!(stage.launch_with(Mode::Start, b"{}".to_vec()).await, Outcome::Running);
    assert!(stage.state.is_started_for(Owner::Marzban));
    assert_eq!(stage.pids().len(), 1, "the same configuration needs no other core");
    assert_eq!(stage.launch(Mode::Start).await, Outcome::AlreadyStarted);

    stage.supervisor.ask(Offer).await.unwrap();
    assert_eq!(stage.launch_with(Mode::Start, b"{ }".to_vec()).await, Outcome::Running);
    assert_eq!(stage.pids().len(), 2, "another configuration does");
    assert!(!is_there(stage.pids()[0]));

    stage.supervisor.ask(Offer).await.unwrap();
    assert_eq!(
        stage.launch_with(Mode::Restart, b"{ }".to_vec()).await,
        Outcome::Running
    );
    assert_eq!(stage.pids().len(), 3, "who asks for a restart gets one");
}

#[tokio::test]
async fn an_offered_core_that_nobody_takes_is_stopped() {
    let stage = Stage::new(READY);
    assert_eq!(stage.launch(Mode::Start).await, Outcome::Running);
    stage.supervisor.ask(Offer).await.unwrap();
    let pid = stage.pids()[0];
    tokio::time::sleep(Duration::from_millis(50)).await;
    assert!(is_there(pid));
    tokio::time::pause();
    tokio::time::advance(supervisor::OFFER_TIMEOUT).await;
    tokio::time::resume();
    stage.eventually("the core is gone", |_| !is_there(pid)).await;
    assert!(!stage.state.is_started_for(Owner::Marzban));
}

#[tokio::test]
async fn a_core_that_never_says_so_counts_as_started_when_it_lives_on() {
    let stage = Stage::new("exec sleep 1000");
    let begin = Instant::now();
    assert_eq!(stage.launch(Mode::Start).await, Outcome::Running);
    assert!(begin.elapsed() >= supervisor::READY_TIMEOUT);
}

#[tokio::test]
async fn a_core_that_fails_is_answered_with_its_last_line() {
    let stage = Stage::new("cat >/dev/null; echo one; echo two; echo; echo error >&2; exit 23");
    assert_eq!(stage.launch(Mode::Start).await, Outcome::Failed("two".into()));
    assert!(!stage.state.is_started_for(Owner::Marzban));
    let stage = Stage::new("cat >/dev/null; echo error >&2; exit 23");
    assert_eq!(stage.launch(Mode::Restart).await, Outcome::Failed("error".into()));
}

#[tokio::test]
async fn a_core_that_cannot_be_fed_or_forked_is_answered_in_pythons_words() {
    let stage = Stage::new("exec <&-; sleep 0.2; exit 1");
    let outcome = stage.launch_with(Mode::Start, vec![b' '; 1 << 20]).await;
    assert_eq!(outcome, Outcome::Failed("[Errno 32] Broken pipe".into()));
    let stage = Stage::with_core(tempfile::tempdir().unwrap(), Path::new("/nowhere/xray"));
    let outcome = stage.launch(Mode::Start).await;
    let path = stage.state.settings.core.display();
    assert_eq!(
        outcome,
        Outcome::Failed(format!("[Errno 2] No such file or directory: '{path}'"))
    );
}

#[tokio::test]
async fn a_restart_waits_for_the_old_core_and_joins_one_that_is_under_way() {
    let ports_are_slow =
        "trap 'sleep 0.3; exit 0' TERM; cat >/dev/null; echo 'Xray 1.2.3 started'; while :; do sleep 0.05; done";
    let stage = Stage::new(ports_are_slow);
    assert_eq!(stage.launch(Mode::Restart).await, Outcome::Running);
    let first = stage.pids()[0];
    let both = tokio::join!(stage.launch(Mode::Restart), stage.launch(Mode::Restart));
    assert_eq!(both, (Outcome::Running, Outcome::Running));
    assert!(!is_there(first), "the new core was started beside the old one");
    assert_eq!(stage.pids().len(), 2);
}

#[tokio::test]
async fn a_core_that_ignores_sigterm_is_killed() {
    let stage = Stage::new("trap '' TERM; cat >/dev/null; echo 'Xray 1.2.3 started'; while :; do sleep 0.05; done");
    assert_eq!(stage.launch(Mode::Start).await, Outcome::Running);
    stage.supervisor.tell(Stop { owner: Owner::Marzban }).await.unwrap();
    let pid = stage.pids()[0];
    stage.eventually("the core is gone", |_| !is_there(pid)).await;
    assert!(!stage.state.is_started_for(Owner::Marzban));
}

#[tokio::test]
async fn the_end_of_the_node_waits_for_the_core_and_starts_no_other() {
    let stage = Stage::new(READY);
    assert_eq!(stage.launch(Mode::Start).await, Outcome::Running);
    let grace = Duration::from_secs(1);
    timeout(PATIENCE, async { stage.supervisor.ask(Quit { grace }).await })
        .await
        .unwrap()
        .unwrap();
    assert!(!is_there(stage.pids()[0]));
    assert!(matches!(stage.launch(Mode::Start).await, Outcome::Failed(_)));
    assert_eq!(stage.pids().len(), 1);
}

#[tokio::test]
async fn a_core_that_dies_is_no_longer_started() {
    let stage = Stage::new("cat >/dev/null; echo 'Xray 1.2.3 started'; sleep 0.1; exit 1");
    assert_eq!(stage.launch(Mode::Start).await, Outcome::Running);
    stage
        .eventually("it is known that the core died", |stage| {
            !stage.state.is_started_for(Owner::Marzban)
        })
        .await;
    assert_eq!(stage.launch(Mode::Start).await, Outcome::Running);
}

#[tokio::test]
async fn the_core_gets_its_configuration_one_variable_and_a_group_of_its_own() {
    let stage = Stage::new(
        "cat; echo; env | grep -v '^PWD=\\|^_=\\|^SHLVL=\\|^OLDPWD='; grep THP_enabled /proc/$$/status; exit 1",
    );
    let outcome = stage.launch_with(Mode::Start, b"{\"key\":1}".to_vec()).await;
    assert!(matches!(outcome, Outcome::Failed(_)));
    let assets = format!("XRAY_LOCATION_ASSET={}", stage.folder.path().display());
    let lines = stage.lines();
    assert!(lines.contains(&"{\"key\":1}".to_owned()), "{lines:?}");
    let variables: Vec<_> = lines.iter().filter(|line| line.contains('=')).collect();
    assert_eq!(variables, [&assets]);
}

#[tokio::test]
async fn a_core_dies_with_the_thread_that_forked_it() {
    let stage = Stage::new(READY);
    assert_eq!(stage.launch(Mode::Start).await, Outcome::Running);
    let pid = stage.pids()[0];
    // The life of the core is only stopped, with all the time that it takes: the end of the thread is what kills.
    let Stage {
        folder: _folder,
        state,
        supervisor,
    } = stage;
    supervisor.kill();
    supervisor.wait_for_shutdown().await;
    drop(state);
    let deadline = Instant::now() + PATIENCE;
    while is_there(pid) {
        assert!(Instant::now() < deadline, "the core has survived");
        sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_core_that_resumes_leaves_another_owners_alone() {
    let stage = Stage::new(READY);
    let launch = |owner, mode| stage.launch_for(owner, mode, b"{}".to_vec());
    assert_eq!(launch(Owner::Marzban, Mode::Start).await, Outcome::Running);
    assert_eq!(launch(Owner::Gozargah, Mode::Resume).await, Outcome::TakenOver);
    assert!(stage.state.is_started_for(Owner::Marzban) && stage.pids().len() == 1);
    assert_eq!(launch(Owner::Gozargah, Mode::Restart).await, Outcome::Running);
    assert_eq!(launch(Owner::Gozargah, Mode::Resume).await, Outcome::Running);
    assert!(stage.state.is_started_for(Owner::Gozargah) && stage.pids().len() == 3);
}

#[tokio::test]
async fn a_start_that_waits_for_another_owners_core_is_not_displaced_by_it() {
    let stage =
        Stage::new("trap '' TERM; cat >/dev/null; echo 'core: Xray 1.2.3 started'; while :; do sleep 0.05; done");
    let launch = |owner, mode| stage.launch_for(owner, mode, b"{}".to_vec());
    assert_eq!(launch(Owner::Gozargah, Mode::Restart).await, Outcome::Running);
    let (start, resumed) = tokio::join!(launch(Owner::Marzban, Mode::Start), async {
        // Behind the start, which comes first.
        tokio::task::yield_now().await;
        launch(Owner::Gozargah, Mode::Resume).await
    });
    assert_eq!((start, resumed), (Outcome::Running, Outcome::TakenOver));
    assert!(stage.state.is_started_for(Owner::Marzban) && stage.pids().len() == 2);
}

#[tokio::test]
async fn what_waits_for_another_owners_core_is_not_offered() {
    let stage =
        Stage::new("trap '' TERM; cat >/dev/null; echo 'core: Xray 1.2.3 started'; while :; do sleep 0.05; done");
    let launch = |owner, mode| stage.launch_for(owner, mode, b"{}".to_vec());
    assert_eq!(launch(Owner::Gozargah, Mode::Restart).await, Outcome::Running);
    let (start, ()) = tokio::join!(launch(Owner::Marzban, Mode::Start), async {
        // Behind the start, which comes first.
        tokio::task::yield_now().await;
        stage.supervisor.ask(Offer).await.unwrap();
    });
    assert_eq!(start, Outcome::Failed("The core was stopped".into()));
    stage
        .eventually("no core is left", |stage| !stage.pids().into_iter().any(is_there))
        .await;
    assert_eq!(stage.pids().len(), 1);
}

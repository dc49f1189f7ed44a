use super::*;

const A: SessionId = SessionId(1);
const B: SessionId = SessionId(2);
const C: SessionId = SessionId(3);

fn instance(number: u8) -> InstanceId {
    InstanceId([number; 16])
}

fn web() -> ServiceName {
    "web".into()
}

/// A holds web, B and C are attached.
fn held_by_a() -> (Ownership, Instant) {
    let (mut ownership, now) = (Ownership::new(), Instant::now());
    for (number, session) in [(1, A), (2, B), (3, C)] {
        assert_eq!(ownership.attach(instance(number), session), (session, Epoch(1)));
    }
    assert_eq!(ownership.claim(now, &web(), A), Claim::Granted { from: None });
    (ownership, now)
}

fn granted(claimant: SessionId, from: Option<SessionId>) -> Verdict {
    let outcome = Outcome::Granted { from };
    Verdict {
        service: web(),
        claimant,
        outcome,
    }
}

fn taken(claimant: SessionId, holder: SessionId) -> Verdict {
    let outcome = Outcome::Taken { holder };
    Verdict {
        service: web(),
        claimant,
        outcome,
    }
}

#[test]
fn the_same_instance_takes_over_at_once_with_the_next_epoch() {
    let (mut ownership, now) = held_by_a();
    assert_eq!(ownership.preview(instance(1), C), (A, Epoch(2)));
    assert_eq!(ownership.epoch(A), Some(Epoch(1)));
    assert!(ownership.is_free_for(&web(), instance(1)));
    assert_eq!(ownership.attach(instance(1), C), (A, Epoch(2)));
    assert_eq!(ownership.claim(now, &web(), A), Claim::Granted { from: None });
    assert_eq!(ownership.holder(&web()), Some(A));
}

#[test]
fn a_newcomer_has_the_service_when_the_holder_is_silent_for_two_seconds() {
    let (mut ownership, now) = held_by_a();
    assert!(!ownership.is_free_for(&web(), instance(2)));
    assert_eq!(ownership.claim(now, &web(), B), Claim::Contested { holder: A });
    assert_eq!(ownership.poll_timeout(), Some(now + HOLDER_ANSWER));
    assert_eq!(
        ownership.handle_timeout(now + HOLDER_ANSWER - Duration::from_millis(1)),
        []
    );
    assert_eq!(ownership.handle_timeout(now + HOLDER_ANSWER), [granted(B, Some(A))]);
    assert_eq!(ownership.holder(&web()), Some(B));
    assert_eq!(ownership.poll_timeout(), None);
}

#[test]
fn a_holder_that_answers_keeps_its_service() {
    let (mut ownership, now) = held_by_a();
    ownership.claim(now, &web(), B);
    assert_eq!(ownership.answered(A), [taken(B, A)]);
    assert_eq!(ownership.handle_timeout(now + HOLDER_ANSWER), []);
    assert_eq!(ownership.holder(&web()), Some(A));
}

#[test]
fn of_two_newcomers_the_first_has_it_and_the_second_waits() {
    let (mut ownership, now) = held_by_a();
    ownership.claim(now, &web(), B);
    ownership.claim(now, &web(), C);
    assert_eq!(
        ownership.handle_timeout(now + HOLDER_ANSWER),
        [granted(B, Some(A)), taken(C, B)]
    );
    assert_eq!(ownership.remove(B), [granted(C, None)]);
}

#[test]
fn a_draining_holders_service_goes_to_the_next_in_line() {
    let (mut ownership, now) = held_by_a();
    ownership.claim(now, &web(), B);
    ownership.answered(A);
    assert_eq!(ownership.drain(A), [granted(B, Some(A))]);
    assert_eq!(ownership.holder(&web()), Some(B));
}

#[test]
fn a_draining_holder_keeps_what_nobody_claims_until_somebody_does() {
    let (mut ownership, now) = held_by_a();
    assert_eq!(ownership.drain(A), []);
    assert_eq!(ownership.holder(&web()), Some(A));
    assert!(ownership.is_free_for(&web(), instance(2)));
    assert_eq!(ownership.claim(now, &web(), B), Claim::Granted { from: Some(A) });
}

#[test]
fn a_released_service_is_free_or_goes_to_the_next_in_line() {
    let (mut ownership, now) = held_by_a();
    ownership.claim(now, &web(), B);
    assert_eq!(ownership.release(&web(), A), [granted(B, None)]);
    assert_eq!(ownership.release(&web(), B), []);
    assert_eq!(ownership.holder(&web()), None);
    assert_eq!(ownership.claim(now, &web(), C), Claim::Granted { from: None });
}

#[test]
fn a_session_that_is_gone_waits_for_nothing() {
    let (mut ownership, now) = held_by_a();
    ownership.claim(now, &web(), B);
    assert_eq!(ownership.remove(B), []);
    assert_eq!(ownership.poll_timeout(), None);
    assert_eq!(ownership.remove(A), []);
    assert_eq!(ownership.preview(instance(1), C), (C, Epoch(1)));
}

#[test]
fn only_so_many_wait_for_one_service() {
    let (mut ownership, now) = held_by_a();
    for number in 0..MAX_WAITERS as u64 {
        let claim = ownership.claim(now, &web(), SessionId(100 + number));
        assert_eq!(claim, Claim::Contested { holder: A });
    }
    assert_eq!(ownership.claim(now, &web(), B), Claim::Taken { holder: A });
    assert_eq!(ownership.answered(A).len(), MAX_WAITERS);
    ownership.claim(now, &web(), B);
    assert_eq!(ownership.answered(A), [taken(B, A)]);
    // B was told, but there was no room for it in the line.
    let line = (0..MAX_WAITERS as u64).map(|number| SessionId(100 + number));
    let last = line.fold(A, |holder, next| {
        assert_eq!(ownership.release(&web(), holder), [granted(next, None)]);
        next
    });
    assert_eq!(ownership.release(&web(), last), []);
}

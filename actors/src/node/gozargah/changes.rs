//! How sets of users differ at the core's inbounds, and in which order that is made.
//!
//! A core that removes a user forgets his credentials, whoever has the same ones by then. So where credentials go from one user to
//! another, the one is gone before the other comes; and whoever has those of one who goes is added again, although he did not
//! change.

use super::account::Account;
use super::inbound::Inbound;
use super::users::{Before, Users, account, hash, secrets};
use kariz_proto::panel::User;
use std::collections::{HashMap, HashSet};

/// What has to change, in two steps.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changes {
    /// Has to be over before anything of the rest.
    pub(super) first: Vec<Change>,
    /// In any order.
    pub(super) rest: Vec<Change>,
}

/// What has to change for one user at one inbound of the core.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) tag: String,
    pub(super) email: String,
    /// He was there before.
    pub(super) removes: bool,
    /// He is there from now on, with this.
    pub(super) adds: Option<Account>,
}

/// A user's account at an inbound, before and now.
struct Difference<'a> {
    tag: &'a str,
    email: &'a str,
    was: Option<Account>,
    is: Option<Account>,
    /// The core takes one that comes for this one, who goes.
    is_taken_for_another: bool,
}

impl<'a> Difference<'a> {
    fn new(tag: &'a str, email: &'a str, was: Option<Account>, is: Option<Account>) -> Self {
        Self {
            tag,
            email,
            was,
            is,
            is_taken_for_another: false,
        }
    }
}

impl Changes {
    /// What has to change at `inbounds`, which have `users`, but for those of whom `before` says something else.
    pub(super) fn since(before: &Before, users: &Users, inbounds: &[&Inbound]) -> Self {
        let mut differences = differences(before, users, inbounds);
        let again = who_has_the_same(&differences, before, users, inbounds);
        differences.extend(again);
        let moves = moves(&differences);
        let mut changes = Self::default();
        for (
            Difference {
                tag, email, was, is, ..
            },
            moves,
        ) in differences.into_iter().zip(moves)
        {
            let change = |removes, adds| Change {
                tag: tag.to_owned(),
                email: email.to_owned(),
                removes,
                adds,
            };
            if moves {
                changes.first.push(change(true, None));
            }
            let removes = was.is_some() && !moves;
            if removes || is.is_some() {
                changes.rest.push(change(removes, is));
            }
        }
        changes
    }
}

fn differences<'a>(before: &'a Before, users: &'a Users, inbounds: &[&'a Inbound]) -> Vec<Difference<'a>> {
    let mut differences = Vec::new();
    for (key, old) in before {
        let new = users.get(key);
        for inbound in inbounds {
            let tag = &*inbound.tag;
            let account = |user: Option<&User>| account(inbound, user?);
            let (was, is) = (account(old.as_ref()), account(new));
            match (old, new) {
                (Some(old), Some(new)) if old.email != new.email => {
                    // For the core's counters these are two.
                    differences.extend(was.map(|was| Difference {
                        is_taken_for_another: true,
                        ..Difference::new(tag, &old.email, Some(was), None)
                    }));
                    differences.extend(is.map(|is| Difference::new(tag, &new.email, None, Some(is))));
                }
                _ if was == is => {}
                (Some(user), _) => differences.push(Difference::new(tag, &user.email, was, is)),
                (None, Some(user)) => differences.push(Difference::new(tag, &user.email, was, is)),
                (None, None) => {}
            }
        }
    }
    differences
}

/// Those who have what is taken from others, and do not change themselves.
fn who_has_the_same<'a>(
    differences: &[Difference<'_>],
    before: &Before,
    users: &'a Users,
    inbounds: &[&'a Inbound],
) -> Vec<Difference<'a>> {
    // Only few have a text in common with those who change: they are found without a look at every account, and mostly there are
    // none.
    let texts = before.values().flatten().flat_map(secrets);
    let texts: HashSet<u64> = texts.filter(|secret| users.may_have(secret)).map(hash).collect();
    if texts.is_empty() {
        return Vec::new();
    }
    let taken = differences
        .iter()
        .filter_map(|difference| Some((difference.tag, difference.was.as_ref()?.credential())));
    let taken: HashSet<_> = taken.collect();
    let changed = differences.iter().map(|difference| (difference.tag, difference.email));
    let changed: HashSet<_> = changed.collect();
    let mut again = Vec::new();
    for user in users
        .all()
        .filter(|user| secrets(user).any(|secret| texts.contains(&hash(secret))))
    {
        for inbound in inbounds {
            let (tag, email) = (&*inbound.tag, &*user.email);
            let Some(account) = account(inbound, user) else {
                continue;
            };
            if taken.contains(&(tag, account.credential())) && !changed.contains(&(tag, email)) {
                again.push(Difference::new(tag, email, None, Some(account)));
            }
        }
    }
    again
}

/// Of each difference, whether it takes something away that another user gets: credentials, or a name.
fn moves(differences: &[Difference<'_>]) -> Vec<bool> {
    let mut gets: HashMap<(&str, &[u8]), Option<&str>> = HashMap::new();
    for Difference { tag, email, is, .. } in differences {
        let Some(account) = is else { continue };
        let who = gets.entry((tag, account.credential())).or_insert(Some(email));
        // More than one: whoever it is taken from, another one gets it.
        *who = who.filter(|who| who == email);
    }
    let moves = |difference: &Difference<'_>| {
        let Difference { tag, email, was, .. } = difference;
        if difference.is_taken_for_another {
            return Some(true);
        }
        let who = gets.get(&(*tag, was.as_ref()?.credential()))?;
        Some(*who != Some(*email))
    };
    differences
        .iter()
        .map(|difference| moves(difference) == Some(true))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::users::fixtures::*;
    use super::*;

    /// Both steps as text, sorted: `-` for a removal, `+` for what comes.
    fn told(before: &Before, users: &Users) -> Vec<String> {
        let inbounds = inbounds();
        let Changes { first, rest } = Changes::since(before, users, &inbounds.iter().collect::<Vec<_>>());
        let told = |change: &Change| {
            let signs = match (change.removes, &change.adds) {
                (true, Some(_)) => "-+",
                (true, None) => "-",
                (false, Some(_)) => "+",
                (false, None) => "",
            };
            format!("{} {signs} {}", change.tag, change.email)
        };
        let mut told: Vec<_> = first.iter().chain(&rest).map(told).collect();
        told.sort();
        told
    }

    #[test]
    fn only_what_differs_changes() {
        let all = ["vmess", "trojan"];
        let mut users = Users::new([
            user("same", &id(1), "a", &all),
            user("password", &id(2), "b", &all),
            user("moves", &id(3), "c", &["vmess"]),
            user("goes", &id(4), "d", &all),
            user("ends", &id(5), "e", &["trojan"]),
        ]);
        let after = [
            user("same", &id(1), "a", &all),
            user("password", &id(2), "f", &all),
            user("moves", &id(3), "c", &["trojan", "elsewhere"]),
            user("ends", &id(5), "e", &[]),
            user("comes", &id(6), "g", &all),
        ];
        let mut told_one_by_one = users.clone();
        let new = Users::new(after.clone());
        let before = users.before(&new);
        users = new;
        let expected = [
            "trojan + comes",
            "trojan + moves",
            "trojan - ends",
            "trojan - goes",
            "trojan -+ password",
            "vmess + comes",
            "vmess - goes",
            "vmess - moves",
        ];
        assert_eq!(told(&before, &users), expected);
        assert_eq!(users.before(&users), Before::new());
        let goes = user("goes", &id(4), "d", &[]);
        let before = told_one_by_one.update(after.into_iter().chain([goes]));
        assert_eq!(told(&before, &told_one_by_one), expected);
        assert_eq!(told_one_by_one, users);
    }

    #[test]
    fn a_user_who_comes_twice_changes_once() {
        let mut users = Users::new([user("8.bob", ID, "a", &["trojan"]), user("9.eve", ID, "e", &["trojan"])]);
        let before = users.update([
            user("8.bob", ID, "b", &["trojan"]),
            user("7.ann", ID, "n", &["trojan"]),
            user("9.eve", ID, "e", &[]),
            user("8.bob", ID, "c", &["trojan"]),
            user("7.ann", ID, "n", &[]),
            user("9.eve", ID, "e", &["trojan"]),
        ]);
        assert_eq!(told(&before, &users), ["trojan -+ 8.bob"]);
        let inbounds = inbounds();
        let changes = Changes::since(&before, &users, &inbounds.iter().collect::<Vec<_>>());
        assert_eq!(
            changes.rest[0].adds,
            Some(Account::Trojan { password: "c".into() }),
            "the last one counts"
        );
    }

    #[test]
    fn whoever_has_the_credentials_of_one_who_goes_is_added_again() {
        let all = ["vmess", "trojan"];
        let mut users = Users::new([
            user("1.ann", &id(1), "x", &all),
            user("2.bob", &id(2), "x", &all),
            user("3.eve", &id(1), "y", &["trojan"]),
            user("4.joe", &id(4), "x", &["vmess"]),
        ]);
        let before = users.update([user("1.ann", "", "", &[])]);
        assert_eq!(
            told(&before, &users),
            ["trojan + 2.bob", "trojan - 1.ann", "vmess - 1.ann"]
        );
        // Ids are the same however they are written.
        let mut shared = Users::new([
            user("1.ann", &id(1).to_uppercase(), "", &["vmess"]),
            user("2.bob", &id(1), "", &["vmess"]),
        ]);
        let before = shared.update([user("1.ann", "", "", &[])]);
        assert_eq!(told(&before, &shared), ["vmess + 2.bob", "vmess - 1.ann"]);
        // One who changes himself has his own change, and no other.
        let before = users.update([user("2.bob", &id(2), "x", &[]), user("5.sue", &id(5), "x", &["trojan"])]);
        assert_eq!(
            told(&before, &users),
            ["trojan + 5.sue", "trojan - 2.bob", "vmess - 2.bob"]
        );
    }

    #[test]
    fn one_whose_name_gets_other_letters_goes_before_he_comes() {
        let mut users = Users::new([user("8.Bob", ID, "a", &["vmess", "trojan"])]);
        let before = users.update([user("8.bob", &id(1), "a", &["trojan"])]);
        let inbounds = inbounds();
        let Changes { first, rest } = Changes::since(&before, &users, &inbounds.iter().collect::<Vec<_>>());
        let told = |changes: &[Change]| {
            let told = |change: &Change| format!("{} {} {}", change.tag, change.email, change.adds.is_some());
            changes.iter().map(told).collect::<Vec<_>>()
        };
        assert_eq!(told(&first), ["vmess 8.Bob false", "trojan 8.Bob false"]);
        assert_eq!(told(&rest), ["trojan 8.bob true"]);
    }

    #[test]
    fn a_credential_that_is_mended_comes() {
        let mut users = Users::new([user("8.bob", "no uuid", "a", &["vmess", "trojan"])]);
        let before = users.update([user("8.bob", ID, "a", &["vmess", "trojan"])]);
        assert_eq!(told(&before, &users), ["vmess + 8.bob"]);
    }

    #[test]
    fn credentials_that_another_one_gets_are_taken_first() {
        let account = |password: &str| Account::Trojan {
            password: password.into(),
        };
        let account = |password: &str| (!password.is_empty()).then(|| account(password));
        let change = |tag: &'static str, email: &'static str, was: &str, is: &str| {
            Difference::new(tag, email, account(was), account(is))
        };
        let changes = [
            change("one", "swaps", "a", "b"),
            change("one", "with", "b", "a"),
            change("one", "goes", "c", ""),
            change("one", "comes", "", "c"),
            change("one", "changes", "d", "e"),
            change("two", "changes", "e", "f"),
            change("one", "keeps", "g", "g"),
            change("one", "shares", "h", "h"),
            change("one", "too", "", "h"),
        ];
        let first: Vec<_> = moves(&changes)
            .into_iter()
            .zip(&changes)
            .filter(|(first, _)| *first)
            .collect();
        let emails: Vec<_> = first.iter().map(|(_, change)| change.email).collect();
        assert_eq!(emails, ["swaps", "with", "goes", "shares"]);
    }
}

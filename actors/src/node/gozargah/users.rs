//! The users that a panel gave its node, and how two sets of them differ at the core's inbounds.

use super::account::Account;
use super::inbound::Inbound;
use kariz_proto::panel::User;
use std::collections::BTreeMap;

/// Users by name (`email`). A user without inbounds or without a name is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Users(BTreeMap<String, User>);

/// What has to change at one inbound of the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) tag: String,
    pub(super) email: String,
    /// It was there before.
    pub(super) removes: bool,
    /// It is there from now on.
    pub(super) adds: Option<Account>,
}

impl Users {
    /// Of two users with one name the last one counts.
    pub(super) fn new(users: impl IntoIterator<Item = User>) -> Self {
        let mut all = Self::default();
        users.into_iter().for_each(|user| all.put(user));
        all
    }

    /// Adds or replaces a user, or removes one that is in no inbound any more. One without a name is none: the core could
    /// never let go of it.
    pub(super) fn put(&mut self, user: User) {
        if user.inbounds.is_empty() || user.email.is_empty() {
            self.0.remove(&user.email);
        } else {
            self.0.insert(user.email.clone(), user);
        }
    }

    /// Puts all of them, and returns who had their names before: nobody, or a user as he was before the first of them.
    pub(super) fn update(&mut self, users: impl IntoIterator<Item = User>) -> BTreeMap<String, Option<User>> {
        let mut before = BTreeMap::new();
        for user in users {
            before
                .entry(user.email.clone())
                .or_insert_with(|| self.get(&user.email).cloned());
            self.put(user);
        }
        before
    }

    pub(super) fn get(&self, email: &str) -> Option<&User> {
        self.0.get(email)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    /// Who is let in at `inbound`, and how.
    pub(super) fn at<'a>(&'a self, inbound: &'a Inbound) -> impl Iterator<Item = (&'a str, Account)> {
        let entry = |user: &'a User| Some((&*user.email, account(inbound, user)?));
        self.0.values().filter_map(entry)
    }

    /// What has to change at `inbounds` so that they have `new` instead of these users.
    pub(super) fn changes_to(&self, new: &Self, inbounds: &[Inbound]) -> Vec<Change> {
        let changed = new.0.values().filter(|user| self.get(&user.email) != Some(user));
        let gone = self.0.values().filter(|user| new.get(&user.email).is_none());
        let of_changed = changed.flat_map(|user| changes(&user.email, self.get(&user.email), Some(user), inbounds));
        let of_gone = gone.flat_map(|user| changes(&user.email, Some(user), None, inbounds));
        of_changed.chain(of_gone).collect()
    }
}

/// What has to change at `inbounds` when the user `email` was `before` and is `after`.
pub(super) fn changes<'a>(
    email: &'a str,
    before: Option<&'a User>,
    after: Option<&'a User>,
    inbounds: &'a [Inbound],
) -> impl Iterator<Item = Change> + 'a {
    inbounds.iter().filter_map(move |inbound| {
        let account = |user: Option<&User>| account(inbound, user?);
        let (before, after) = (account(before), account(after));
        (before != after).then(|| Change {
            tag: inbound.tag.clone(),
            email: email.to_owned(),
            removes: before.is_some(),
            adds: after,
        })
    })
}

/// The account of a user at an inbound that lets him in. What a bad credential keeps from it, [`complaints`] says.
fn account(inbound: &Inbound, user: &User) -> Option<Account> {
    let is_let_in = user.inbounds.contains(&inbound.tag);
    let proxies = user.proxies.as_ref().filter(|_| is_let_in)?;
    Account::at(inbound, proxies).ok().flatten()
}

/// What is wrong with a user's credentials: one sentence for each inbound that he is kept from.
pub(super) fn complaints(user: &User, inbounds: &[Inbound]) -> Vec<String> {
    let complaint = |inbound: &Inbound| {
        let error = Account::at(inbound, user.proxies.as_ref()?).err()?;
        Some(format!(
            "user {} is left out of the inbound {}: {error}",
            user.email, inbound.tag
        ))
    };
    let let_in = inbounds.iter().filter(|inbound| user.inbounds.contains(&inbound.tag));
    let_in.filter_map(complaint).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use kariz_proto::panel::{Proxy, Trojan, Vmess};
    use serde_json::json;

    fn inbounds() -> Vec<Inbound> {
        ["vmess", "trojan"]
            .map(|protocol| Inbound::read(&json!({ "tag": protocol, "protocol": protocol })).unwrap())
            .into()
    }

    fn user(email: &str, id: &str, password: &str, inbounds: &[&str]) -> User {
        User {
            email: email.into(),
            proxies: Some(Proxy {
                vmess: Some(Vmess { id: id.into() }),
                trojan: Some(Trojan {
                    password: password.into(),
                }),
                ..Proxy::default()
            }),
            inbounds: inbounds.iter().map(ToString::to_string).collect(),
        }
    }

    const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    /// Changes as text: `-` for a removal, `+` for what comes.
    fn told(changes: &[Change]) -> Vec<String> {
        let told = |change: &Change| {
            let signs = match (change.removes, &change.adds) {
                (true, Some(_)) => "-+",
                (true, None) => "-",
                (false, Some(_)) => "+",
                (false, None) => "",
            };
            format!("{} {signs} {}", change.tag, change.email)
        };
        changes.iter().map(told).collect()
    }

    #[test]
    fn only_what_differs_changes() {
        let all = ["vmess", "trojan"];
        let before = Users::new([
            user("same", ID, "a", &all),
            user("password", ID, "a", &all),
            user("moves", ID, "a", &["vmess"]),
            user("goes", ID, "a", &all),
            user("ends", ID, "a", &["trojan"]),
        ]);
        let after = Users::new([
            user("same", ID, "a", &all),
            user("password", ID, "b", &all),
            user("moves", ID, "a", &["trojan", "elsewhere"]),
            user("ends", ID, "a", &[]),
            user("comes", ID, "a", &all),
        ]);
        let mut changes = told(&before.changes_to(&after, &inbounds()));
        changes.sort();
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
        assert_eq!(changes, expected);
        assert_eq!(before.changes_to(&before, &inbounds()), []);
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
        let inbounds = inbounds();
        let changes = before
            .iter()
            .flat_map(|(email, before)| changes(email, before.as_ref(), users.get(email), &inbounds));
        let changes: Vec<_> = changes.collect();
        assert_eq!(told(&changes), ["trojan -+ 8.bob"]);
        assert_eq!(
            changes[0].adds,
            Some(Account::Trojan { password: "c".into() }),
            "the last one counts"
        );
    }

    #[test]
    fn a_user_without_inbounds_is_none() {
        let mut users = Users::new([user("8.bob", ID, "a", &["vmess"]), user("9.eve", ID, "a", &[])]);
        assert_eq!(users.len(), 1);
        users.put(user("8.bob", ID, "a", &[]));
        assert_eq!(users.len(), 0);
    }

    #[test]
    fn a_bad_credential_keeps_from_one_inbound_alone() {
        let bob = user("8.bob", "no uuid", "a", &["vmess", "trojan"]);
        let users = Users::new([bob.clone()]);
        let [vmess, trojan] = &inbounds()[..] else { panic!() };
        assert_eq!(users.at(vmess).count(), 0);
        assert_eq!(users.at(trojan).count(), 1);
        assert_eq!(
            complaints(&bob, &inbounds()),
            ["user 8.bob is left out of the inbound vmess: the id is no UUID"]
        );
        let mended = Users::new([user("8.bob", ID, "a", &["vmess", "trojan"])]);
        assert_eq!(told(&users.changes_to(&mended, &inbounds())), ["vmess + 8.bob"]);
    }
}

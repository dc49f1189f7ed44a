//! The users that a panel gave its node, and how two sets of them differ at the core's inbounds.

use super::account::Account;
use super::inbound::Inbound;
use kariz_proto::panel::User;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};

/// Users by name (`email`). A user without inbounds or without a name is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Users {
    by_name: BTreeMap<String, User>,
    /// How many times there is a credential, by its hash: to look for whoever has one takes a look at everybody, and mostly there is
    /// nobody.
    secrets: HashMap<u64, u32>,
}

/// Who had a name before users changed: somebody, or nobody.
pub(super) type Before = BTreeMap<String, Option<User>>;

/// What has to change at one inbound of the core.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Change {
    pub(super) tag: String,
    pub(super) email: String,
    /// He was there before, with this.
    pub(super) removes: Option<Account>,
    /// He is there from now on, with this.
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
        let before = if user.inbounds.is_empty() || user.email.is_empty() {
            self.by_name.remove(&user.email)
        } else {
            secrets(&user).for_each(|secret| *self.secrets.entry(hash(secret)).or_default() += 1);
            self.by_name.insert(user.email.clone(), user)
        };
        for secret in before.iter().flat_map(secrets) {
            if let Entry::Occupied(mut count) = self.secrets.entry(hash(secret)) {
                *count.get_mut() -= 1;
                if *count.get() == 0 {
                    count.remove();
                }
            }
        }
    }

    /// Whether anybody may have this credential.
    fn may_have(&self, secret: &str) -> bool {
        self.secrets.contains_key(&hash(secret))
    }

    /// Puts all of them, one after the other, and returns who had their names before the first of them.
    pub(super) fn update(&mut self, users: impl IntoIterator<Item = User>) -> Before {
        let mut before = Before::new();
        for user in users {
            before
                .entry(user.email.clone())
                .or_insert_with(|| self.get(&user.email).cloned());
            self.put(user);
        }
        before
    }

    pub(super) fn get(&self, email: &str) -> Option<&User> {
        self.by_name.get(email)
    }

    pub(super) fn all(&self) -> impl Iterator<Item = &User> {
        self.by_name.values()
    }

    pub(super) fn len(&self) -> usize {
        self.by_name.len()
    }

    /// Who is let in at `inbound`, and how.
    pub(super) fn at<'a>(&'a self, inbound: &'a Inbound) -> impl Iterator<Item = (&'a str, Account)> {
        let entry = |user: &'a User| Some((&*user.email, account(inbound, user)?));
        self.by_name.values().filter_map(entry)
    }

    /// Has `new` take the place of all of them, and returns those who are not the same.
    pub(super) fn replace(&mut self, new: Self) -> Before {
        let old = std::mem::replace(self, new);
        let came = self.by_name.keys().filter(|email| old.get(email).is_none());
        let mut before: Before = came.map(|email| (email.clone(), None)).collect();
        let gone = old
            .by_name
            .into_iter()
            .filter(|(email, user)| self.get(email) != Some(user));
        before.extend(gone.map(|(email, user)| (email, Some(user))));
        before
    }

    /// What has to change at `inbounds`, which had `before` where that says something else.
    ///
    /// A core forgets credentials with whom it removes: whoever has the same ones is added again, although he did not change.
    pub(super) fn changes_since(&self, before: &Before, inbounds: &[Inbound]) -> Vec<Change> {
        let mut changes = Vec::new();
        for (email, was) in before {
            for inbound in inbounds {
                let account = |user: Option<&User>| account(inbound, user?);
                let (removes, adds) = (account(was.as_ref()), account(self.get(email)));
                if removes != adds {
                    let (tag, email) = (inbound.tag.clone(), email.clone());
                    changes.push(Change {
                        tag,
                        email,
                        removes,
                        adds,
                    });
                }
            }
        }
        let again = self.who_has_the_same(before, &changes, inbounds);
        changes.extend(again);
        changes
    }

    /// Those who have what is taken from others by `changes`, and do not change themselves.
    fn who_has_the_same(&self, before: &Before, changes: &[Change], inbounds: &[Inbound]) -> Vec<Change> {
        let freed = changes.iter().filter_map(|change| {
            let removed = change.removes.as_ref()?;
            Some((&*change.tag, removed.credential()))
        });
        let freed: HashSet<_> = freed.collect();
        if freed.is_empty() {
            return Vec::new();
        }
        // Only few have a text in common with those who change: they are found without a look at every account.
        let texts = before.values().flatten().flat_map(secrets);
        let texts: HashSet<&str> = texts.filter(|secret| self.may_have(secret)).collect();
        if texts.is_empty() {
            return Vec::new();
        }
        let changed: HashSet<_> = changes.iter().map(|change| (&*change.tag, &*change.email)).collect();
        let may_have = |user: &&User| secrets(user).any(|secret| texts.contains(secret));
        let of_user = |user: &User| {
            let has = |inbound: &Inbound| {
                let has = account(inbound, user)?;
                let is_freed = freed.contains(&(&*inbound.tag, has.credential()));
                (is_freed && !changed.contains(&(&*inbound.tag, &*user.email))).then(|| Change {
                    tag: inbound.tag.clone(),
                    email: user.email.clone(),
                    removes: None,
                    adds: Some(has),
                })
            };
            inbounds.iter().filter_map(has).collect::<Vec<_>>()
        };
        self.by_name.values().filter(may_have).flat_map(of_user).collect()
    }
}

fn hash(secret: &str) -> u64 {
    BuildHasherDefault::<DefaultHasher>::default().hash_one(secret)
}

/// A user's credentials as his panel wrote them.
fn secrets(user: &User) -> impl Iterator<Item = &str> {
    let proxies = user.proxies.as_ref();
    let secrets = proxies.map(|proxies| {
        [
            proxies.vmess.as_ref().map(|vmess| &*vmess.id),
            proxies.vless.as_ref().map(|vless| &*vless.id),
            proxies.trojan.as_ref().map(|trojan| &*trojan.password),
            proxies.shadowsocks.as_ref().map(|shadowsocks| &*shadowsocks.password),
            proxies.hysteria.as_ref().map(|hysteria| &*hysteria.auth),
        ]
    });
    let secrets = secrets.into_iter().flatten().flatten();
    secrets.filter(|secret| !secret.is_empty())
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

    fn id(number: u8) -> String {
        format!("0f8fad5b-d9cb-469f-a165-7086772895{number:02}")
    }

    /// Changes as text: `-` for a removal, `+` for what comes.
    fn told(changes: &[Change]) -> Vec<String> {
        let told = |change: &Change| {
            let signs = match (&change.removes, &change.adds) {
                (Some(_), Some(_)) => "-+",
                (Some(_), None) => "-",
                (None, Some(_)) => "+",
                (None, None) => "",
            };
            format!("{} {signs} {}", change.tag, change.email)
        };
        changes.iter().map(told).collect()
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
        let before = users.replace(Users::new(after.clone()));
        let mut changes = told(&users.changes_since(&before, &inbounds()));
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
        let same = users.replace(users.clone());
        assert_eq!(users.changes_since(&same, &inbounds()), []);
        let goes = user("goes", &id(4), "d", &[]);
        let before = told_one_by_one.update(after.into_iter().chain([goes]));
        let mut changes = told(&told_one_by_one.changes_since(&before, &inbounds()));
        changes.sort();
        assert_eq!(changes, expected);
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
        let changes = users.changes_since(&before, &inbounds());
        assert_eq!(told(&changes), ["trojan -+ 8.bob"]);
        assert_eq!(
            changes[0].adds,
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
        let mut changes = told(&users.changes_since(&before, &inbounds()));
        changes.sort();
        assert_eq!(changes, ["trojan + 2.bob", "trojan - 1.ann", "vmess - 1.ann"]);
        // One who changes himself has his own change, and no other.
        let before = users.update([user("2.bob", &id(2), "x", &[]), user("5.sue", &id(5), "x", &["trojan"])]);
        let mut changes = told(&users.changes_since(&before, &inbounds()));
        changes.sort();
        assert_eq!(changes, ["trojan + 5.sue", "trojan - 2.bob", "vmess - 2.bob"]);
    }

    #[test]
    fn credentials_are_counted_for_as_long_as_somebody_has_them() {
        let mut users = Users::new([
            user("1.ann", &id(1), "x", &["vmess"]),
            user("2.bob", &id(1), "y", &["vmess"]),
        ]);
        let has = |users: &Users| [&*id(1), "x", "y", "z"].map(|secret| users.may_have(secret));
        assert_eq!(has(&users), [true, true, true, false]);
        users.update([user("1.ann", &id(2), "z", &["vmess"])]);
        assert_eq!(has(&users), [true, false, true, true]);
        users.update([user("2.bob", "", "", &[])]);
        assert_eq!(has(&users), [false, false, false, true]);
        users.replace(Users::default());
        assert_eq!(users, Users::default());
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
        let mut mended = users.clone();
        let before = mended.update([user("8.bob", ID, "a", &["vmess", "trojan"])]);
        assert_eq!(told(&mended.changes_since(&before, &inbounds())), ["vmess + 8.bob"]);
    }
}

//! The users that a panel gave its node.

use super::account::Account;
use super::inbound::Inbound;
use kariz_proto::panel::User;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use uuid::Uuid;

/// Users by name (`email`), of which the core knows no capital letters. A user without inbounds or without a name is none.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct Users {
    /// By [`key`].
    by_name: BTreeMap<String, User>,
    /// How many times there is a credential, by its hash: to look for whoever has one takes a look at everybody, and mostly there is
    /// nobody.
    secrets: HashMap<u64, u32>,
}

/// Who had a name before users changed, by [`key`]: somebody, or nobody.
pub(super) type Before = BTreeMap<String, Option<User>>;

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
            self.by_name.remove(&key(&user.email))
        } else {
            secrets(&user).for_each(|secret| *self.secrets.entry(hash(secret)).or_default() += 1);
            let email = user.email.clone();
            self.by_name.insert(key(&email), user).inspect(|before| {
                if before.email != email {
                    tracing::warn!(
                        "user {} is left out: the core does not tell him from {email}",
                        before.email
                    );
                }
            })
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
    pub(super) fn may_have(&self, secret: &str) -> bool {
        self.secrets.contains_key(&hash(secret))
    }

    /// Puts all of them, one after the other, and returns who had their names before the first of them.
    pub(super) fn update(&mut self, users: impl IntoIterator<Item = User>) -> Before {
        let mut before = Before::new();
        for user in users {
            before
                .entry(key(&user.email))
                .or_insert_with(|| self.get(&user.email).cloned());
            self.put(user);
        }
        before
    }

    pub(super) fn get(&self, email: &str) -> Option<&User> {
        self.by_name.get(&key(email))
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

    /// Those who are not the same in `new`, as they are here.
    pub(super) fn before(&self, new: &Self) -> Before {
        let came = new.by_name.keys().filter(|key| !self.by_name.contains_key(*key));
        let others = self
            .by_name
            .iter()
            .filter(|(key, user)| new.by_name.get(*key) != Some(user));
        let others = others.map(|(key, user)| (key.clone(), Some(user.clone())));
        came.map(|key| (key.clone(), None)).chain(others).collect()
    }
}

/// By what the core tells users apart: it starts with no two of them whose names differ in capital letters alone (Go's
/// `strings.ToLower`), and removes the first one whose letters fold to the same (`strings.EqualFold`).
fn key(email: &str) -> String {
    match email.is_ascii() {
        true => email.to_ascii_lowercase(),
        false => email.chars().map(folded).collect(),
    }
}

/// The small letter of what a letter's capital is, as far as that is one letter.
fn folded(letter: char) -> char {
    match letter {
        // Two capitals of `i` and its like; the first one is folded by Go alone.
        '\u{130}' => 'i',
        '\u{131}' => letter,
        _ => {
            let capital = only(letter.to_uppercase()).unwrap_or(letter);
            only(capital.to_lowercase()).unwrap_or(letter)
        }
    }
}

fn only(mut letters: impl Iterator<Item = char>) -> Option<char> {
    letters.next().filter(|_| letters.next().is_none())
}

/// Ids are the same however they are written.
pub(super) fn hash(secret: &str) -> u64 {
    let hasher = BuildHasherDefault::<DefaultHasher>::default();
    match Uuid::parse_str(secret) {
        Ok(id) => hasher.hash_one(id),
        Err(_) => hasher.hash_one(secret),
    }
}

/// A user's credentials as his panel wrote them.
pub(super) fn secrets(user: &User) -> impl Iterator<Item = &str> {
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
pub(super) fn account(inbound: &Inbound, user: &User) -> Option<Account> {
    let is_let_in = user.inbounds.contains(&inbound.tag);
    let proxies = user.proxies.as_ref().filter(|_| is_let_in)?;
    Account::at(inbound, proxies).ok().flatten()
}

/// What is wrong with a user's credentials: one sentence for each inbound that he is kept from.
pub(super) fn complaints(user: &User, inbounds: &[&Inbound]) -> Vec<String> {
    let complaint = |inbound: &&Inbound| {
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
pub(super) mod fixtures {
    use super::*;
    use kariz_proto::panel::{Proxy, Trojan, Vmess};
    use serde_json::json;

    /// One for VMess and one for Trojan.
    pub(in super::super) fn inbounds() -> Vec<Inbound> {
        ["vmess", "trojan"]
            .map(|protocol| Inbound::read(&json!({ "tag": protocol, "protocol": protocol })).unwrap())
            .into()
    }

    pub(in super::super) fn user(email: &str, id: &str, password: &str, inbounds: &[&str]) -> User {
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

    pub(in super::super) const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

    pub(in super::super) fn id(number: u8) -> String {
        format!("0f8fad5b-d9cb-469f-a165-7086772895{number:02}")
    }
}

#[cfg(test)]
mod tests {
    use super::fixtures::*;
    use super::*;

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
        users.update([user("1.ann", "", "", &[])]);
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
    fn capital_letters_make_no_other_user() {
        let mut users = Users::new([
            user("1.Bob", &id(1), "a", &["vmess"]),
            user("1.bob", &id(2), "b", &["vmess"]),
        ]);
        assert_eq!(users.all().map(|user| &*user.email).collect::<Vec<_>>(), ["1.bob"]);
        let before = users.update([user("1.BOB", &id(3), "c", &["vmess"]), user("1.BoB", "", "", &[])]);
        assert_eq!(users, Users::default());
        let before: Vec<_> = before.values().flatten().map(|user| &*user.email).collect();
        assert_eq!(before, ["1.bob"]);
    }

    #[test]
    fn names_are_folded_as_the_core_folds_them() {
        for same in [
            ["1.\u{130}bo", "1.ibo"],
            ["1.\u{17f}am", "1.SAM"],
            ["\u{3c2}", "\u{3a3}"],
            ["\u{b5}", "\u{3bc}"],
        ] {
            assert_eq!(key(same[0]), key(same[1]), "{same:?}");
        }
        assert_ne!(key("\u{131}"), key("i"));
        assert_ne!(key("stra\u{df}e"), key("strasse"));
    }

    #[test]
    fn a_bad_credential_keeps_from_one_inbound_alone() {
        let bob = user("8.bob", "no uuid", "a", &["vmess", "trojan"]);
        let users = Users::new([bob.clone()]);
        let inbounds = inbounds();
        let [vmess, trojan] = &inbounds[..] else { panic!() };
        assert_eq!(users.at(vmess).count(), 0);
        assert_eq!(users.at(trojan).count(), 1);
        assert_eq!(
            complaints(&bob, &[vmess, trojan]),
            ["user 8.bob is left out of the inbound vmess: the id is no UUID"]
        );
    }
}

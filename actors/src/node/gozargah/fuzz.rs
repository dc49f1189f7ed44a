//! The fuzz body of what a panel sends over REST.

use super::changes::{Change, Changes};
use super::config::{CoreConfig, Ports};
use super::rest::chunks;
use super::users::Users;
use kariz_proto::panel::{Backend, LatencyRequest, StatRequest, User, UsersChunk};
use prost::Message;
use serde_json::Value;

/// Reads arbitrary bytes as each of the bodies that a panel sends, and makes of users and configuration what the core gets.
///
/// # Panics
///
/// If a promise is broken: what was read is not written again as it was; users are lost between chunks, or counted twice; what
/// the core gets is no JSON, lacks the API, or has a user twice at an inbound; a difference of users does not lead from the one
/// set to the other.
pub fn fuzz_node_message(data: &[u8]) {
    read_again::<StatRequest>(data);
    read_again::<LatencyRequest>(data);
    read_again::<User>(data);
    if let Ok(users) = chunks(data.to_vec().into()).and_then(|chunks| chunks.users()) {
        let chunk = UsersChunk {
            users: users.clone(),
            index: 0,
            last: true,
        };
        let whole = chunks(chunk.encode_length_delimited_to_vec().into()).and_then(|chunks| chunks.users());
        assert_eq!(whole, Ok(users), "one chunk in place of many");
    }
    if let Some(backend) = read_again::<Backend>(data) {
        fuzz_backend(backend);
    }
}

fn read_again<M: Message + Default + PartialEq>(data: &[u8]) -> Option<M> {
    let message = M::decode(data).ok()?;
    let again = M::decode(&*message.encode_to_vec()).expect("what was read can be read again");
    assert!(again == message, "something else was read again");
    Some(message)
}

fn fuzz_backend(backend: Backend) {
    let Ok(config) = CoreConfig::read(&backend.config, &backend.exclude_inbounds) else {
        return;
    };
    let users = Users::new(backend.users);
    let ports = Ports { api: 1, metrics: 2 };
    let json = config.json(&users, ports);
    let made: Value = serde_json::from_slice(&json).expect("the core gets JSON");
    let inbounds = made["inbounds"].as_array().expect("there are inbounds");
    assert!(inbounds[0]["tag"] == "API_INBOUND" && inbounds[0]["port"] == 1);
    assert_eq!(made["routing"]["rules"][0]["outboundTag"], "API");
    let known: Vec<_> = config.inbounds().cloned().collect();
    for inbound in &known {
        let mut emails: Vec<_> = users.at(inbound).map(|(email, _)| email.to_lowercase()).collect();
        let count = emails.len();
        emails.dedup();
        assert_eq!(emails.len(), count, "somebody is there twice");
    }
    // From nobody to all of them, and back.
    let known: Vec<_> = known.iter().collect();
    let nobody = Users::default();
    let adds = Changes::since(&nobody.before(&users), &users, &known);
    assert!(adds.rest.iter().all(|change| !change.removes && change.adds.is_some()));
    let removes = Changes::since(&users.before(&nobody), &nobody, &known);
    assert!(
        removes
            .rest
            .iter()
            .all(|change| change.removes && change.adds.is_none())
    );
    assert!(adds.first.is_empty() && removes.first.is_empty());
    let names = |changes: &[Change]| {
        let mut names: Vec<_> = changes
            .iter()
            .map(|change| (change.tag.clone(), change.email.clone()))
            .collect();
        names.sort();
        names
    };
    assert_eq!(names(&adds.rest), names(&removes.rest));
    assert!(users.before(&users).is_empty(), "somebody differs from himself");
}

#[cfg(test)]
mod tests {
    use super::*;
    use kariz_proto::panel::{Proxy, Trojan, Vless};
    use proptest::prelude::*;

    /// Messages that mean something.
    fn seeds() -> Vec<Vec<u8>> {
        let user = |email: &str, id: &str| User {
            email: email.into(),
            proxies: Some(Proxy {
                vless: Some(Vless {
                    id: id.into(),
                    flow: String::new(),
                }),
                trojan: Some(Trojan {
                    password: "secret".into(),
                }),
                ..Proxy::default()
            }),
            inbounds: vec!["a".into(), "b".into()],
        };
        let users = vec![
            user("1.ann", "0f8fad5b-d9cb-469f-a165-70867728950e"),
            user("2.bob", "x"),
            user("", ""),
        ];
        let config = r#"{"log": {"access": "/a"}, "inbounds": [{"tag": "a", "protocol": "vless"},
            {"tag": "b", "protocol": "trojan", "settings": {"clients": 1}}, {"tag": "b", "protocol": "shadowsocks",
            "settings": {"method": "2022-blake3-aes-128-gcm"}}, 5, {"tag": "API_INBOUND"}], "observatory": {"subjectSelector": ["x"]},
            "outbounds": [{"tag": "x", "protocol": "blackhole"}], "routing": {"rules": [{"ip": ["geoip:private"]}]}}"#;
        let backend = Backend {
            config: config.into(),
            users: users.clone(),
            exclude_inbounds: vec!["c".into()],
            keep_alive: 60,
            ..Backend::default()
        };
        let chunk = |index, last| {
            UsersChunk {
                users: users.clone(),
                index,
                last,
            }
            .encode_length_delimited_to_vec()
        };
        vec![
            backend.encode_to_vec(),
            [chunk(1, false), chunk(0, false), chunk(2, true)].concat(),
            users[0].encode_to_vec(),
        ]
    }

    #[test]
    fn seeds_are_read() {
        let seeds = seeds();
        seeds.iter().for_each(|seed| fuzz_node_message(seed));
        let backend = Backend::decode(&*seeds[0]).unwrap();
        assert!(
            CoreConfig::read(&backend.config, &[]).is_ok(),
            "nothing would be tried with it"
        );
        assert_eq!(
            chunks(seeds[1].clone().into())
                .and_then(|chunks| chunks.users())
                .unwrap()
                .len(),
            9
        );
    }

    proptest! {
        #[test]
        fn mutated_messages_break_no_promise(seed in 0..3_usize, changes in proptest::collection::vec((any::<u16>(), any::<u8>()), 0..6), cut in any::<u16>()) {
            let mut data = seeds().swap_remove(seed);
            for (at, byte) in changes {
                let at = usize::from(at) % data.len();
                data[at] = byte;
            }
            data.truncate(data.len() - usize::from(cut) % data.len() / 4);
            fuzz_node_message(&data);
        }

        #[test]
        fn random_bytes_break_no_promise(data in proptest::collection::vec(any::<u8>(), 0..300)) {
            fuzz_node_message(&data);
        }
    }
}

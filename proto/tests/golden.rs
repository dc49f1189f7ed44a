//! The messages of panels and core against the bytes that their own programs write.

use kariz_proto::{panel, xray};
use prost::Message;
use std::collections::BTreeMap;
use std::fmt::Debug;

const ID: &str = "0f8fad5b-d9cb-469f-a165-70867728950e";

/// Bytes by name; those that a test has compared are taken out.
struct Golden(BTreeMap<&'static str, Vec<u8>>);

impl Golden {
    fn read(text: &'static str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#'));
        let entry = |line: &'static str| {
            let (name, hex) = line.split_once(':').expect("NAME: HEX");
            (name, bytes(hex.trim()))
        };
        Self(lines.map(entry).collect())
    }

    #[track_caller]
    fn is<M: Message + Default + PartialEq + Debug>(&mut self, name: &str, message: &M) {
        let golden = self.0.remove(name).expect("there are bytes of that name");
        assert_eq!(message.encode_to_vec(), golden, "{name} is written otherwise");
        let read = M::decode(&*golden).expect("it is a message of that kind");
        assert_eq!(&read, message, "{name} is read otherwise");
    }

    #[track_caller]
    fn is_done(&self) {
        assert!(self.0.is_empty(), "nobody looked at {:?}", self.0.keys());
    }
}

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex.chars().map(|c| c.to_digit(16).expect("a digit") as u8).collect();
    digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
}

#[test]
fn panels_messages() {
    use panel::*;
    let mut golden = Golden::read(include_str!("golden/panel.txt"));
    let bob = User {
        email: "8.bob".into(),
        proxies: Some(Proxy {
            vmess: Some(Vmess { id: ID.into() }),
            vless: Some(Vless {
                id: ID.into(),
                flow: "xtls-rprx-vision".into(),
            }),
            trojan: Some(Trojan {
                password: "secret".into(),
            }),
            shadowsocks: Some(Shadowsocks {
                password: "secret".into(),
                method: "aes-128-gcm".into(),
            }),
            wireguard: Some(Wireguard {
                public_key: "k".into(),
                peer_ips: vec!["10.0.0.2/32".into()],
            }),
            hysteria: Some(Hysteria { auth: "a".into() }),
            masque: Some(Masque::default()),
        }),
        inbounds: vec!["VLESS TCP".into(), "سرور".into()],
    };
    let eve = User {
        email: "9.eve".into(),
        ..User::default()
    };
    golden.is("Empty", &Empty {});
    golden.is(
        "Backend",
        &Backend {
            r#type: BackendType::Wireguard.into(),
            config: "{\"log\":{}}".into(),
            users: vec![bob.clone()],
            keep_alive: 60,
            exclude_inbounds: vec!["api".into()],
        },
    );
    golden.is(
        "BaseInfoResponse",
        &BaseInfoResponse {
            started: true,
            core_version: "26.3.27".into(),
            node_version: "0.5.2".into(),
            ..BaseInfoResponse::default()
        },
    );
    golden.is(
        "BaseInfoResponse of G0",
        &BaseInfoResponse {
            started: true,
            core_version: "25.3.6".into(),
            node_version: "0.0.1".into(),
            session_id: ID.into(),
            extra: "x".into(),
        },
    );
    golden.is("Log", &Log { detail: "line".into() });
    golden.is(
        "StatRequest",
        &StatRequest {
            name: "8.bob".into(),
            reset: true,
            r#type: StatType::UserStat.into(),
        },
    );
    let stats = vec![
        Stat {
            name: "8.bob".into(),
            r#type: "uplink".into(),
            link: "traffic".into(),
            value: 1 << 40,
        },
        Stat {
            value: -1,
            ..Stat::default()
        },
    ];
    golden.is("StatResponse", &StatResponse { stats });
    golden.is(
        "OnlineStatResponse",
        &OnlineStatResponse {
            name: "8.bob".into(),
            value: 3,
        },
    );
    golden.is(
        "StatsOnlineIpListResponse",
        &StatsOnlineIpListResponse {
            name: "8.bob".into(),
            ips: [("1.2.3.4".into(), 1_700_000_000)].into(),
        },
    );
    golden.is("LatencyRequest", &LatencyRequest { name: "out".into() });
    let latency = Latency {
        name: "out".into(),
        alive: true,
        delay: 120,
        link: "l".into(),
        last_seen_time: 5,
        last_try_time: 6,
        source: "xray-observatory".into(),
    };
    golden.is(
        "LatencyResponse",
        &LatencyResponse {
            latencies: vec![latency],
        },
    );
    golden.is(
        "BackendStatsResponse",
        &BackendStatsResponse {
            num_goroutine: 1,
            num_gc: 2,
            alloc: 3,
            total_alloc: 4,
            sys: 5,
            mallocs: 6,
            frees: 7,
            live_objects: 8,
            pause_total_ns: 9,
            uptime: 10,
        },
    );
    golden.is(
        "SystemStatsResponse",
        &SystemStatsResponse {
            mem_total: 1,
            mem_used: 2,
            cpu_cores: 3,
            cpu_usage: 12.5,
            incoming_bandwidth_speed: 5,
            outgoing_bandwidth_speed: 6,
            uptime: 7,
        },
    );
    golden.is(
        "Users",
        &Users {
            users: vec![bob, eve.clone()],
        },
    );
    golden.is(
        "UsersChunk",
        &UsersChunk {
            users: vec![eve],
            index: 300,
            last: true,
        },
    );
    golden.is_done();
}

#[test]
fn the_cores_users() {
    use prost::Name;
    use xray::app::proxyman::command::{
        AddUserOperation, AlterInboundRequest, AlterInboundResponse, RemoveUserOperation,
    };
    use xray::common::{protocol::User, serial::TypedMessage};
    use xray::proxy::{hysteria, shadowsocks, shadowsocks_2022, trojan, vless, vmess};

    fn add<A: Message + Name>(account: &A) -> AlterInboundRequest {
        let user = User {
            level: 1,
            email: "8.bob".into(),
            account: Some(TypedMessage::of(account)),
        };
        AlterInboundRequest {
            tag: "in".into(),
            operation: Some(TypedMessage::of(&AddUserOperation { user: Some(user) })),
        }
    }
    let mut golden = Golden::read(include_str!("golden/xray.txt"));
    golden.is("add vmess", &add(&vmess::Account { id: ID.into() }));
    golden.is(
        "add vless",
        &add(&vless::Account {
            id: ID.into(),
            flow: "xtls-rprx-vision".into(),
            encryption: "none".into(),
        }),
    );
    golden.is(
        "add trojan",
        &add(&trojan::Account {
            password: "secret".into(),
        }),
    );
    golden.is(
        "add shadowsocks",
        &add(&shadowsocks::Account {
            password: "secret".into(),
            cipher_type: shadowsocks::CipherType::Chacha20Poly1305.into(),
            iv_check: true,
        }),
    );
    golden.is(
        "add shadowsocks 2022",
        &add(&shadowsocks_2022::Account {
            key: "AAAAAAAAAAAAAAAAAAAAAA==".into(),
        }),
    );
    golden.is("add hysteria", &add(&hysteria::account::Account { auth: "a".into() }));
    golden.is(
        "remove",
        &AlterInboundRequest {
            tag: "in".into(),
            operation: Some(TypedMessage::of(&RemoveUserOperation { email: "8.bob".into() })),
        },
    );
    golden.is("AlterInboundResponse", &AlterInboundResponse {});
    the_cores_statistics(&mut golden);
    golden.is_done();
}

fn the_cores_statistics(golden: &mut Golden) {
    use xray::app::stats::command::{
        GetStatsOnlineIpListResponse, GetStatsRequest, GetStatsResponse, QueryStatsRequest, QueryStatsResponse, Stat,
        SysStatsRequest, SysStatsResponse,
    };
    let stat = |name: &str, value| Stat {
        name: name.into(),
        value,
    };
    golden.is(
        "GetStatsRequest",
        &GetStatsRequest {
            name: "user>>>8.bob>>>online".into(),
            reset: true,
        },
    );
    golden.is(
        "GetStatsResponse",
        &GetStatsResponse {
            stat: Some(stat("n", 7)),
        },
    );
    golden.is(
        "QueryStatsRequest",
        &QueryStatsRequest {
            pattern: "user>>>".into(),
            reset: true,
        },
    );
    golden.is(
        "QueryStatsResponse",
        &QueryStatsResponse {
            stat: vec![stat("n", 1 << 40), stat("m", 0)],
        },
    );
    golden.is("SysStatsRequest", &SysStatsRequest {});
    golden.is(
        "SysStatsResponse",
        &SysStatsResponse {
            num_goroutine: 1,
            num_gc: 2,
            alloc: 3,
            total_alloc: 4,
            sys: 5,
            mallocs: 6,
            frees: 7,
            live_objects: 8,
            pause_total_ns: 9,
            uptime: 10,
        },
    );
    golden.is(
        "GetStatsOnlineIpListResponse",
        &GetStatsOnlineIpListResponse {
            name: "n".into(),
            ips: [("1.2.3.4".into(), 5)].into(),
        },
    );
}

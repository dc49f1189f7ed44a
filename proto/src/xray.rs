//! The messages of xray-core's API that a node needs, as prost generates them from `schema/xray/*.proto` (`spec/xray.md`,
//! API). The modules are the core's packages.
#![allow(missing_docs, clippy::all)] // Generated; the schemas have the comments.

use prost::{Message, Name};

pub mod app {
    pub mod proxyman {
        pub mod command {
            include!(concat!(env!("OUT_DIR"), "/xray.app.proxyman.command.rs"));
        }
    }
    pub mod stats {
        pub mod command {
            include!(concat!(env!("OUT_DIR"), "/xray.app.stats.command.rs"));
        }
    }
}

pub mod common {
    pub mod protocol {
        include!(concat!(env!("OUT_DIR"), "/xray.common.protocol.rs"));
    }
    pub mod serial {
        include!(concat!(env!("OUT_DIR"), "/xray.common.serial.rs"));
    }
}

pub mod proxy {
    pub mod hysteria {
        pub mod account {
            include!(concat!(env!("OUT_DIR"), "/xray.proxy.hysteria.account.rs"));
        }
    }
    pub mod shadowsocks {
        include!(concat!(env!("OUT_DIR"), "/xray.proxy.shadowsocks.rs"));
    }
    pub mod shadowsocks_2022 {
        include!(concat!(env!("OUT_DIR"), "/xray.proxy.shadowsocks_2022.rs"));
    }
    pub mod trojan {
        include!(concat!(env!("OUT_DIR"), "/xray.proxy.trojan.rs"));
    }
    pub mod vless {
        include!(concat!(env!("OUT_DIR"), "/xray.proxy.vless.rs"));
    }
    pub mod vmess {
        include!(concat!(env!("OUT_DIR"), "/xray.proxy.vmess.rs"));
    }
}

impl common::serial::TypedMessage {
    /// A message in the envelope by which the core knows its kind.
    pub fn of<M: Message + Name>(message: &M) -> Self {
        Self {
            r#type: M::full_name(),
            value: message.encode_to_vec(),
        }
    }
}

//! The node as Gozargah and PasarGuard panels see it (`spec/node-panel.md`): with an API key, protobuf over REST; gRPC for one figure.

mod alone;
mod config;
mod figure;
mod grpc;
mod panel;
mod turn;
mod users;
mod visitor;

pub(super) use self::alone::core_alone;
pub(super) use self::figure::Figure;
pub(super) use self::turn::Turn;

//! The messages between Gozargah and PasarGuard panels and a node, as prost generates them from `schema/panel.proto`
//! (`spec/node-panel.md`, 3.1, 3.5, 4.1). One set for all generations: field numbers were only ever added.
#![allow(missing_docs, clippy::all)] // Generated; the schema has the comments.

include!(concat!(env!("OUT_DIR"), "/service.rs"));

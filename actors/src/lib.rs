//! The control plane: kameo actors on one tokio runtime.

pub mod config;
pub mod dataplane;

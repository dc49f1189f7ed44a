//! `kariz-bench`: the measurements of Kariz, side by side with its peers, and with the least that could do the same work.

mod kit;

use anyhow::Context;
use clap::{Parser, Subcommand};
use kariz_bench::contender::{framing, runtime, splice};
use std::ffi::OsString;
use std::net::SocketAddr;
use std::os::unix::process::CommandExt;

#[derive(Debug, Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Kariz beside its peers and its limits: speed, round trips, new connections, memory, distance.
    Compare(kit::compare::Options),
    /// Distance: how long new visitors wait over a path with 100 ms round trip (needs root).
    Distance(kit::distance::Options),
    /// The checks whose numbers are too big for a test run: 1 GiB, 100,000 connections, 1,000 kills, 200 restarts.
    Soak(kit::soak::Options),
    /// `kariz node` beside the programs that it replaces: memory, start, pings, starts of the core, changes of users. Fails if a
    /// target is missed.
    Node(kit::node::Options),
    /// The tables of the README and their picture, from a result file of `compare`.
    Publish(kit::publish::Options),
    /// Becomes another program that does not outlive its parent (the other commands start everything this way).
    #[command(hide = true)]
    Lead {
        /// The program and its arguments.
        #[arg(required = true, last = true)]
        command: Vec<OsString>,
    },
    /// One of the bare relays, as a process of its own (the other commands start it).
    #[command(hide = true)]
    Contend {
        /// What to be.
        kind: Contender,
        /// Address to listen at.
        from: SocketAddr,
        /// Address to dial.
        to: SocketAddr,
    },
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
enum Contender {
    Splice,
    FrameEntry,
    FrameExit,
    TokioCopy,
    UringCopy,
    MonoioCopy,
    RealmIo,
}

fn main() -> anyhow::Result<()> {
    kariz_bench::process::raise_descriptor_limit();
    match Arguments::parse().command {
        Command::Compare(options) => kit::compare::run(&options),
        Command::Distance(options) => kit::distance::run(&options),
        Command::Soak(options) => kit::soak::run(&options),
        Command::Node(options) => kit::node::run(&options),
        Command::Publish(options) => kit::publish::run(&options),
        Command::Contend { kind, from, to } => contend(kind, from, to),
        Command::Lead { command } => lead(&command),
    }
}

fn lead(command: &[OsString]) -> anyhow::Result<()> {
    let (program, arguments) = command.split_first().context("no command")?;
    rustix::process::set_parent_process_death_signal(Some(rustix::process::Signal::KILL))?;
    Err(std::process::Command::new(program).args(arguments).exec().into())
}

fn contend(kind: Contender, from: SocketAddr, to: SocketAddr) -> anyhow::Result<()> {
    match kind {
        Contender::Splice => splice::run(from, to),
        Contender::FrameEntry => framing::run(framing::End::Entry, from, to),
        Contender::FrameExit => framing::run(framing::End::Exit, from, to),
        Contender::TokioCopy => runtime::tokio::run(from, to),
        Contender::UringCopy => runtime::uring::run(from, to),
        Contender::MonoioCopy => runtime::monoio::run(from, to),
        Contender::RealmIo => runtime::realm::run(from, to),
    }?;
    Ok(())
}

//! What connections borrow while they have something to move: buffers and pipes, capped per worker.

mod buffers;
mod idle;
mod pipes;

pub(crate) use buffers::{Buffer, BufferPool};
pub(crate) use pipes::{PIPE_BYTES, Pipe, PipePool};

//! What visitors do: connect, talk, and look closely at how a connection ended.

use super::netns::Netns;
use super::pattern::Pattern;
use super::wait::within;
use anyhow::{Context, Result, bail, ensure};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpStream;

/// How a stream of bytes ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum End {
    /// FIN: "that was all".
    Clean,
    /// RST or another error: "something is missing".
    Reset,
}

/// Connects from inside `netns`.
pub async fn connect_in(netns: &Netns, address: SocketAddr) -> Result<TcpStream> {
    let netns = netns.clone();
    let dial = move || netns.enter(|| std::net::TcpStream::connect_timeout(&address, Duration::from_secs(5)));
    let stream = tokio::task::spawn_blocking(dial).await???;
    stream.set_nonblocking(true)?;
    Ok(TcpStream::from_std(stream)?)
}

/// Connects from a given source address.
pub async fn connect_from(source: std::net::IpAddr, address: SocketAddr) -> Result<TcpStream> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.bind(SocketAddr::new(source, 0))?;
    Ok(socket.connect(address).await?)
}

/// Sends `text` and expects it back, byte for byte.
pub async fn talk(stream: &mut TcpStream, text: &[u8]) -> Result<()> {
    stream.write_all(text).await.context("writing to an echo")?;
    let mut back = vec![0; text.len()];
    stream.read_exact(&mut back).await.context("reading from an echo")?;
    ensure!(back == text, "the echo came back changed");
    Ok(())
}

/// Reads a line that the target sends first.
pub async fn greeting(address: SocketAddr) -> Result<String> {
    greeting_on(&mut TcpStream::connect(address).await.context("connecting")?).await
}

/// The greeting of [`greeting`] on a stream that is connected.
pub async fn greeting_on(stream: &mut TcpStream) -> Result<String> {
    let mut line = String::new();
    // The end of the connection ends the line, too: then it is whatever came.
    tokio::io::BufReader::new(stream)
        .read_line(&mut line)
        .await
        .context("reading a greeting")?;
    Ok(line.trim_end().to_owned())
}

/// A short visit: connect, one echo, a clean end in both directions.
pub async fn visit(address: SocketAddr) -> Result<()> {
    let mut stream = TcpStream::connect(address).await.context("connecting")?;
    visit_on(&mut stream).await
}

/// The visit of [`visit`] on a stream that is connected.
pub async fn visit_on(stream: &mut TcpStream) -> Result<()> {
    talk(stream, b"is anybody there?").await?;
    stream.shutdown().await?;
    match read_end(stream).await? {
        (0, End::Clean) => Ok(()),
        (more, end) => bail!("a visit ended with {more} bytes too many and {end:?}"),
    }
}

/// Reads to the end; counts what came.
pub async fn read_end(stream: &mut (impl AsyncRead + Unpin)) -> Result<(u64, End)> {
    let mut count = 0;
    let mut buffer = vec![0; 16 * 1024];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return Ok((count, End::Clean)),
            Ok(n) => count += n as u64,
            Err(_) => return Ok((count, End::Reset)),
        }
    }
}

/// Expects a reset (not a clean end) within `limit`, after any number of bytes.
pub async fn expect_reset(stream: &mut TcpStream, limit: Duration) -> Result<()> {
    let (count, end) = within(limit, "a reset", read_end(stream)).await??;
    ensure!(end == End::Reset, "a clean end after {count} bytes instead of a reset");
    Ok(())
}

/// Expects that a visitor gets no service within `limit`: refused, or reset without a byte.
pub async fn expect_refused(address: SocketAddr, limit: Duration) -> Result<()> {
    let attempt = async {
        let Ok(mut stream) = TcpStream::connect(address).await else {
            return Ok(());
        };
        match read_end(&mut stream).await? {
            (0, End::Reset) => Ok(()),
            (count, end) => bail!("{count} bytes and {end:?} where a visitor should be refused"),
        }
    };
    within(limit, "a visitor is refused", attempt).await?
}

/// Sends the next `count` bytes of `pattern`.
pub async fn send(stream: &mut (impl AsyncWrite + Unpin), pattern: &mut Pattern, count: u64) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut left = count;
    while left > 0 {
        let piece = usize::try_from(left.min(buffer.len() as u64))?;
        pattern.fill(&mut buffer[..piece]);
        stream
            .write_all(&buffer[..piece])
            .await
            .with_context(|| format!("sending, {left} bytes left"))?;
        left -= piece as u64;
    }
    Ok(())
}

/// Expects the next `count` bytes of `pattern`.
pub async fn receive(stream: &mut (impl AsyncRead + Unpin), pattern: &mut Pattern, count: u64) -> Result<()> {
    let mut buffer = vec![0; 64 * 1024];
    let mut left = count;
    while left > 0 {
        let piece = usize::try_from(left.min(buffer.len() as u64))?;
        let n = stream
            .read(&mut buffer[..piece])
            .await
            .with_context(|| format!("receiving, {left} bytes left"))?;
        ensure!(n > 0, "a clean end with {left} bytes missing");
        pattern.check(&buffer[..n])?;
        left -= n as u64;
    }
    Ok(())
}

/// Reads to the end and compares everything with `pattern`; its offset is what came.
pub async fn receive_to_end(stream: &mut (impl AsyncRead + Unpin), pattern: &mut Pattern) -> Result<End> {
    let mut buffer = vec![0; 64 * 1024];
    loop {
        match stream.read(&mut buffer).await {
            Ok(0) => return Ok(End::Clean),
            Ok(n) => pattern.check(&buffer[..n])?,
            Err(_) => return Ok(End::Reset),
        }
    }
}

/// Closes with a reset, whatever is on the way.
pub fn reset(stream: TcpStream) -> Result<()> {
    socket2::SockRef::from(&stream).set_linger(Some(Duration::ZERO))?;
    drop(stream);
    Ok(())
}

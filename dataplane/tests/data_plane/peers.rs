//! The programs around the data plane: targets that visitors reach, and visitors.

use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::thread;
use std::time::Duration;

/// Nothing in these tests takes this long; whoever waits longer hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(10);

/// A target on a port of its own; `serve` gets each of its connections on a thread of its own.
pub(crate) fn target(serve: impl Fn(TcpStream) + Clone + Send + 'static) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    target_on(listener, serve);
    port
}

/// The same at a listener that is there already.
pub(crate) fn target_on(listener: TcpListener, serve: impl Fn(TcpStream) + Clone + Send + 'static) {
    thread::spawn(move || {
        for connection in listener.incoming().flatten() {
            connection.set_read_timeout(Some(PATIENCE)).unwrap();
            connection.set_write_timeout(Some(PATIENCE)).unwrap();
            let serve = serve.clone();
            thread::spawn(move || serve(connection));
        }
    });
}

/// Sends back what it gets, and ends when the visitor ends. A peer that resets is no fault of it.
pub(crate) fn echo(mut connection: TcpStream) {
    let mut buffer = [0; 16 << 10];
    while let Ok(bytes @ 1..) = connection.read(&mut buffer) {
        if connection.write_all(&buffer[..bytes]).is_err() {
            return;
        }
    }
}

/// A port that nobody listens on.
pub(crate) fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A visitor of a port.
pub(crate) fn visit(port: u16) -> TcpStream {
    let visitor = TcpStream::connect_timeout(&SocketAddr::from(([127, 0, 0, 1], port)), PATIENCE).unwrap();
    visitor.set_read_timeout(Some(PATIENCE)).unwrap();
    visitor.set_write_timeout(Some(PATIENCE)).unwrap();
    visitor
}

/// Asks an echoing target for `text` and checks the answer.
pub(crate) fn ask(visitor: &mut TcpStream, text: &[u8]) {
    visitor.write_all(text).unwrap();
    let mut answer = vec![0; text.len()];
    visitor.read_exact(&mut answer).unwrap();
    assert_eq!(answer, text);
}

/// `length` bytes that differ from place to place.
pub(crate) fn pattern(length: usize, seed: u32) -> Vec<u8> {
    let mut state = seed | 1;
    let step = |_| {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    (0..length).map(step).collect()
}

/// Fails with the first difference instead of printing megabytes.
pub(crate) fn assert_same(got: &[u8], sent: &[u8]) {
    let differs = got.iter().zip(sent).position(|(got, sent)| got != sent);
    assert_eq!(differs, None, "first byte that differs");
    assert_eq!(got.len(), sent.len());
}

/// Closes with a reset.
pub(crate) fn reset(connection: TcpStream) {
    SockRef::from(&connection).set_linger(Some(Duration::ZERO)).unwrap();
}

/// Reads to the end; whether that was a reset.
pub(crate) fn ends_with_reset(connection: &mut TcpStream) -> bool {
    match connection.read_to_end(&mut Vec::new()) {
        Ok(_) => false,
        Err(error) if error.kind() == ErrorKind::ConnectionReset => true,
        Err(error) => panic!("neither an end nor a reset: {error}"),
    }
}

/// Whether a visitor of a port is reset, be it while it still connects.
pub(crate) fn is_turned_away(port: u16) -> bool {
    match TcpStream::connect(("127.0.0.1", port)) {
        Ok(mut visitor) => {
            visitor.set_read_timeout(Some(PATIENCE)).unwrap();
            ends_with_reset(&mut visitor)
        }
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// Sends everything and ends this direction, then reads the other one to its end.
pub(crate) fn exchange(visitor: TcpStream, sent: Vec<u8>) -> Vec<u8> {
    let mut writing = visitor.try_clone().unwrap();
    let writer = thread::spawn(move || {
        writing.write_all(&sent).unwrap();
        writing.shutdown(Shutdown::Write).unwrap();
    });
    let mut got = Vec::new();
    (&visitor).read_to_end(&mut got).unwrap();
    writer.join().unwrap();
    got
}

/// Looks again and again, until it is so or [`PATIENCE`] ends.
pub(crate) fn eventually(what: &str, mut is_so: impl FnMut() -> bool) {
    let rounds = PATIENCE.as_millis() / 10;
    for _ in 0..rounds {
        if is_so() {
            return;
        }
        thread::sleep(Duration::from_millis(10));
    }
    panic!("never: {what}");
}

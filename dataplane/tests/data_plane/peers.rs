//! The programs around the data plane: targets that visitors reach, and visitors.

use socket2::SockRef;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU32, Ordering};
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

/// A port that nobody listens on, below those that the kernel gives to outgoing connections: there it stays free.
pub(crate) fn free_port() -> u16 {
    const FIRST: u32 = 10_000;
    const COUNT: u32 = 20_000;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    (0..COUNT)
        .map(|_| {
            NEXT.fetch_add(1, Ordering::Relaxed)
                .wrapping_add(std::process::id() * 101)
        })
        .map(|next| (FIRST + next % COUNT) as u16)
        .find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok())
        .expect("a free port")
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

/// Whether a visitor that says `said` is reset, be it while it still connects.
pub(crate) fn is_turned_away(port: u16, said: &[u8]) -> bool {
    match TcpStream::connect(("127.0.0.1", port)) {
        Ok(mut visitor) => {
            visitor.set_read_timeout(Some(PATIENCE)).unwrap();
            match visitor.write_all(said) {
                Ok(()) => ends_with_reset(&mut visitor),
                // The kernel tells of a reset once: after this, reading would only find an end.
                Err(error) => matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe),
            }
        }
        Err(error) => error.kind() == ErrorKind::ConnectionReset,
    }
}

/// Whether an echoing target answers a visitor, whatever happens to it.
pub(crate) fn is_served(port: u16) -> bool {
    TcpStream::connect(("127.0.0.1", port)).is_ok_and(|mut visitor| {
        visitor.set_read_timeout(Some(PATIENCE)).unwrap();
        visitor.write_all(b"x").is_ok() && matches!(visitor.read(&mut [0]), Ok(1))
    })
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

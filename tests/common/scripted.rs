//! A responder that does what the test tells it, byte by byte, right or wrong.
#![allow(dead_code)]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use fetchlogs::pos::{Inode, Token};
use fetchlogs::proto::answer::{Answer, File, emit_answer};
use fetchlogs::proto::frame::emit_data_header;
use socket2::{Domain, SockRef, Socket, Type};

/// How long a fetcher may take to come.
const PATIENCE: Duration = Duration::from_secs(20);

/// What is said where generation `inode` follows, from there on, of which there is no more yet.
pub fn following(file: File, inode: u64, from: u64) -> Answer {
    Answer {
        inode: Inode::new(inode),
        file,
        id: id(inode),
        boot: Token::parse(b"boot").unwrap(),
        from,
        size: from,
        mtime_ns: 12345,
        name: None,
        tail: None,
    }
}

/// The same as it is sent.
pub fn answer(file: File, inode: u64, from: u64) -> Vec<u8> {
    emit_answer(&following(file, inode, from))
}

/// The identity of generation `inode`.
pub fn id(inode: u64) -> Token {
    Token::parse(format!("{inode}.7.99").as_bytes()).unwrap()
}

/// A frame of these bytes.
pub fn data(bytes: &[u8]) -> Vec<u8> {
    [&emit_data_header(bytes.len() as u64)[..], bytes].concat()
}

/// A listening socket under the test's control.
pub struct Scripted {
    listener: TcpListener,
}

/// A connection whose request line has been read.
pub struct Asked {
    /// The request as protocol 1 sees it: without its newline and the fields of protocol 2.
    pub request: String,
    /// The whole line, without its newline.
    pub line: Vec<u8>,
    /// `None` once it is closed.
    stream: Option<TcpStream>,
}

impl Scripted {
    /// Listens at a free port of 127.0.0.1.
    pub fn new() -> Scripted {
        Scripted::at("127.0.0.1:0".parse().unwrap())
    }

    /// Listens at `address`.
    pub fn at(address: SocketAddr) -> Scripted {
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, None).unwrap();
        socket.bind(&address.into()).unwrap();
        // Many may come at once.
        socket.listen(4096).unwrap();
        socket.set_nonblocking(true).unwrap();
        Scripted { listener: socket.into() }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.listener.local_addr().unwrap()
    }

    /// Its port.
    pub fn port(&self) -> u16 {
        self.address().port()
    }

    /// A connection if one waits.
    pub fn try_accept(&self) -> Option<TcpStream> {
        let (stream, _) = self.listener.accept().ok()?;
        stream.set_nonblocking(false).unwrap();
        stream.set_nodelay(true).unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        Some(stream)
    }

    /// The next connection, before anything was read from it.
    #[track_caller]
    pub fn accept(&self) -> TcpStream {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(stream) = self.try_accept() {
                return stream;
            }
            assert!(Instant::now() < until, "nobody connected within {PATIENCE:?}");
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// The next connection and its request.
    #[track_caller]
    pub fn asked(&self) -> Asked {
        Asked::read(self.accept())
    }

    /// Connections that come within `time`; `then` does something with each.
    pub fn count(&self, time: Duration, mut then: impl FnMut(TcpStream)) -> usize {
        let until = Instant::now() + time;
        let mut count = 0;
        while Instant::now() < until {
            match self.try_accept() {
                Some(stream) => {
                    count += 1;
                    then(stream);
                }
                None => std::thread::sleep(Duration::from_millis(1)),
            }
        }
        count
    }
}

/// What a protocol 1 responder sees of a request line.
pub fn plain(line: &str) -> String {
    line.split_once(" +2").map_or(line, |(plain, _)| plain).to_owned()
}

impl Asked {
    /// Reads the request line of a connection.
    #[track_caller]
    pub fn read(stream: TcpStream) -> Asked {
        Asked::try_read(stream).expect("a request line")
    }

    /// The same; `None` if there is none.
    pub fn try_read(mut stream: TcpStream) -> Option<Asked> {
        let mut line = Vec::new();
        let mut byte = [0];
        loop {
            stream.read_exact(&mut byte).ok()?;
            if byte[0] == b'\n' {
                break;
            }
            line.push(byte[0]);
        }
        let request = plain(std::str::from_utf8(&line).unwrap());
        Some(Asked { request, line, stream: Some(stream) })
    }

    /// The offset that it asks from.
    pub fn from(&self) -> usize {
        self.request.rsplit(' ').next().unwrap().parse().unwrap()
    }

    /// Sends `bytes` at once.
    pub fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Asked {
        // A fetcher that has gone is part of many scripts.
        let _ = self.stream.as_mut().expect("an open connection").write_all(bytes.as_ref());
        self
    }

    /// Sends `bytes`; whether the fetcher was still there.
    pub fn try_send(&mut self, bytes: impl AsRef<[u8]>) -> bool {
        self.stream.as_mut().is_some_and(|stream| stream.write_all(bytes.as_ref()).is_ok())
    }

    /// Waits until the fetcher is gone.
    pub fn wait_gone(&mut self) {
        let stream = self.stream.as_mut().expect("an open connection");
        let mut buf = [0; 1024];
        while matches!(stream.read(&mut buf), Ok(1..)) {}
    }

    /// Sends `bytes` in pieces that end at `cuts`, with time between them to be read one by one.
    pub fn send_split(&mut self, bytes: &[u8], cuts: &[usize]) -> &mut Asked {
        let mut from = 0;
        for &cut in cuts.iter().chain([&bytes.len()]) {
            self.send(&bytes[from..cut]);
            from = cut;
            std::thread::sleep(Duration::from_micros(300));
        }
        self
    }

    /// The next line that the fetcher sends.
    #[track_caller]
    pub fn hear(&mut self) -> String {
        let stream = self.stream.as_mut().expect("an open connection");
        let mut line = Vec::new();
        let mut byte = [0];
        while byte[0] != b'\n' {
            stream.read_exact(&mut byte).expect("a line");
            line.push(byte[0]);
        }
        String::from_utf8(line).unwrap()
    }

    /// Closes in order.
    pub fn close(&mut self) {
        self.stream = None;
    }

    /// Breaks the connection: what the fetcher has not read yet is gone.
    pub fn reset(&mut self) {
        let stream = self.stream.take().expect("an open connection");
        SockRef::from(&stream).set_linger(Some(Duration::ZERO)).unwrap();
    }

    /// Whether the fetcher has closed the connection, as far as is known now.
    pub fn gone(&mut self) -> bool {
        let Some(stream) = &mut self.stream else { return true };
        stream.set_nonblocking(true).unwrap();
        let read = stream.read(&mut [0]);
        stream.set_nonblocking(false).unwrap();
        match read {
            Ok(read) => read == 0,
            Err(error) => error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}

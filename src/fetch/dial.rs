//! A responder that is asked by a thread which waits for it: for one question and its answer.

use std::io::{self, Read};
use std::net::{SocketAddr, TcpStream, ToSocketAddrs};
use std::time::Duration;

use crate::config::Host;
use crate::sys::cause::cause;
use crate::sys::net;

/// Where a responder is.
#[derive(Debug)]
pub struct Dial<'a> {
    host: &'a Host,
    port: u16,
    patience: Duration,
    /// The address that was connected to last.
    proven: Option<SocketAddr>,
}

impl<'a> Dial<'a> {
    /// At `host` and `port`; a connection is waited for at most `patience`.
    pub fn new(host: &'a Host, port: u16, patience: Duration) -> Dial<'a> {
        Dial { host, port, patience, proven: None }
    }

    /// Connects to the first address of the host that answers. The error says why there is none.
    pub fn connect(&mut self) -> Result<TcpStream, String> {
        let mut why = "no address".to_owned();
        for address in self.addresses()? {
            match net::connect_within(address, self.patience) {
                Ok(stream) => {
                    self.proven = Some(address);
                    return Ok(stream);
                }
                Err(error) => why = told(&error),
            }
        }
        self.proven = None;
        Err(why)
    }

    fn addresses(&self) -> Result<Vec<SocketAddr>, String> {
        if let Some(proven) = self.proven {
            return Ok(vec![proven]);
        }
        match self.host {
            Host::Address(address) => Ok(vec![SocketAddr::new(*address, self.port)]),
            Host::Name(name) => match (name.as_str(), self.port).to_socket_addrs() {
                Ok(addresses) => Ok(addresses.collect()),
                Err(error) => Err(format!("cannot look up {name}: {error}")),
            },
        }
    }
}

/// The next bytes, waited for at most `patience`; none at the end of the connection. The error says why
/// there are none.
pub fn hear<'b>(
    stream: &mut TcpStream,
    buf: &'b mut [u8],
    patience: Duration,
) -> Result<&'b [u8], String> {
    stream.set_read_timeout(Some(patience)).map_err(|error| told(&error))?;
    loop {
        match stream.read(buf) {
            Ok(count) => return Ok(&buf[..count]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(told(&error)),
        }
    }
}

fn told(error: &io::Error) -> String {
    match error.kind() {
        // What the kernel calls a socket that has nothing yet.
        io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut => "timeout".to_owned(),
        _ => cause(error),
    }
}

//! Two machines with a network each, and a wire between them.
//!
//! A machine is a thread in a network namespace of its own; the programs that it starts are in it. The
//! wire is two tun devices (tun(4)) whose packets are carried by this process: as they come, or late, out
//! of order, twice or not at all.

use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::process::CommandExt;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use nix::fcntl::{FcntlArg, OFlag, fcntl};
use nix::sched::{CloneFlags, unshare};

use crate::chance::Chance;

type Call = Box<dyn FnOnce() + Send>;

/// A thread in a network namespace of its own. Both go when it is dropped.
pub struct Machine {
    calls: Option<Sender<Call>>,
    thread: Option<JoinHandle<()>>,
}

impl Machine {
    /// One whose loopback is up.
    pub fn start() -> io::Result<Machine> {
        let (calls, receiver): (Sender<Call>, Receiver<Call>) = channel();
        let thread = std::thread::spawn(move || receiver.into_iter().for_each(|call| call()));
        let machine = Machine { calls: Some(calls), thread: Some(thread) };
        machine.run(|| unshare(CloneFlags::CLONE_NEWNET))?;
        machine.shell("ip link set lo up").map_err(io::Error::other)?;
        Ok(machine)
    }

    /// Does something on it.
    pub fn run<T: Send + 'static>(&self, what: impl FnOnce() -> T + Send + 'static) -> T {
        let (done, result) = channel();
        let call: Call = Box::new(move || drop(done.send(what())));
        self.calls.as_ref().unwrap().send(call).unwrap();
        result.recv().unwrap()
    }

    /// Has a shell do it.
    pub fn shell(&self, command: &str) -> Result<(), String> {
        let what = command.to_owned();
        let output = self.run(move || {
            let path = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
            Command::new("sh").args(["-ec", &what]).env("PATH", path).stdin(Stdio::null()).output()
        });
        let output = output.map_err(|error| error.to_string())?;
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        if output.status.success() { Ok(()) } else { Err(format!("{command}: {told}")) }
    }

    /// Its end of the wire, with this address.
    fn plug(&self, address: &str) -> io::Result<File> {
        let device = self.run(|| {
            let device = File::options().read(true).write(true).open("/dev/net/tun")?;
            // struct ifreq: the name, then the flags; IFF_TUN | IFF_NO_PI.
            let mut request = [0_u8; 40];
            request[..4].copy_from_slice(b"wire");
            request[16..18].copy_from_slice(&0x1001_u16.to_ne_bytes());
            const TUNSETIFF: libc::c_ulong = 0x4004_54ca;
            // SAFETY: the argument is as long as the call reads, and lives.
            match unsafe { libc::ioctl(device.as_raw_fd(), TUNSETIFF, request.as_mut_ptr()) } {
                0 => Ok(device),
                _ => Err(io::Error::last_os_error()),
            }
        })?;
        fcntl(&device, FcntlArg::F_SETFL(OFlag::O_NONBLOCK))?;
        self.shell(&format!("ip addr add {address}/24 dev wire; ip link set wire up"))
            .map_err(io::Error::other)?;
        Ok(device)
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.calls.take();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

/// The program ends with the machine that starts it.
pub fn bound(command: &mut Command) -> &mut Command {
    // SAFETY: prctl(2) is a system call and allocates nothing.
    unsafe {
        command.pre_exec(|| match libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) {
            0 => Ok(()),
            _ => Err(io::Error::last_os_error()),
        })
    }
}

/// What happens to a packet, of a thousand to so many.
#[derive(Clone, Copy, Default, Debug)]
pub struct Weather {
    /// Lost on the way to the host, and on the way back.
    pub lost: [u64; 2],
    /// Arrive twice.
    pub twice: u64,
    /// Are overtaken by others.
    pub late: u64,
    /// Each takes so long.
    pub delay: Duration,
}

/// The wire between two machines.
pub struct Wire {
    weather: Arc<Mutex<Weather>>,
    over: Arc<AtomicBool>,
    /// Packets to which something happened.
    met: Arc<AtomicU64>,
    carrying: Option<JoinHandle<()>>,
}

impl Wire {
    /// Connects both, who have these addresses then.
    pub fn between(machines: [&Machine; 2], addresses: [&str; 2], seed: u64) -> io::Result<Wire> {
        let ends = [machines[0].plug(addresses[0])?, machines[1].plug(addresses[1])?];
        let weather: Arc<Mutex<Weather>> = Arc::default();
        let (over, met) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
        let (seen, ended, counted) = (Arc::clone(&weather), Arc::clone(&over), Arc::clone(&met));
        let carrying = std::thread::spawn(move || {
            let mut chance = Chance::new(seed);
            let mut under_way: Vec<(Instant, usize, Vec<u8>)> = Vec::new();
            while !ended.load(Ordering::Relaxed) {
                let weather = *seen.lock().unwrap();
                let moved = carry(&ends, weather, &mut chance, &mut under_way, &counted);
                if !moved {
                    std::thread::sleep(Duration::from_millis(1));
                }
            }
        });
        Ok(Wire { weather, over, met, carrying: Some(carrying) })
    }

    /// From now on.
    pub fn set(&self, weather: Weather) {
        *self.weather.lock().unwrap() = weather;
    }

    /// How many packets were lost, late or doubled.
    pub fn met(&self) -> u64 {
        self.met.load(Ordering::Relaxed)
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.carrying.take() {
            let _ = thread.join();
        }
    }
}

/// Takes what was sent at both ends, and gives what is due. Says whether anything moved.
fn carry(
    ends: &[File; 2],
    weather: Weather,
    chance: &mut Chance,
    under_way: &mut Vec<(Instant, usize, Vec<u8>)>,
    met: &AtomicU64,
) -> bool {
    let mut moved = false;
    for (from, mut end) in ends.iter().enumerate() {
        let mut packet = [0; 65_536];
        while let Ok(len) = end.read(&mut packet) {
            moved = true;
            let mut happens = |of: u64| {
                let does = chance.below(1000) < of;
                met.fetch_add(u64::from(does), Ordering::Relaxed);
                does
            };
            if happens(weather.lost[from]) {
                continue;
            }
            let extra = if happens(weather.late) { 15 } else { 0 };
            let due = Instant::now() + weather.delay + Duration::from_millis(extra);
            if happens(weather.twice) {
                under_way.push((due + Duration::from_millis(3), 1 - from, packet[..len].to_vec()));
            }
            under_way.push((due, 1 - from, packet[..len].to_vec()));
        }
    }
    let now = Instant::now();
    under_way.sort_by_key(|(due, ..)| *due);
    let count = under_way.partition_point(|(due, ..)| *due <= now);
    for (_, to, packet) in under_way.drain(..count) {
        moved = true;
        // Whoever is down takes nothing.
        let _ = (&ends[to]).write(&packet);
    }
    moved
}

//! How fast and how small the mirror is, beside the bare limit of the same machine in the same run.
//!
//! `cargo bench` prints two tables:
//!
//! * **bulk**: one file fetched over loopback by the real binaries in each protocol, against a minimal
//!   pair in this process (sendfile on one side, read and write with 1 MiB on the other) on the same
//!   file. The rounds alternate; ratios are taken round by round, medians are quoted.
//! * **idle**: sources that nobody writes to: memory, processor time and descriptors of both ends.
//!
//! `FETCHLOGS_BENCH_MIB`, `FETCHLOGS_BENCH_ROUNDS` and `FETCHLOGS_BENCH_SOURCES` change the sizes.

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

type Result<T> = std::result::Result<T, Box<dyn std::error::Error>>;

/// Longest time for anything here.
const PATIENCE: Duration = Duration::from_secs(120);

fn main() -> Result<()> {
    let mib = setting("FETCHLOGS_BENCH_MIB", 512);
    let rounds = setting("FETCHLOGS_BENCH_ROUNDS", 5);
    let sources = setting("FETCHLOGS_BENCH_SOURCES", 1000);
    for protocol in [1, 2] {
        bulk(mib, rounds, protocol)?;
    }
    idle(sources)
}

fn setting(name: &str, default: usize) -> usize {
    std::env::var(name).ok().and_then(|text| text.parse().ok()).unwrap_or(default)
}

// ---- bulk ----

fn bulk(mib: usize, rounds: usize, protocol: usize) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let source = dir.path().join("source.log");
    write_log(&source, mib)?;
    let responder = Responder::start(dir.path(), &[&source])?;
    println!("bulk: {mib} MiB over loopback, protocol {protocol}, {rounds} rounds");
    println!(
        "{:>5} {:>12} {:>12} {:>7} {:>16}",
        "round", "bare MB/s", "ours MB/s", "ratio", "ours CPU s/GB"
    );
    let mut ratios = Vec::new();
    for round in 1..=rounds {
        let bytes = (mib << 20) as f64;
        let bare = bytes / bare_pair(&source, &dir.path().join("bare.copy"))?.as_secs_f64();
        let (time, cpu_secs) = mirror(dir.path(), &responder, &source, protocol)?;
        let ours = bytes / time.as_secs_f64();
        ratios.push(ours / bare);
        println!(
            "{round:>5} {:>12.0} {:>12.0} {:>7.2} {:>16.2}",
            bare / 1e6,
            ours / 1e6,
            ours / bare,
            cpu_secs / bytes * 1e9
        );
    }
    ratios.sort_by(f64::total_cmp);
    println!("median ratio {:.2}\n", ratios[ratios.len() / 2]);
    Ok(())
}

/// Lines of varying length, none of them with a byte that protocol 1 masks.
fn write_log(path: &Path, mib: usize) -> Result<()> {
    let mut block = Vec::new();
    let mut number = 0_u64;
    while block.len() < 1 << 20 {
        number =
            number.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        writeln!(
            block,
            "Nov 20 13:22:49 web1 app[{}]: request {number:x} took {} us",
            number >> 48,
            number >> 52
        )?;
    }
    block.truncate(1 << 20);
    let mut file = File::create(path)?;
    for _ in 0..mib {
        file.write_all(&block)?;
    }
    Ok(file.sync_all()?)
}

/// The least that can move a file from one end of a connection to the other.
fn bare_pair(source: &Path, copy: &Path) -> Result<Duration> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    let file = File::open(source)?;
    let len = file.metadata()?.len();
    let start = Instant::now();
    let sender = thread::spawn(move || -> std::io::Result<()> {
        let (stream, _) = listener.accept()?;
        let mut at = 0;
        while (at as u64) < len {
            nix::sys::sendfile::sendfile(&stream, &file, Some(&mut at), 1 << 20)?;
        }
        Ok(())
    });
    let mut stream = TcpStream::connect(address)?;
    let mut out = File::create(copy)?;
    let mut buf = vec![0; 1 << 20];
    loop {
        match stream.read(&mut buf)? {
            0 => break,
            read => out.write_all(&buf[..read])?,
        }
    }
    let time = start.elapsed();
    sender.join().map_err(|_| "the sender failed")??;
    if out.metadata()?.len() != len {
        return Err("the bare copy is not complete".into());
    }
    std::fs::remove_file(copy)?;
    Ok(time)
}

/// From the fetcher's start until its copy is complete; and the processor time of both ends.
fn mirror(
    dir: &Path,
    responder: &Responder,
    source: &Path,
    protocol: usize,
) -> Result<(Duration, f64)> {
    let copies = tempfile::tempdir_in(dir)?;
    let line = source_line(responder.port, source, copies.path(), 0);
    let line = format!("{} protocol={protocol}\n", line.trim_end());
    let len = std::fs::metadata(source)?.len();
    let cpu_before = cpu_secs(responder.child.0.id())?;
    let start = Instant::now();
    let fetcher = start_fetcher(copies.path(), &line)?;
    let copy = copies.path().join("0.log");
    wait_until(Duration::from_micros(500), || {
        Ok(std::fs::metadata(&copy).is_ok_and(|m| m.len() == len))
    })?;
    let time = start.elapsed();
    let cpu = cpu_secs(responder.child.0.id())? - cpu_before + cpu_secs(fetcher.0.id())?;
    Ok((time, cpu))
}

// ---- idle ----

fn idle(sources: usize) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let paths: Vec<PathBuf> = (0..sources).map(|i| dir.path().join(format!("{i}.src"))).collect();
    for path in &paths {
        std::fs::write(path, "one line\n")?;
    }
    let paths: Vec<&Path> = paths.iter().map(PathBuf::as_path).collect();
    let responder = Responder::start(dir.path(), &paths)?;
    let copies = dir.path().join("copies");
    std::fs::create_dir(&copies)?;
    let lines: String = paths
        .iter()
        .enumerate()
        .map(|(i, path)| source_line(responder.port, path, &copies, i))
        .collect();
    let start = Instant::now();
    let fetcher = start_fetcher(&copies, &lines)?;
    let status = copies.join("snmp/127.0.0.1");
    wait_until(Duration::from_millis(5), || {
        Ok(std::fs::read_to_string(&status).is_ok_and(|text| text == "OK\n"))
    })?;
    let connected = start.elapsed();
    // The first checkpoint comes after 5 s; what is measured is what comes after it.
    thread::sleep(Duration::from_secs(8));
    const WINDOW: Duration = Duration::from_secs(20);
    let pids = [("serve_logs", responder.child.0.id()), ("fetch_logs", fetcher.0.id())];
    let before: Vec<f64> = pids.iter().map(|(_, pid)| cpu_secs(*pid)).collect::<Result<_>>()?;
    thread::sleep(WINDOW);
    println!(
        "idle: {sources} sources, all connected after {:.2} s, over {} s",
        connected.as_secs_f64(),
        WINDOW.as_secs()
    );
    println!("{:>12} {:>13} {:>10} {:>12}", "", "resident MiB", "CPU %", "descriptors");
    for ((name, pid), before) in pids.into_iter().zip(before) {
        let cpu = (cpu_secs(pid)? - before) / WINDOW.as_secs_f64() * 100.0;
        let descriptors = std::fs::read_dir(format!("/proc/{pid}/fd"))?.count();
        println!("{name:>12} {:>13.1} {cpu:>10.2} {descriptors:>12}", resident_mib(pid)?);
    }
    Ok(())
}

// ---- both ends ----

/// A child that ends with its owner.
struct Kept(Child);

impl Drop for Kept {
    fn drop(&mut self) {
        // It may have ended by itself, which shows elsewhere.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

struct Responder {
    child: Kept,
    port: u16,
}

impl Responder {
    fn start(dir: &Path, paths: &[&Path]) -> Result<Responder> {
        let conf = dir.join("serve_logs.conf");
        let mut text = "listen 127.0.0.1:0\nallow 127.0.0.0/8\n".to_owned();
        for path in paths {
            text.push_str(&format!("file {}\n", path.display()));
        }
        std::fs::write(&conf, text)?;
        let mut child = Command::new(env!("CARGO_BIN_EXE_serve_logs"))
            .arg(&conf)
            .stdout(Stdio::piped())
            .spawn()?;
        let mut line = String::new();
        BufReader::new(child.stdout.take().ok_or("no stdout")?).read_line(&mut line)?;
        let child = Kept(child);
        let port = line.trim_end().rsplit(':').next().ok_or("no port")?.parse()?;
        Ok(Responder { child, port })
    }
}

fn source_line(port: u16, source: &Path, copies: &Path, number: usize) -> String {
    let copies = copies.display();
    format!(
        "127.0.0.1 {port} {} {copies}/{number}.log {copies}/{number}.pointer\n",
        source.display()
    )
}

fn start_fetcher(dir: &Path, lines: &str) -> Result<Kept> {
    let conf = dir.join("fetch_logs.conf");
    std::fs::write(&conf, lines)?;
    let child = Command::new(env!("CARGO_BIN_EXE_fetch_logs"))
        .arg(dir.join("snmp"))
        .arg(&conf)
        .stdout(Stdio::null())
        .spawn()?;
    Ok(Kept(child))
}

fn wait_until(pause: Duration, condition: impl Fn() -> Result<bool>) -> Result<()> {
    let deadline = Instant::now() + PATIENCE;
    while !condition()? {
        if Instant::now() > deadline {
            return Err("it took too long".into());
        }
        thread::sleep(pause);
    }
    Ok(())
}

/// User and system time of a process so far: fields 14 and 15 of proc_pid_stat(5).
fn cpu_secs(pid: u32) -> Result<f64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let after_name = stat.rsplit(')').next().ok_or("no stat")?;
    let fields: Vec<&str> = after_name.split_ascii_whitespace().collect();
    let ticks: f64 = fields[11].parse::<f64>()? + fields[12].parse::<f64>()?;
    Ok(ticks / 100.0)
}

fn resident_mib(pid: u32) -> Result<f64> {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status"))?;
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).ok_or("no VmRSS")?;
    Ok(line.split_ascii_whitespace().nth(1).ok_or("no VmRSS")?.parse::<f64>()? / 1024.0)
}

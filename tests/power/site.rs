//! A host with logs, a centre that mirrors them, and what has to be in the centre in the end.

use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::chance::Chance;
use crate::common::{PATIENCE, Program, inode, lasting_port};
use crate::machine::{bound, dir};
use crate::mirror::{Mirror, with_suffix};

/// One log that is rotated, and some that only grow: so many that their checkpoints are made together.
pub struct Site {
    pub mirror: Mirror,
    pub address: SocketAddr,
    sides: Vec<Side>,
    /// The host deletes rotated logs as soon as the centre has them for good.
    tidy: bool,
}

struct Side {
    log: PathBuf,
    copy: PathBuf,
    content: Vec<u8>,
}

/// An archive, as the manifest tells of it.
pub struct Told {
    /// Its name.
    pub name: String,
    /// What it holds now.
    pub content: Vec<u8>,
    /// How it ended.
    pub end: String,
    /// Whether a line says that something of it was lost.
    pub lost: bool,
}

impl Site {
    /// With so many logs beside the one that is rotated, on a host that is tidy or not.
    pub fn new(sides: usize, tidy: bool) -> Site {
        let mirror = Mirror::of(b"the first line\n");
        let (host, centre) = (dir(&mirror.log).to_owned(), dir(&mirror.copy).to_owned());
        let side = |number: usize| {
            let name = format!("side{number}");
            let content = format!("the first line of {name}\n").into_bytes();
            let side = Side { log: host.join(&name), copy: centre.join(&name), content };
            fs::write(&side.log, &side.content).unwrap();
            side
        };
        let address = SocketAddr::from(([127, 0, 0, 1], lasting_port()));
        let sides = (0..sides).map(side).collect();
        let site = Site { address, sides, tidy, mirror };
        let mut lines = vec![site.line(&site.mirror.log, &site.mirror.copy, &site.mirror.pointer)];
        for side in &site.sides {
            lines.push(site.line(&side.log, &side.copy, &with_suffix(&side.copy, "pointer")));
        }
        fs::write(site.base().join("fetch_logs.conf"), lines.concat()).unwrap();
        let log = site.mirror.log.display();
        let files: String =
            site.sides.iter().map(|side| format!("file {}\n", side.log.display())).collect();
        let conf = format!(
            "listen {address}\nallow 127.0.0.0/8\nfile {log} {log}.*[0-9]*\n{files}\
             heartbeat 1s\ncheck 50ms\nlinger 100ms\n"
        );
        fs::write(site.base().join("serve_logs.conf"), conf).unwrap();
        site
    }

    fn line(&self, log: &Path, copy: &Path, pointer: &Path) -> String {
        let paths = [log, copy, pointer].map(|path| path.display().to_string()).join(" ");
        format!("{} {} {paths} start=history\n", self.address.ip(), self.address.port())
    }

    fn base(&self) -> PathBuf {
        dir(dir(&self.mirror.log)).to_owned()
    }

    /// Starts the responder on this machine.
    pub fn serve(&self) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_serve_logs"));
        let mut program = Program::spawn(bound(command.arg(self.base().join("serve_logs.conf"))));
        program.told("listening on ");
        program
    }

    /// Starts the fetcher on this machine.
    pub fn fetch(&self, options: &[&str]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_fetch_logs"));
        command.args(["--reconnect", "30ms", "--connect-timeout", "1s", "--reply-timeout", "3s"]);
        command
            .args(options)
            .arg(self.base().join("snmp"))
            .arg(self.base().join("fetch_logs.conf"));
        Program::spawn(bound(command.env("RUST_LOG", "info")))
    }

    /// Something happens to one of the logs. Says whether it was rotated.
    pub fn live(&mut self, chance: &mut Chance) -> bool {
        let len = match chance.below(4) {
            0 => 0,
            1 => chance.below(100),
            2 => chance.below(5_000),
            _ => chance.below(60_000),
        };
        let content: Vec<u8> = (0..len).map(|_| chance.below(256) as u8).collect();
        if !self.sides.is_empty() && chance.below(3) > 0 {
            let which = chance.below(self.sides.len() as u64) as usize;
            let side = &mut self.sides[which];
            let mut log = OpenOptions::new().append(true).open(&side.log).unwrap();
            log.write_all(&content).unwrap();
            side.content.extend_from_slice(&content);
            return false;
        }
        match chance.below(12) {
            0 | 1 => self.mirror.rotate(&content),
            // Its number would not say which of its lives the centre has.
            2 if !self.tidy => self.mirror.copytruncate(&content),
            _ => {
                self.mirror.append(&content);
                return false;
            }
        }
        true
    }

    /// A tidy host deletes what the centre has told to be an archive: it must never be asked for again.
    pub fn delete_kept(&self, fetcher: &Program) {
        let log = &self.mirror.log;
        let told = fetcher.lines().into_iter().rev().find_map(|line| {
            let (_, inode) = line.split_once(" rotated to ")?;
            inode.parse::<u64>().ok()
        });
        let Some(told) = told.filter(|_| self.tidy) else { return };
        let name = |number: usize| match number {
            0 => log.clone(),
            number => with_suffix(log, &number.to_string()),
        };
        let names: Vec<PathBuf> = (0..).map(name).take_while(|path| path.exists()).collect();
        if let Some(at) = names.iter().position(|path| inode(path) == told) {
            names[at + 1..].iter().for_each(|path| fs::remove_file(path).unwrap());
        }
    }

    /// All archives, the first first.
    pub fn archives(&self) -> Result<Vec<Told>, String> {
        let manifest = fs::read_to_string(with_suffix(&self.mirror.pointer, "manifest"));
        let mut told: Vec<Told> = Vec::new();
        for line in manifest.unwrap_or_default().lines() {
            let (known, sum) = line.rsplit_once(" crc32=").ok_or(format!("torn: {line}"))?;
            if format!("{:08x}", crc32fast::hash(known.as_bytes())) != sum {
                return Err(format!("damaged: {line}"));
            }
            let mut fields = known.split(' ').skip(2);
            let mut place = || fields.next().unwrap().parse::<u64>().unwrap();
            let (from, to) = (place(), place());
            let words: BTreeMap<&str, &str> =
                fields.filter_map(|word| word.split_once('=')).collect();
            let name = words["archive"].to_owned();
            let content = fs::read(dir(&self.mirror.copy).join(&name))
                .map_err(|error| format!("{name}: {error}"))?;
            if to - from != content.len() as u64
                || *words["blake3"] != *blake3::hash(&content).to_hex()
            {
                return Err(format!("{name} is not what the manifest says: {line}"));
            }
            let (end, lost) = (words["end"].to_owned(), words.contains_key("lost"));
            match words.get("late") {
                Some(_) => told.retain(|other| other.name != name),
                None if told.iter().any(|other| other.name == name) => {
                    return Err(format!("{name} is told of twice"));
                }
                None => {}
            }
            told.push(Told { name, content, end, lost });
        }
        Ok(told)
    }

    /// Whether all is as it has to be, and what is not: every generation once, in order, complete, in
    /// the manifest, and nothing else.
    pub fn judge(&self) -> Result<(), String> {
        let len = |path: &Path| fs::metadata(path).map_or(0, |facts| facts.len());
        let wanted = self.mirror.not_empty();
        let (copy, ended) = wanted.split_last().unwrap();
        let of = |path: &Path| fs::read(path).unwrap_or_default();
        // Most looks end here.
        if len(&self.mirror.copy) != copy.len() as u64 {
            return Err(format!("{} of {} bytes", len(&self.mirror.copy), copy.len()));
        }
        for side in &self.sides {
            if len(&side.copy) != side.content.len() as u64 || of(&side.copy) != side.content {
                let (log, len) = (side.log.display(), len(&side.copy));
                return Err(format!("{log}: {len} of {} bytes", side.content.len()));
            }
        }
        let archives = self.archives()?;
        if let Some(other) = archives.iter().find(|one| one.end != "complete" || one.lost) {
            return Err(format!("{} ended {}", other.name, other.end));
        }
        let kept: Vec<&[u8]> = archives.iter().map(|one| &one.content[..]).collect();
        let kept: Vec<&[u8]> = kept.into_iter().filter(|one| !one.is_empty()).collect();
        if kept != ended || of(&self.mirror.copy) != *copy {
            let lens = |all: &[&[u8]]| {
                format!("{:?}", all.iter().map(|one| one.len()).collect::<Vec<_>>())
            };
            let ended: Vec<&[u8]> = ended.iter().map(|one| &one[..]).collect();
            return Err(format!("archives {}, and not {}", lens(&kept), lens(&ended)));
        }
        self.nothing_else(&archives)
    }

    /// Whether each file of the centre is accounted for.
    fn nothing_else(&self, archives: &[Told]) -> Result<(), String> {
        for entry in fs::read_dir(dir(&self.mirror.copy)).unwrap() {
            let name = entry.unwrap().file_name().into_string().unwrap();
            let log = ["app.log", "app.log.pointer", "app.log.pointer.manifest"].contains(&&*name);
            let known = log
                || archives.iter().any(|one| one.name == name)
                || ["side", ".", "lost+found"].iter().any(|start| name.starts_with(start));
            if !known {
                return Err(format!("there is {name}"));
            }
        }
        Ok(())
    }

    /// All files of the centre, with their names: as this machine sees them now, on disk or not.
    pub fn kept(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let entries = fs::read_dir(dir(&self.mirror.copy)).unwrap();
        let paths = entries.map(|entry| entry.unwrap().path());
        let mut all: Vec<_> =
            paths.map(|path| (path.clone(), fs::read(path).unwrap_or_default())).collect();
        all.sort();
        all
    }

    /// Waits until all is as it has to be.
    pub fn wait_right(&self, fetcher: &Program, what: &str) {
        let until = std::time::Instant::now() + PATIENCE;
        while let Err(why) = self.judge() {
            if std::time::Instant::now() > until {
                panic!("{what}: {why}\n{}\n{}", fetcher.stdout(), self.manifest());
            }
            std::thread::sleep(std::time::Duration::from_millis(5));
        }
    }

    /// The manifest, for a failed test.
    pub fn manifest(&self) -> String {
        fs::read_to_string(with_suffix(&self.mirror.pointer, "manifest")).unwrap_or_default()
    }
}

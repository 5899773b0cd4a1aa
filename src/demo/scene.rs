//! Both ends, running in threads of this process.

use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::thread::JoinHandle;
use std::time::Duration;

use super::cannot;
use super::logs::rotated_path;
use crate::config::{emit_word, parse_fetch, parse_serve};
use crate::evloop::stopper::Stopper;
use crate::fetch::fetcher::Fetcher;
use crate::fetch::reach::Reach;
use crate::fetch::room::Floor;
use crate::fetch::settings::Settings;
use crate::fetch::terms::{Goal, Recheck, SyncPolicy, Timing};
use crate::serve::Responder;
use crate::status::output::Output;

/// One source of the demonstration.
#[derive(Clone, Debug)]
pub struct Pair {
    /// The log.
    pub source: PathBuf,
    /// Its copy.
    pub copy: PathBuf,
}

/// What was fetched so far.
#[derive(Clone, Debug, Default)]
pub struct Progress {
    /// All sources.
    pub sources: usize,
    /// Those whose copies are as long as their logs.
    pub in_step: usize,
    /// Bytes in copies and archives.
    pub bytes: u64,
    /// Bytes of the logs that the copies don't have yet.
    pub lag: u64,
    /// Archives of the log that is rotated.
    pub archives: usize,
}

impl Progress {
    /// Whether there is nothing left to fetch after so many rotations.
    pub fn complete(&self, rotations: usize) -> bool {
        self.in_step == self.sources && self.archives == rotations
    }
}

/// A responder and a fetcher at work.
#[derive(Debug)]
pub struct Scene {
    port: u16,
    pairs: Vec<Pair>,
    stoppers: [Stopper; 2],
    ends: [JoinHandle<io::Result<()>>; 2],
}

const FAST: Duration = Duration::from_millis(500);

impl Scene {
    /// Starts both with `logs` and `own`; all they keep is below `folder`.
    pub fn start(folder: &Path, logs: &[PathBuf], own: &Path) -> Result<Scene, String> {
        let pairs: Vec<Pair> = logs
            .iter()
            .map(PathBuf::as_path)
            .chain([own])
            .map(|source| {
                let relative = source.strip_prefix("/").unwrap_or(source);
                Pair { source: source.to_path_buf(), copy: folder.join("copies").join(relative) }
            })
            .collect();

        let mut text = b"listen 127.0.0.1:0\nallow 127.0.0.0/8\ncheck 1s\nlinger 1s\n".to_vec();
        for pair in &pairs {
            push_line(&mut text, &[b"file", bytes(&pair.source)]);
        }
        let conf = write_conf(&folder.join("serve_logs.conf"), &text)?;
        let config =
            parse_serve(&conf.display().to_string(), &text).map_err(|faults| faults.to_string())?;
        let responder = Responder::bind(config).map_err(cannot("listen at 127.0.0.1"))?;
        let port = responder.local_addrs().first().map_or(0, |address| address.port());

        let mut text = Vec::new();
        for pair in &pairs {
            let pointer =
                folder.join("pointers").join(pair.source.strip_prefix("/").unwrap_or(&pair.source));
            let port = port.to_string();
            let words = [
                b"127.0.0.1",
                port.as_bytes(),
                bytes(&pair.source),
                bytes(&pair.copy),
                bytes(&pointer),
            ];
            push_line(&mut text, &words);
        }
        let conf = write_conf(&folder.join("fetch_logs.conf"), &text)?;
        let config =
            parse_fetch(&conf.display().to_string(), &text).map_err(|faults| faults.to_string())?;
        let timing = Timing {
            reconnect: FAST,
            connect_timeout: FAST * 6,
            reply_timeout: FAST * 6,
            idle_timeout: FAST * 240,
            sync: SyncPolicy::Within(FAST * 10),
            recheck: Recheck::After(FAST * 50),
        };
        let event_log = Output::to(io::stdout()).map_err(cannot("start a thread"))?;
        let goal = Goal::Follow;
        let (snmp_dir, floor, network_disk) = (folder.join("status"), Floor::Bytes(0), true);
        let reach = Reach::default();
        let settings = Settings { snmp_dir, conf, timing, goal, floor, network_disk, reach };
        let fetcher = Fetcher::new(settings, event_log).map_err(cannot("start the fetcher"))?;

        let stoppers = [responder.stopper(), fetcher.stopper()];
        let responding = spawn("responder", move || responder.run())?;
        let fetching = spawn("fetcher", move || fetcher.run(config).map(drop))?;
        Ok(Scene { port, pairs, stoppers, ends: [responding, fetching] })
    }

    /// Where the responder listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Looks at logs, copies and archives.
    pub fn progress(&self) -> Progress {
        let mut progress = Progress { sources: self.pairs.len(), ..Progress::default() };
        for pair in &self.pairs {
            let (source, copy) = (size_of(&pair.source), size_of(&pair.copy));
            progress.bytes += copy.unwrap_or(0);
            progress.lag += source.unwrap_or(0).saturating_sub(copy.unwrap_or(0));
            if copy.is_some() && source == copy {
                progress.in_step += 1;
            }
        }
        if let Some(own) = self.pairs.last() {
            let archives = archives_of(&own.copy);
            progress.archives = archives.len();
            progress.bytes += archives.iter().filter_map(|path| size_of(path)).sum::<u64>();
        }
        progress
    }

    /// Ends both. Gives what should be equal now: every log with its copy, every rotated file of the
    /// last one with its archive.
    pub fn end(self) -> Result<Vec<Pair>, String> {
        // The fetcher first, so that it does not see its responder go.
        for (stopper, end) in self.stoppers.into_iter().zip(self.ends).rev() {
            stopper.stop().map_err(cannot("end a thread"))?;
            let ended =
                end.join().map_err(|_| "a thread of the demonstration failed".to_owned())?;
            ended.map_err(cannot("go on"))?;
        }
        let mut pairs = self.pairs;
        if let Some(own) = pairs.last().cloned() {
            pairs.extend(archives_of(&own.copy).into_iter().enumerate().map(|(index, archive)| {
                Pair { source: rotated_path(&own.source, index + 1), copy: archive }
            }));
        }
        Ok(pairs)
    }
}

/// The archives of a copy, the oldest first: their names are times.
fn archives_of(copy: &Path) -> Vec<PathBuf> {
    let (Some(dir), Some(name)) = (copy.parent(), copy.file_name()) else { return Vec::new() };
    let prefix = format!("{}.", name.to_string_lossy());
    let mut archives: Vec<PathBuf> = std::fs::read_dir(dir)
        .into_iter()
        .flatten()
        .flatten()
        .filter(|entry| entry.file_name().to_string_lossy().starts_with(&prefix))
        .map(|entry| entry.path())
        .collect();
    archives.sort();
    archives
}

fn size_of(path: &Path) -> Option<u64> {
    std::fs::metadata(path).ok().map(|metadata| metadata.len())
}

fn bytes(path: &Path) -> &[u8] {
    path.as_os_str().as_encoded_bytes()
}

fn push_line(text: &mut Vec<u8>, words: &[&[u8]]) {
    let line: Vec<String> = words.iter().map(|word| emit_word(word)).collect();
    text.extend_from_slice(line.join(" ").as_bytes());
    text.push(b'\n');
}

fn write_conf(path: &Path, text: &[u8]) -> Result<PathBuf, String> {
    let written = std::fs::File::create(path).and_then(|mut file| file.write_all(text));
    written.map_err(cannot(format_args!("write {}", path.display())))?;
    Ok(path.to_path_buf())
}

fn spawn(
    name: &str,
    run: impl FnOnce() -> io::Result<()> + Send + 'static,
) -> Result<JoinHandle<io::Result<()>>, String> {
    std::thread::Builder::new().name(name.to_owned()).spawn(run).map_err(cannot("start a thread"))
}

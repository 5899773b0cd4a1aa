//! A disk that writes down what it was told, in its order: writes, and flushes that wait for them.
//!
//! It is one regular file of a file system in user space (fuse(4), linux/fuse.h), and a loop device lies
//! on that file. From what was written down a disk is made as a power loss may have left it at any
//! moment: what was written before the last flush is there, and of what came later each 4 KiB or not.

use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;

use nix::mount::{MntFlags, MsFlags, mount, umount2};

use crate::chance::Chance;
use crate::disk::copy_image;

/// What a disk was told.
pub enum Told {
    Write { at: u64, bytes: Vec<u8> },
    Flush,
}

/// The disk, as long as it is told something.
pub struct Recorder {
    told: Arc<Mutex<Vec<Told>>>,
    file: std::path::PathBuf,
    serving: Option<JoinHandle<()>>,
}

/// Bytes in one write at most, and what may be around them.
const WRITE_MAX: u32 = 1 << 20;
const HEADER_MAX: usize = 4096;

impl Recorder {
    /// A disk at `file` whose content is that of `image`, which changes with it.
    pub fn new(image: &Path, file: &Path) -> Recorder {
        let kernel = File::options().read(true).write(true).open("/dev/fuse").unwrap();
        File::create(file).unwrap();
        let options = format!("fd={},rootmode=100600,user_id=0,group_id=0", kernel.as_raw_fd());
        let told: Arc<Mutex<Vec<Told>>> = Arc::default();
        mount(Some("recorder"), file, Some("fuse"), MsFlags::empty(), Some(&*options)).unwrap();
        let image = File::options().read(true).write(true).open(image).unwrap();
        let server = Server { image, told: Arc::clone(&told) };
        let serving = std::thread::spawn(move || server.serve(kernel));
        Recorder { told, file: file.to_owned(), serving: Some(serving) }
    }

    /// All that it was told. Nobody uses the disk any more.
    pub fn end(mut self) -> Vec<Told> {
        umount2(&self.file, MntFlags::MNT_DETACH).unwrap();
        self.serving.take().unwrap().join().unwrap();
        std::mem::take(&mut *self.told.lock().unwrap())
    }
}

impl Drop for Recorder {
    fn drop(&mut self) {
        let _ = umount2(&self.file, MntFlags::MNT_DETACH);
    }
}

/// The side that the kernel asks.
struct Server {
    image: File,
    told: Arc<Mutex<Vec<Told>>>,
}

/// Numbers of an argument, as they lie in memory.
fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_ne_bytes(bytes[at..at + 8].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes(bytes[at..at + 4].try_into().unwrap())
}

impl Server {
    /// Answers until the file is unmounted, one after the other: so what is written down before a flush
    /// is what was answered before it.
    fn serve(self, mut kernel: File) {
        let mut buffer = vec![0; WRITE_MAX as usize + HEADER_MAX];
        while let Ok(len) = kernel.read(&mut buffer) {
            // struct fuse_in_header: len, opcode, unique, nodeid ...
            let (opcode, unique) = (u32_at(&buffer, 4), u64_at(&buffer, 8));
            let Some(answer) = self.answer(opcode, &buffer[40..len]) else { continue };
            let (error, body) = match answer {
                Ok(body) => (0, body),
                Err(error) => (-error, Vec::new()),
            };
            // struct fuse_out_header: len, error, unique.
            let mut reply = ((16 + body.len()) as u32).to_ne_bytes().to_vec();
            reply.extend(error.to_ne_bytes());
            reply.extend(unique.to_ne_bytes());
            reply.extend(body);
            // Nobody waits for it any more if it was interrupted.
            let _ = kernel.write(&reply);
        }
    }

    /// `None` where none is awaited.
    fn answer(&self, opcode: u32, argument: &[u8]) -> Option<Result<Vec<u8>, i32>> {
        Some(match opcode {
            // FORGET, INTERRUPT, BATCH_FORGET
            2 | 36 | 42 => return None,
            // GETATTR, SETATTR
            3 | 4 => Ok(self.attributes()),
            // OPEN: struct fuse_open_out, nothing of it is kept in memory (FOPEN_DIRECT_IO).
            14 => Ok([0_u64.to_ne_bytes(), 1_u64.to_ne_bytes()].concat()),
            // READ: struct fuse_read_in: fh, offset, size ...
            15 => {
                let mut bytes = vec![0; u32_at(argument, 16) as usize];
                let read = self.image.read_at(&mut bytes, u64_at(argument, 8));
                read.map_err(|_| libc::EIO).map(|len| bytes[..len].to_vec())
            }
            // WRITE: struct fuse_write_in of 40 bytes, then the bytes.
            16 => {
                let bytes = &argument[40..];
                let written = self.write(u64_at(argument, 8), bytes);
                written.map(|()| (bytes.len() as u64).to_ne_bytes().to_vec())
            }
            // RELEASE, FLUSH
            18 | 25 => Ok(Vec::new()),
            // FSYNC
            20 => {
                self.told.lock().unwrap().push(Told::Flush);
                Ok(Vec::new())
            }
            // INIT: struct fuse_init_out; reads at the same time, writes of more than a page.
            26 => {
                let mut out = [7, 31, 0, (1 << 5) | (1 << 22), 0, WRITE_MAX, 1]
                    .map(u32::to_ne_bytes)
                    .concat();
                out.extend((WRITE_MAX / 4096).to_ne_bytes());
                out.resize(64, 0);
                Ok(out)
            }
            _ => Err(libc::ENOSYS),
        })
    }

    fn write(&self, at: u64, bytes: &[u8]) -> Result<(), i32> {
        self.image.write_all_at(bytes, at).map_err(|_| libc::EIO)?;
        self.told.lock().unwrap().push(Told::Write { at, bytes: bytes.to_vec() });
        Ok(())
    }

    /// struct fuse_attr_out: a regular file with one name.
    fn attributes(&self) -> Vec<u8> {
        let size = self.image.metadata().map_or(0, |facts| facts.len());
        let mut out = vec![0; 16];
        out.extend([1, size, size.div_ceil(512), 0, 0, 0].map(u64::to_ne_bytes).concat());
        out.extend([0, 0, 0, 0o100_600, 1, 0, 0, 0, 4096, 0].map(u32::to_ne_bytes).concat());
        out
    }
}

/// What a recorded disk may have been at any moment, the moments in their order.
pub struct Moments<'a> {
    told: &'a [Told],
    /// What was certainly on it at `flushed`.
    certain: &'a Path,
    flushed: usize,
}

impl<'a> Moments<'a> {
    /// `certain` is what it held before it was told anything, and is changed.
    pub fn new(told: &'a [Told], certain: &'a Path) -> Moments<'a> {
        Moments { told, certain, flushed: 0 }
    }

    /// Makes `image` what the disk may have held when it had been told so many things; no earlier moment
    /// than the one before. Gives how many writes it need not have kept.
    pub fn at(&mut self, moment: usize, image: &Path, chance: &mut Chance) -> usize {
        let before = &self.told[..moment];
        let flushed = before.iter().rposition(|told| matches!(told, Told::Flush)).unwrap_or(0);
        let flushed = flushed.max(self.flushed);
        let certain = File::options().write(true).open(self.certain).unwrap();
        for told in &self.told[self.flushed..flushed] {
            if let Told::Write { at, bytes } = told {
                certain.write_all_at(bytes, *at).unwrap();
            }
        }
        self.flushed = flushed;
        copy_image(self.certain, image);
        let image = File::options().write(true).open(image).unwrap();
        // Of four pages none, one, two, three or all are kept.
        let kept = chance.below(5);
        let mut open = 0;
        for told in &self.told[flushed..moment] {
            let Told::Write { at, bytes } = told else { continue };
            open += 1;
            for (number, page) in bytes.chunks(4096).enumerate() {
                if chance.below(4) < kept {
                    image.write_all_at(page, at + number as u64 * 4096).unwrap();
                }
            }
        }
        open
    }
}

//! What may be asked for: the served files, by the exact bytes of their configured paths.
//!
//! A request is looked up here and nowhere else, so nothing that is not in the configuration can be
//! named, whatever dots, slashes or bytes a request is made of.

use std::collections::{HashMap, HashSet};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::config::{Pattern, ServedFile};

/// The number of a served file in its table.
pub type FileNo = usize;

/// A file that may be asked for. Its paths have no links in them, as far as there were any when the
/// configuration was read.
#[derive(Debug)]
pub struct Served {
    /// The path it is asked for by.
    pub asked_as: PathBuf,
    /// Where the current file is.
    pub path: PathBuf,
    /// Where its rotated files are.
    pub rotated: Vec<Rotated>,
}

/// Names in a directory that rotated files may have.
#[derive(Debug)]
pub struct Rotated {
    /// The directory.
    pub dir: PathBuf,
    /// The names; its own directory may still have links.
    pub names: Pattern,
}

/// The table.
#[derive(Debug, Default)]
pub struct Files {
    list: Vec<Served>,
    by_name: HashMap<Vec<u8>, FileNo>,
    current: HashSet<PathBuf>,
}

impl Files {
    /// The table of `files`; `resolve` follows the links in the directory of a path.
    pub fn new(files: Vec<ServedFile>, resolve: impl Fn(&Path) -> PathBuf) -> Files {
        // The last component is kept as it is, so a directory is resolved as that of a file in it.
        let resolve_dir = |dir: &Path| {
            let mut path = resolve(&dir.join("log"));
            path.pop();
            path
        };
        let list: Vec<Served> = files
            .into_iter()
            .map(|file| Served {
                path: resolve(&file.path),
                rotated: file
                    .patterns
                    .into_iter()
                    .map(|names| Rotated { dir: resolve_dir(names.dir()), names })
                    .collect(),
                asked_as: file.path,
            })
            .collect();
        let by_name =
            list.iter().enumerate().map(|(number, file)| (bytes(&file.asked_as), number)).collect();
        let current = list.iter().map(|file| file.path.clone()).collect();
        Files { list, by_name, current }
    }

    /// The file that is asked for by exactly these bytes.
    pub fn look_up(&self, path: &[u8]) -> Option<FileNo> {
        self.by_name.get(path).copied()
    }

    /// The file of that number, which this table gave.
    pub fn get(&self, number: FileNo) -> &Served {
        &self.list[number]
    }

    /// Whether `path` is where a served file is, and so no rotated one's.
    pub fn is_current(&self, path: &Path) -> bool {
        self.current.contains(path)
    }

    /// All files with their numbers.
    pub fn iter(&self) -> impl Iterator<Item = (FileNo, &Served)> {
        self.list.iter().enumerate()
    }
}

/// Paths are told apart by their bytes here: as `Path`s, `/a//b` and `/a/b` would be equal.
fn bytes(path: &Path) -> Vec<u8> {
    path.as_os_str().as_bytes().to_vec()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::parse_serve;

    fn files(text: &str) -> Files {
        let config = parse_serve("test", text.as_bytes()).unwrap();
        Files::new(config.files, |path| {
            let path = path.to_str().unwrap().replace("/var/log", "/srv/log");
            PathBuf::from(path)
        })
    }

    #[test]
    fn a_file_is_found_by_its_configured_bytes_and_by_no_others() {
        let files = files("file /var/log/messages\nfile /opt/app.log\n");
        assert_eq!(files.look_up(b"/var/log/messages"), Some(0));
        assert_eq!(files.look_up(b"/opt/app.log"), Some(1));
        for path in [
            "",
            "/",
            "/var/log",
            "/srv/log/messages",
            "/var/log//messages",
            "/var/log/./messages",
            "/var/log/../log/messages",
            "/var/log/messages/",
            "/var/log/messages\0",
            "//opt/app.log",
            "/proc/self/root/opt/app.log",
        ] {
            assert_eq!(files.look_up(path.as_bytes()), None, "{path:?}");
        }
    }

    #[test]
    fn links_are_followed_in_both_the_path_and_the_directories_of_its_rotated_files() {
        let files = files("file /var/log/messages /var/log/old/messages.*\n");
        let served = files.get(0);
        assert_eq!(served.path, Path::new("/srv/log/messages"));
        assert_eq!(served.rotated[0].dir, Path::new("/srv/log/old"));
        assert!(files.is_current(Path::new("/srv/log/messages")));
        assert!(!files.is_current(Path::new("/var/log/messages")));
    }
}

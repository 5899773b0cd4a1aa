//! Configurations: any text is understood, or all of its faults are told in printable lines. What was
//! understood is printed as a text that means the same.

use std::collections::HashSet;

use fetchlogs::config::{FAULTS_MAX, Faults, parse_fetch, parse_serve};

pub fn fetch(data: &[u8]) {
    match parse_fetch("conf", data) {
        Ok(config) => {
            let printed = config.to_string();
            check_printed(&printed);
            let again = parse_fetch("printed", printed.as_bytes());
            assert_eq!(again.as_ref(), Ok(&config), "{printed}");
            assert_eq!(again.expect("it parses").to_string(), printed);
            let mut written = HashSet::new();
            for source in &config.sources {
                assert!(source.remote.is_absolute() && source.port > 0);
                assert!(
                    written.insert(&source.local) && written.insert(&source.pointer),
                    "{printed}"
                );
                assert!((1..=lines(data)).contains(&source.line));
            }
            assert!(!config.sources.is_empty());
        }
        Err(faults) => check_faults(data, &faults),
    }
}

pub fn serve(data: &[u8]) {
    match parse_serve("conf", data) {
        Ok(config) => {
            let printed = config.to_string();
            check_printed(&printed);
            let again = parse_serve("printed", printed.as_bytes());
            assert_eq!(again.as_ref(), Ok(&config), "{printed}");
            assert_eq!(again.expect("it parses").to_string(), printed);
            assert!(!config.files.is_empty() && !config.listen.is_empty());
            let paths: HashSet<_> = config.files.iter().map(|file| &file.path).collect();
            assert_eq!(paths.len(), config.files.len());
            assert!(config.files.iter().all(|file| file.path.is_absolute()));
        }
        Err(faults) => check_faults(data, &faults),
    }
}

fn lines(data: &[u8]) -> usize {
    data.split(|&byte| byte == b'\n').count()
}

fn check_printed(text: &str) {
    assert!(text.bytes().all(|byte| byte == b'\n' || (b' '..=b'~').contains(&byte)), "{text}");
}

fn check_faults(data: &[u8], faults: &Faults) {
    let text = faults.to_string();
    check_printed(&text);
    assert_eq!(text.lines().count(), faults.list.len() + usize::from(faults.more > 0));
    assert!(!faults.list.is_empty() && faults.list.len() <= FAULTS_MAX);
    assert!(faults.list.iter().all(|fault| fault.line <= lines(data)));
    // The file's own come last.
    assert!(faults.list.is_sorted_by_key(|fault| (fault.line == 0, fault.line)));
}

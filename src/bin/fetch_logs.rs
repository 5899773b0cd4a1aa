//! `fetch_logs`, the fetcher.

fn main() -> std::process::ExitCode {
    fetchlogs::fetch::cli::main(fetchlogs::demo::run)
}

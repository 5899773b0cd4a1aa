//! Shows the fetcher's status files to net-snmp: see `fetchlogs::agent`.
fn main() -> std::process::ExitCode {
    fetchlogs::agent::main()
}

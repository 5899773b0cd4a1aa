//! The responder.

use std::process::ExitCode;

fn main() -> ExitCode {
    fetchlogs::serve::main()
}

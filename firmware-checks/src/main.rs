//! The command that is laid into every image.

use std::process::ExitCode;

fn main() -> ExitCode {
    firmware_checks::cli::main()
}

//! The command `firstlight`.

use std::process::ExitCode;

fn main() -> ExitCode {
    firstlight::cli::main(std::env::args_os())
}

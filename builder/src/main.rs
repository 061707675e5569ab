//! The command `firstlight`.

use std::process::ExitCode;

fn main() -> ExitCode {
    firstlight::sandbox::init_if_asked();
    firstlight::cli::main(std::env::args_os())
}

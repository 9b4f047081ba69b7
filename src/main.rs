//! Parses the command line, runs the command, sets the exit code.

fn main() -> std::process::ExitCode {
    utm_dispatcher::cli::main(std::env::args_os())
}

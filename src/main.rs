//! Parses the command line, runs the command, sets the exit code.

/// The request path allocates and frees all the time; with the system's allocator that is a tenth of its work.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    utm_dispatcher::cli::main(std::env::args_os())
}

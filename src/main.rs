//! Parses the command line, runs the command, sets the exit code.

/// The request path allocates some forty times a request, on one thread; the system's allocator would cost it a tenth.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> std::process::ExitCode {
    utm_dispatcher::cli::main(std::env::args_os())
}

//! Bodies that no memory could hold, through the real program. `./dev churn` runs it.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::harness::program::Program;
use crate::harness::until;

const GIB: u64 = 1 << 30;
const PIECE: usize = 256 << 10;
/// What a body of any length may cost.
const MOST: u64 = 64 << 20;

/// A shop that reads whatever length it is told and answers with as many bytes.
async fn echo_lengths(listener: TcpListener) {
    while let Ok((mut tcp, _)) = listener.accept().await {
        tokio::spawn(async move {
            let head = head(&mut tcp).await;
            let length =
                |name: &str| head.lines().find_map(|line| line.strip_prefix(name)?.trim().parse().ok());
            let (upload, download) =
                (length("Content-Length:").unwrap_or(0), length("X-Wanted:").unwrap_or(0));
            read(&mut tcp, upload).await;
            let answer = format!("HTTP/1.1 200 OK\r\nContent-Length: {download}\r\n\r\n");
            tcp.write_all(answer.as_bytes()).await.unwrap();
            write(&mut tcp, download).await;
        });
    }
}

async fn head(tcp: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(tcp.read_u8().await.unwrap());
    }
    String::from_utf8(head).unwrap()
}

async fn read(tcp: &mut TcpStream, mut left: u64) {
    let mut piece = vec![0; PIECE];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        let count = tcp.read(&mut piece[..most]).await.unwrap();
        assert!(count > 0, "{left} bytes are missing");
        left -= count as u64;
    }
}

async fn write(tcp: &mut TcpStream, mut left: u64) {
    let piece = vec![b'x'; PIECE];
    while left > 0 {
        let most = usize::try_from(left).unwrap_or(PIECE).min(PIECE);
        tcp.write_all(&piece[..most]).await.unwrap();
        left -= most as u64;
    }
}

/// The most memory that a process has had, bytes.
fn peak_bytes(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10
}

/// Sends and receives so much; what the peak of the program's memory grew by.
async fn growth(upload: u64, download: u64) -> u64 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let shop = listener.local_addr().unwrap();
    tokio::spawn(echo_lengths(listener));
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(shop, "postgres://127.0.0.1:1/none", files.path());
    program.start().await;
    // The tables that are made beside the start are not the body's. A thread has the program's name until it runs.
    until("the start is over", || {
        let threads = program.threads();
        let count = |name| threads.iter().filter(|(own, _)| own == name).count();
        (count("proxy-1"), count("bot-names"), count("utm-dispatcher")) == (1, 0, 1)
    })
    .await;
    let before = peak_bytes(program.pid());
    let mut client = TcpStream::connect(program.proxy).await.unwrap();
    let request =
        format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {upload}\r\nX-Wanted: {download}\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    write(&mut client, upload).await;
    assert!(head(&mut client).await.starts_with("HTTP/1.1 200"));
    read(&mut client, download).await;
    let peak = peak_bytes(program.pid());
    println!(
        "{} MiB up, {} MiB down: peak {} MiB, before {} MiB",
        upload >> 20,
        download >> 20,
        peak >> 20,
        before >> 20
    );
    peak - before
}

#[tokio::test(flavor = "multi_thread")]
async fn long_bodies_pass_in_little_memory() {
    for (upload, download) in [(256 << 20, 0), (0, 256 << 20)] {
        let grown = growth(upload, download).await;
        assert!(grown < MOST, "{grown} bytes");
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "some seconds of traffic at full speed; ./dev churn"]
async fn a_gibibyte_passes_in_little_memory() {
    for (upload, download) in [(GIB, 0), (0, GIB)] {
        let grown = growth(upload, download).await;
        assert!(grown < MOST, "{grown} bytes");
    }
}

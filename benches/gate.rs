//! What the gate before the HTTP parser costs a request: `cargo bench --bench gate`. Pure code, no kernel.

use divan::{AllocProfiler, Bencher, black_box};
use prometheus_client::metrics::counter::Counter;
use utm_dispatcher::accept::Gate;
use utm_dispatcher::config::Limits;

/// A browser's head: 15 fields.
const HEAD: &[u8] = b"GET /catalogue/shoes?utm_source=facebook&utm_medium=paid_social&utm_campaign=autumn_sale_2026&id=1 \
HTTP/1.1\r\nHost: shop.example\r\nConnection: keep-alive\r\nCache-Control: max-age=0\r\n\
sec-ch-ua: \"Chromium\";v=\"142\", \"Google Chrome\";v=\"142\", \"Not_A Brand\";v=\"99\"\r\nsec-ch-ua-mobile: ?0\r\n\
sec-ch-ua-platform: \"Windows\"\r\nUpgrade-Insecure-Requests: 1\r\n\
User-Agent: Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/142.0.0.0 Safari/537.36\r\n\
Accept: text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,image/apng,*/*;q=0.8\r\n\
Sec-Fetch-Site: same-origin\r\nSec-Fetch-Mode: navigate\r\nReferer: https://shop.example/catalogue\r\n\
Accept-Encoding: gzip, deflate, br, zstd\r\nAccept-Language: uk-UA,uk;q=0.9,en-US;q=0.8,en;q=0.7\r\n\
Cookie: sessionid=1f0c5d2b7a9e4c6d8b3f2a1e0d9c8b7a; csrftoken=Zk3mQ8vT1xW7yR5nB2cD9fG4hJ6kL0pS; lang=uk\r\n\r\n";

#[global_allocator]
static ALLOCATOR: AllocProfiler<mimalloc::MiMalloc> = AllocProfiler::new(mimalloc::MiMalloc);

fn main() {
    divan::main();
}

fn gate() -> Gate {
    let limits = Limits {
        header_bytes: 64 << 10,
        headers: 200,
        uri_bytes: 32 << 10,
        body_bytes: None,
        connections_per_ip: None,
    };
    Gate::new(limits, Counter::default())
}

#[divan::bench]
fn head_in_one_piece(bencher: Bencher) {
    let mut gate = gate();
    assert_eq!(gate.admit(HEAD), HEAD.len());
    bencher.bench_local(|| {
        gate.admit(black_box(HEAD));
        gate.take_spelling()
    });
}

#[divan::bench]
fn head_in_two_pieces(bencher: Bencher) {
    let mut gate = gate();
    let (first, second) = HEAD.split_at(HEAD.len() / 2);
    bencher.bench_local(|| {
        gate.admit(black_box(first));
        gate.admit(black_box(second));
        gate.take_spelling();
        gate.give(usize::MAX, |bytes| {
            black_box(bytes);
        });
    });
}

#[divan::bench]
fn head_with_a_target_to_mend(bencher: Bencher) {
    let mut gate = gate();
    let head = [&HEAD[..20], b"<>", &HEAD[20..]].concat();
    bencher.bench_local(|| {
        gate.admit(black_box(&head));
        gate.take_spelling();
        gate.give(usize::MAX, |bytes| {
            black_box(bytes);
        });
    });
}

#[divan::bench]
fn chunked_body_of_64_kib(bencher: Bencher) {
    let mut gate = gate();
    let head = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let body = [b"2000\r\n".as_slice(), &[b'x'; 8192], b"\r\n"].concat().repeat(8);
    let message = [head.as_slice(), &body, b"0\r\n\r\n"].concat();
    assert_eq!(gate.admit(&message), message.len());
    bencher.bench_local(|| gate.admit(black_box(&message)));
}

//! What a frame of the journal costs: `cargo bench --bench journal`. No disk.
#![allow(clippy::unwrap_used, reason = "a bench that cannot be set up has nothing to say")]

use divan::counter::BytesCount;
use divan::{Bencher, black_box};
use utm_dispatcher::hit::{Hit, Identity, IdentityMode, Record, Touch};
use utm_dispatcher::journal::frame::{append, payloads};
use uuid::Uuid;

/// The program's.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() {
    divan::main();
}

#[divan::bench]
fn append_page_view(bencher: Bencher) {
    append_again_and_again(bencher, &page_view(None));
}

#[divan::bench]
fn append_first_page_view(bencher: Bencher) {
    append_again_and_again(bencher, &page_view(Some(touch())));
}

#[divan::bench]
fn read_page_view(bencher: Bencher) {
    let mut journal = Vec::new();
    append(&page_view(None), &mut journal).unwrap();
    bencher.counter(BytesCount::new(journal.len())).bench(|| {
        let payload = payloads(black_box(&journal)).next().unwrap();
        Record::decode(payload).is_ok()
    });
}

/// Into a buffer that is reused, as a worker does.
fn append_again_and_again(bencher: Bencher, record: &Record<'_>) {
    let mut journal = Vec::new();
    append(record, &mut journal).unwrap();
    bencher.counter(BytesCount::new(journal.len())).bench_local(|| {
        journal.clear();
        append(black_box(record), &mut journal)
    });
}

fn page_view(touch: Option<Touch<'static>>) -> Record<'static> {
    Record::Hit(Box::new(Hit {
        at_ms: 1_764_000_000_000,
        site: "default".into(),
        host: "www.shop.example".into(),
        path: "/catalogue/shoes".into(),
        status: 200,
        page_view: true,
        identity: Some(Identity {
            mode: IdentityMode::Cookie,
            visitor_id: Uuid::from_u128(0x019a_b000_0000_7000_8000_0000_0000_0001),
            session_id: Uuid::from_u128(0x019a_b000_0000_8000_8000_0000_0000_0002),
            session_number: 1,
            minted_from: None,
        }),
        touch,
        client_address: Some([203, 0, 113, 9].into()),
        user_agent: "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
            Chrome/128.0.0.0 Safari/537.36"
            .into(),
        cookies: vec![
            ("_ga".into(), "GA1.1.1234567890.1700000000".into()),
            ("_fbp".into(), "fb.1.1700000000000.1234567890".into()),
        ],
        ..Hit::default()
    }))
}

fn touch() -> Touch<'static> {
    Touch {
        evidence: 0x51a4_f815_7710_921d,
        source: Some("facebook".into()),
        medium: Some("paid_social".into()),
        campaign: Some("autumn_sale_2026".into()),
        click_ids: vec![("fbclid".into(), "IwAR0uYx1kq9ZrW3bT7cVd5nLmPqSfGhJkXzAeRtYuIoWqEdCvBnM".into())],
        referrer: Some("https://l.facebook.com/".into()),
        ..Touch::default()
    }
}

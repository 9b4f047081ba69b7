//! Whatever a body is, a copy of it is read no further than its limit, and forms and amounts are values or nothing.

#![no_main]

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, header};
use libfuzzer_sys::fuzz_target;
use utm_dispatcher::action::{HtmlPart, Source};
use utm_dispatcher::bodies::{BodyReader, Copies, STEP, Wanted};
use utm_dispatcher::capture::actions::{amount_in, form_field};

const ENCODINGS: [&str; 5] = ["identity", "gzip", "deflate", "br", "zstd"];

fn part(text: &str) -> HtmlPart {
    match text.parse() {
        Ok(Source::ResponseHtml(part)) => part,
        other => panic!("{other:?}"),
    }
}

fuzz_target!(|input: (u8, u8, u16, &[u8])| {
    let (encoding, piece, limit, body) = input;
    let encoding = ENCODINGS[usize::from(encoding) % ENCODINGS.len()];
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_ENCODING, HeaderValue::from_static(encoding));
    let parts = [part("response_html:h1"), part("response_html:[data-a]@data-a")];
    let wanted: Vec<&HtmlPart> = parts.iter().collect();
    let limit = usize::from(limit);
    let mut reader = BodyReader::new(&headers, Wanted { text: true, parts: &wanted, limit }, &Copies::default());
    for piece in body.chunks(usize::from(piece).max(1)) {
        reader.take(&Bytes::copy_from_slice(piece));
        reader.step();
    }
    reader.end();
    let mut steps = 0;
    while reader.step() {
        steps += 1;
        assert!(steps <= (limit + body.len()) / STEP + body.len() + 2, "it comes to an end");
    }
    assert!(reader.text().is_some_and(|text| text.len() <= limit));
    let _ = parts.each_ref().map(|part| reader.part(part));

    for kind in ["application/x-www-form-urlencoded", "multipart/form-data; boundary=x"] {
        let _ = form_field(body, kind, true, "a");
    }
    if let Ok(text) = std::str::from_utf8(body) {
        assert!(amount_in(text).is_none_or(|amount| amount.scale() <= 4));
    }
});

//! Copies of bodies that action rules read, made while the bodies pass: decoded, and read no further than asked.
//!
//! Rules: what is forwarded is never touched; a copy ends at its limit, which counts decoded bytes; all copies of a worker
//! together hold [`WORKER_BYTES`] at most; work is done in steps of [`STEP`] bytes, so that no other request waits long.

mod decode;
mod html;

use std::cell::{Cell, RefCell};
use std::collections::VecDeque;
use std::rc::Rc;

use bytes::{Buf, Bytes};
use http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};

use crate::action::HtmlPart;
use decode::{Decoded, Decoder};
use html::PageReader;

/// How many bytes are read at a time, decoded or not.
pub const STEP: usize = 32 << 10;
/// Most bytes that the copies of one worker hold.
pub const WORKER_BYTES: usize = 64 << 20;

/// A reader that the body on its way and whoever wants its values share.
pub type SharedReader = Rc<RefCell<BodyReader>>;

/// How many bytes the copies of one worker hold.
#[derive(Debug, Clone, Default)]
pub struct Copies(Rc<Cell<usize>>);

/// What is wanted of a body.
#[derive(Debug, Clone, Copy)]
pub struct Wanted<'a> {
    /// Whether its text is kept, for forms and JSON.
    pub text: bool,
    /// Parts of it as a page.
    pub parts: &'a [&'a HtmlPart],
    /// Most bytes, decoded.
    pub limit: usize,
}

/// Why a copy is not the whole body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Lack {
    /// The body has not ended, or was given up.
    NotEnded,
    /// It is longer than the limit.
    TooLong,
    /// It is encoded in a way that is not known here.
    Encoding,
    /// It is not what its type or its encoding says, or ends before that does.
    Malformed,
    /// The worker's copies hold as much as they may.
    NoRoom,
}

impl Lack {
    /// All of them, in their order.
    pub const ALL: [Self; 5] = [Self::NotEnded, Self::TooLong, Self::Encoding, Self::Malformed, Self::NoRoom];

    /// The metric's label.
    pub fn reason(self) -> &'static str {
        match self {
            Lack::NotEnded => "not_ended",
            Lack::TooLong => "too_long",
            Lack::Encoding => "encoding",
            Lack::Malformed => "malformed",
            Lack::NoRoom => "no_room",
        }
    }

    /// For a person.
    pub fn sentence(self) -> &'static str {
        match self {
            Lack::NotEnded => "the body did not end",
            Lack::TooLong => "the body is longer than tracking.action_body_bytes",
            Lack::Encoding => "the body's content-encoding is not known",
            Lack::Malformed => {
                "the body is not what its content-type or content-encoding says, or lacks its end"
            }
            Lack::NoRoom => "too much of other bodies is read at the same time",
        }
    }
}

/// Reads the copy of a body.
#[derive(Debug)]
pub struct BodyReader {
    waiting: VecDeque<Bytes>,
    waiting_bytes: usize,
    /// Whether some of the body was not taken any more.
    is_cut: bool,
    /// Whether some of it came.
    has_begun: bool,
    has_ended: bool,
    /// Whether its head says that it is JSON.
    says_json: bool,
    copies: Copies,
    /// How many bytes of `copies` are its own.
    held: usize,
    decoder: Option<Decoder>,
    left: usize,
    lack: Option<Lack>,
    text: Option<Vec<u8>>,
    page: Option<PageReader>,
    scratch: Vec<u8>,
}

impl BodyReader {
    /// For a body whose head has these fields.
    pub fn new(headers: &HeaderMap, wanted: Wanted<'_>, copies: &Copies) -> Self {
        let decoder = Decoder::of(headers);
        Self {
            waiting: VecDeque::new(),
            waiting_bytes: 0,
            is_cut: false,
            has_begun: false,
            has_ended: false,
            says_json: says_json(headers),
            copies: copies.clone(),
            held: 0,
            lack: Some(if decoder.is_some() { Lack::NotEnded } else { Lack::Encoding }),
            decoder,
            left: wanted.limit,
            text: wanted.text.then(Vec::new),
            page: (!wanted.parts.is_empty()).then(|| PageReader::new(wanted.parts, wanted.limit)),
            scratch: Vec::new(),
        }
    }

    /// Takes a piece of the body, to be read by [`BodyReader::step`].
    pub fn take(&mut self, piece: &Bytes) {
        // Behind what was left out nothing makes sense.
        if self.decoder.is_none() || self.is_cut || piece.is_empty() {
            return;
        }
        self.has_begun = true;
        // No encoding is longer than what it encodes by more than a little; what waits pins no more than this.
        let room = (self.left + STEP).saturating_sub(self.waiting_bytes);
        self.is_cut = piece.len() > room;
        let piece = piece.slice(..piece.len().min(room));
        self.waiting_bytes += piece.len();
        self.waiting.push_back(piece);
        self.account();
    }

    /// The body has ended.
    pub fn end(&mut self) {
        if self.lack == Some(Lack::NotEnded) {
            self.lack = self.is_cut.then_some(Lack::TooLong);
            self.has_ended = true;
            self.finish();
        }
    }

    /// Sees, when all is decoded, whether the encoding has come to its end.
    fn finish(&mut self) {
        let is_due = self.has_ended && self.has_begun && self.lack.is_none() && self.waiting.is_empty();
        if is_due && self.decoder.take().is_some_and(|mut decoder| decoder.finish().is_err()) {
            self.stop(Lack::Malformed);
        }
    }

    /// Reads up to [`STEP`] bytes of what was taken; answers whether there is more.
    pub fn step(&mut self) -> bool {
        let mut budget = STEP;
        while budget > 0
            && let Some(decoder) = &mut self.decoder
            && let Some(piece) = self.waiting.front_mut()
        {
            self.scratch.clear();
            let Ok(Decoded { read, has_more }) = decoder.decode(piece, &mut self.scratch) else {
                self.stop(Lack::Malformed);
                break;
            };
            piece.advance(read);
            self.waiting_bytes -= read;
            if piece.is_empty() && !has_more {
                self.waiting.pop_front();
            }
            budget = budget.saturating_sub(self.scratch.len().max(read).max(1));
            let decoded = std::mem::take(&mut self.scratch);
            self.add(&decoded);
            self.scratch = decoded;
        }
        self.account();
        self.finish();
        !self.waiting.is_empty()
    }

    fn add(&mut self, decoded: &[u8]) {
        let is_too_long = decoded.len() > self.left;
        let decoded = &decoded[..decoded.len().min(self.left)];
        self.left -= decoded.len();
        if let Some(text) = &mut self.text {
            text.extend_from_slice(decoded);
        }
        if let Some(page) = &mut self.page {
            page.read(decoded);
        }
        let is_no_use = self.text.is_none() && self.page.as_ref().is_some_and(PageReader::is_broken);
        if is_too_long || is_no_use {
            self.stop(Lack::TooLong);
        } else if self.text.is_none() && self.page.as_ref().is_some_and(PageReader::has_all) {
            // Nothing else is wanted.
            self.lack = None;
            self.leave();
        }
    }

    fn stop(&mut self, lack: Lack) {
        self.lack = Some(lack);
        self.leave();
    }

    fn leave(&mut self) {
        self.decoder = None;
        self.waiting.clear();
        self.waiting_bytes = 0;
    }

    /// Says what it holds; gives it up when that is too much for the worker.
    fn account(&mut self) {
        let mut holds = self.waiting_bytes + self.text.as_ref().map_or(0, Vec::capacity);
        let others = self.copies.0.get() - self.held;
        if holds > self.held && others + holds > WORKER_BYTES {
            self.stop(Lack::NoRoom);
            self.text = self.text.as_ref().map(|_| Vec::new());
            holds = 0;
        }
        self.held = holds;
        self.copies.0.set(others + holds);
    }

    /// The text, if it was wanted: as much of it as is there.
    pub fn text(&self) -> Option<&[u8]> {
        self.text.as_deref()
    }

    /// The value of a part that was wanted, if the page has it.
    pub fn part(&self, part: &HtmlPart) -> Option<String> {
        self.page.as_ref()?.value(part)
    }

    /// Why this is not the whole body; none when it is.
    pub fn lack(&self) -> Option<Lack> {
        self.lack
    }

    /// The same, with what is said of its text: a whole body whose head says that it is JSON is to be some.
    pub fn lack_of_json(&self, is_json: impl FnOnce() -> bool) -> Option<Lack> {
        let is_some = self.text.as_ref().is_some_and(|text| !text.trim_ascii().is_empty());
        self.lack.or_else(|| (self.says_json && is_some && !is_json()).then_some(Lack::Malformed))
    }
}

/// `application/json`, `application/problem+json; charset=utf-8`; not lists of JSON by lines.
fn says_json(headers: &HeaderMap) -> bool {
    let content_type = headers.get(CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let media_type = content_type.split(|byte| *byte == b';').next().unwrap_or_default().trim_ascii();
    let subtype = media_type.split(|byte| *byte == b'/').nth(1).unwrap_or_default();
    subtype.rsplit(|byte| *byte == b'+').next().is_some_and(|suffix| suffix.eq_ignore_ascii_case(b"json"))
}

impl Drop for BodyReader {
    fn drop(&mut self) {
        self.copies.0.set(self.copies.0.get() - self.held);
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use http::header;
    use proptest::prelude::*;

    use super::*;
    use crate::action::Source;

    fn part(text: &str) -> HtmlPart {
        match text.parse::<Source>() {
            Ok(Source::ResponseHtml(part)) => part,
            other => panic!("{other:?}"),
        }
    }

    fn headers(encoding: &str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_ENCODING, HeaderValue::from_str(encoding).unwrap());
        headers
    }

    fn encoded(encoding: &str, body: &[u8]) -> Vec<u8> {
        match encoding {
            "gzip" => {
                let mut out = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
                out.write_all(body).unwrap();
                out.finish().unwrap()
            }
            "deflate" => {
                let mut out = flate2::write::ZlibEncoder::new(Vec::new(), flate2::Compression::fast());
                out.write_all(body).unwrap();
                out.finish().unwrap()
            }
            "zstd" => zstd::encode_all(body, 1).unwrap(),
            _ => body.to_vec(),
        }
    }

    fn read(reader: &mut BodyReader, body: &[u8], piece: usize) {
        for piece in body.chunks(piece.max(1)) {
            reader.take(&Bytes::copy_from_slice(piece));
            reader.step();
        }
        reader.end();
        while reader.step() {}
    }

    const WHOLE: Wanted<'static> = Wanted { text: true, parts: &[], limit: 1 << 20 };

    #[test]
    fn a_bomb_is_read_no_further_than_its_limit() {
        let bomb = encoded("gzip", &vec![0; 64 << 20]);
        let mut reader = BodyReader::new(&headers("gzip"), WHOLE, &Copies::default());
        read(&mut reader, &bomb, 16 << 10);
        assert_eq!(reader.text().map(<[u8]>::len), Some(1 << 20));
        assert_eq!(reader.lack(), Some(Lack::TooLong));
        assert!(reader.scratch.capacity() < 2 << 20, "{}", reader.scratch.capacity());
    }

    #[test]
    fn little_that_becomes_much_is_read_to_its_end() {
        let body = vec![b'x'; 300_000];
        for encoding in ["gzip", "deflate", "zstd"] {
            for piece in [1, 1000, 100_000] {
                let mut reader = BodyReader::new(&headers(encoding), WHOLE, &Copies::default());
                read(&mut reader, &encoded(encoding, &body), piece);
                assert!(reader.text() == Some(&body) && reader.lack().is_none(), "{encoding} {piece}");
            }
        }
    }

    #[test]
    fn copies_of_a_worker_have_a_bound_and_give_room_back() {
        let copies = Copies::default();
        let open = |piece: &[u8]| {
            let mut reader = BodyReader::new(&HeaderMap::new(), WHOLE, &copies);
            reader.take(&Bytes::copy_from_slice(piece));
            while reader.step() {}
            reader.end();
            reader
        };
        let piece = vec![b'x'; 1 << 20];
        let mut readers = Vec::new();
        while readers.last().is_none_or(|reader: &BodyReader| reader.lack().is_none()) {
            readers.push(open(&piece));
            assert!(copies.0.get() <= WORKER_BYTES && readers.len() <= 65);
        }
        assert!(readers.len() > 32, "{}", readers.len());
        assert_eq!(readers.last().unwrap().lack(), Some(Lack::NoRoom));
        readers.clear();
        assert_eq!(copies.0.get(), 0);
        assert_eq!(open(&piece).lack(), None);
    }

    #[test]
    fn nothing_is_read_behind_a_gap() {
        let limit = 100;
        let mut reader = BodyReader::new(&headers("gzip"), Wanted { limit, ..WHOLE }, &Copies::default());
        // Members of nothing: encoded they are longer than the limit, decoded they are empty.
        let nothing = encoded("gzip", b"").repeat(4096);
        let rest = encoded("gzip", b"behind");
        assert!(nothing.len() > limit + STEP);
        for piece in [nothing, rest] {
            reader.take(&Bytes::from(piece));
            while reader.step() {}
        }
        reader.end();
        assert_eq!(reader.text(), Some(b"".as_slice()));
        assert!(reader.lack().is_some());
    }

    #[test]
    fn what_is_cut_off_or_wrong_says_so() {
        let whole = encoded("gzip", &b"abc".repeat(1000));
        let mut reader = BodyReader::new(&headers("gzip"), WHOLE, &Copies::default());
        reader.take(&Bytes::copy_from_slice(&whole[..whole.len() / 2]));
        while reader.step() {}
        assert_eq!(reader.lack(), Some(Lack::NotEnded));
        let mut reader = BodyReader::new(&headers("br"), WHOLE, &Copies::default());
        read(&mut reader, &[0xff; 100], 7);
        assert_eq!(reader.lack(), Some(Lack::Malformed));
        let mut reader = BodyReader::new(&headers("compress"), WHOLE, &Copies::default());
        read(&mut reader, b"abc", 7);
        assert_eq!(reader.lack(), Some(Lack::Encoding));
    }

    /// "hello " four times and a line end, made by zlib.brotliCompressSync of Node.
    const BROTLI: [u8; 23] = [
        0x1b, 0x17, 0x00, 0xf8, 0x8d, 0x94, 0x6e, 0xde, 0x44, 0x55, 0x86, 0xd6, 0x0a, 0x20, 0x6c, 0x6f, 0x4a,
        0x11, 0x79, 0xe2, 0x80, 0xae, 0x16,
    ];

    #[test]
    fn what_ends_before_its_encoding_does_says_so() {
        let body: Vec<u8> = (0..2_000_u32).flat_map(u32::to_be_bytes).collect();
        let raw_deflate = {
            let mut out = flate2::write::DeflateEncoder::new(Vec::new(), flate2::Compression::fast());
            out.write_all(&body).unwrap();
            ("deflate", out.finish().unwrap())
        };
        let mut cases = vec![raw_deflate, ("br", BROTLI.to_vec())];
        cases.extend(["gzip", "deflate", "zstd"].map(|encoding| (encoding, encoded(encoding, &body))));
        // Frames may follow one another; exactly so much as is decoded at a time may come of one.
        for encoding in ["gzip", "zstd"] {
            cases.push((encoding, encoded(encoding, &[b'x'; 16 << 10])));
            cases.push((encoding, encoded(encoding, b"abc").repeat(2)));
        }
        for (encoding, whole) in cases {
            for piece in [1, 1000, whole.len()] {
                for (missing, lack) in [(0, None), (1, Some(Lack::Malformed)), (5, Some(Lack::Malformed))] {
                    let mut reader = BodyReader::new(&headers(encoding), WHOLE, &Copies::default());
                    read(&mut reader, &whole[..whole.len() - missing], piece);
                    assert_eq!(reader.lack(), lack, "{encoding}, {} - {missing} by {piece}", whole.len());
                    assert!(missing > 0 || !reader.text().unwrap().is_empty());
                }
            }
        }
        for encoding in ["gzip", "deflate", "br", "zstd"] {
            let mut reader = BodyReader::new(&headers(encoding), WHOLE, &Copies::default());
            read(&mut reader, b"", 1);
            assert_eq!(reader.lack(), None, "where no body came nothing is missing");
        }
    }

    #[test]
    fn brotli_is_read() {
        let body = BROTLI;
        let mut reader = BodyReader::new(&headers("br"), WHOLE, &Copies::default());
        read(&mut reader, &body, 3);
        assert_eq!(reader.text(), Some(b"hello hello hello hello\n".as_slice()));
        assert_eq!(reader.lack(), None);
    }

    #[test]
    fn parts_of_a_page_are_found_in_pieces() {
        let page = "<!doctype html><h1>No</h1><h1 class=a>Red &amp; <b>blue</b>\n</h1><h1 class=a>other</h1>\
                    <div id=\"p\" data-items='[&quot;1&quot;]' data-id=17></div>";
        let parts =
            [part("response_html:h1.a"), part("response_html:#p@data-items"), part("response_html:.none")];
        let wanted: Vec<&HtmlPart> = parts.iter().collect();
        for piece in [1, 7, 1000] {
            let mut reader = BodyReader::new(
                &HeaderMap::new(),
                Wanted { text: false, parts: &wanted, limit: 1 << 20 },
                &Copies::default(),
            );
            read(&mut reader, page.as_bytes(), piece);
            assert_eq!(reader.part(&parts[0]).as_deref(), Some("Red & blue"));
            assert_eq!(reader.part(&parts[1]).as_deref(), Some("[\"1\"]"));
            assert_eq!(reader.part(&parts[2]), None);
        }
    }

    proptest! {
        #[test]
        fn what_was_encoded_is_read_in_pieces(
            body in proptest::collection::vec(any::<u8>(), 0..5000),
            encoding in prop_oneof![Just("gzip"), Just("deflate"), Just("zstd"), Just("identity")],
            piece in 1usize..3000,
        ) {
            let mut reader = BodyReader::new(&headers(encoding), WHOLE, &Copies::default());
            read(&mut reader, &encoded(encoding, &body), piece);
            prop_assert_eq!(reader.text(), Some(body.as_slice()));
            prop_assert_eq!(reader.lack(), None);
        }

        #[test]
        fn no_bytes_make_it_fail(
            body in proptest::collection::vec(any::<u8>(), 0..500),
            encoding in prop_oneof![Just("gzip"), Just("deflate"), Just("zstd"), Just("br"), Just("identity")],
            limit in 0usize..300,
        ) {
            let parts = [part("response_html:p"), part("response_html:[a]@a")];
            let parts: Vec<&HtmlPart> = parts.iter().collect();
            let mut reader = BodyReader::new(&headers(encoding), Wanted { text: true, parts: &parts, limit }, &Copies::default());
            read(&mut reader, &body, 7);
            prop_assert!(reader.text().unwrap().len() <= limit);
        }
    }
}

//! Who comes to the sample shop and from where: the browsers and the campaigns of live visitors and of history.

use rand::seq::IndexedRandom;
use rand::{Rng, RngExt};

/// A way of coming to the shop.
#[derive(Debug)]
pub(super) struct Arrival {
    /// The landing's query; `*` in it becomes a random id, as ad networks give one to each click.
    query: &'static str,
    /// What the browser says it came from.
    pub(super) referrer: Option<&'static str>,
    /// How many come this way, relative to the others.
    weight: u32,
    /// How many of a thousand visits end with an order.
    pub(super) buyers_per_mille: u32,
}

impl Arrival {
    /// One of [`ARRIVALS`], as often as its weight says.
    pub(super) fn choose(rng: &mut impl Rng) -> &'static Arrival {
        ARRIVALS.choose_weighted(rng, |arrival| arrival.weight).unwrap_or(&ARRIVALS[0])
    }

    /// The query of one click; empty for a visit without one.
    pub(super) fn query(&self, rng: &mut impl Rng) -> String {
        let click: String =
            (0..24).map(|_| char::from(*CLICK_ALPHABET.choose(rng).unwrap_or(&b'0'))).collect();
        self.query.replace('*', &click)
    }
}

const CLICK_ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz23456789";

/// All ways; some are tagged as badly as in real life.
const ARRIVALS: [Arrival; 15] = [
    arrival("", None, 16, 45),
    arrival("", Some("https://www.google.com/"), 18, 30),
    arrival("", Some("https://duckduckgo.com/"), 3, 30),
    arrival("", Some("https://pottery-notes.example/ten-teapots"), 4, 35),
    arrival(
        "utm_source=facebook&utm_medium=paid_social&utm_campaign=autumn_sale&utm_content=video_teapot&fbclid=*",
        Some("https://l.facebook.com/"),
        14,
        22,
    ),
    arrival(
        "utm_source=facebook&utm_medium=paid_social&utm_campaign=autumn_sale&utm_content=carousel_plates&fbclid=*",
        Some("https://m.facebook.com/"),
        9,
        15,
    ),
    arrival(
        "utm_source=ig&utm_medium=paid_social&utm_campaign=autumn_sale&utm_content=story_vase&fbclid=*",
        Some("https://l.instagram.com/"),
        8,
        18,
    ),
    arrival(
        "utm_source=Instagram&utm_medium=social&utm_campaign=bio_link",
        Some("https://l.instagram.com/"),
        2,
        12,
    ),
    arrival("gclid=*", Some("https://www.google.com/"), 9, 38),
    arrival(
        "utm_source=google&utm_medium=cpc&utm_campaign=brand&utm_term=clay+teapot&gclid=*",
        Some("https://www.google.com/"),
        6,
        55,
    ),
    arrival(
        "utm_source=tiktok&utm_medium=paid_social&utm_campaign=unboxing&utm_content=maker_clip&ttclid=*",
        Some("https://www.tiktok.com/"),
        9,
        9,
    ),
    arrival("utm_source=newsletter&utm_medium=email&utm_campaign=new_glazes", None, 6, 70),
    arrival("utm_source=newsletter&utm_medium=email&utm_campaign=spring_catalogue", None, 3, 60),
    arrival("utm_source=chatgpt.com", Some("https://chatgpt.com/"), 2, 40),
    arrival(
        "utm_source=facebook&utm_medium=paid_social&utm_campaign=%7B%7Bcampaign.name%7D%7D&fbclid=*",
        Some("https://m.facebook.com/"),
        1,
        12,
    ),
];

const fn arrival(
    query: &'static str,
    referrer: Option<&'static str>,
    weight: u32,
    buyers_per_mille: u32,
) -> Arrival {
    Arrival { query, referrer, weight, buyers_per_mille }
}

/// The user agent of some browser, telephones more often than not.
pub(super) fn choose_agent(rng: &mut impl Rng) -> &'static str {
    AGENTS.choose_weighted(rng, |(weight, _)| *weight).map_or(AGENTS[0].1, |(_, agent)| agent)
}

/// A telephone's browser.
pub(super) const TELEPHONE: &str = AGENTS[0].1;

/// Weight and user agent.
const AGENTS: [(u32, &str); 9] = [
    (
        24,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Mobile/15E148 Safari/604.1",
    ),
    (
        26,
        "Mozilla/5.0 (Linux; Android 10; K) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Mobile Safari/537.36",
    ),
    (
        6,
        "Mozilla/5.0 (Linux; Android 14; SM-S911B) AppleWebKit/537.36 (KHTML, like Gecko) SamsungBrowser/28.0 Chrome/130.0.0.0 Mobile Safari/537.36",
    ),
    (
        6,
        "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Mobile/15E148 [FBAN/FBIOS;FBAV/530.0.0.40.73;FBDV/iPhone15,2;FBSN/iOS;FBSV/18.5]",
    ),
    (
        4,
        "Mozilla/5.0 (iPad; CPU OS 17_7 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/17.7 Mobile/15E148 Safari/604.1",
    ),
    (
        18,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36",
    ),
    (
        6,
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36 Edg/141.0.0.0",
    ),
    (
        6,
        "Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.5 Safari/605.1.15",
    ),
    (4, "Mozilla/5.0 (X11; Linux x86_64; rv:144.0) Gecko/20100101 Firefox/144.0"),
];

/// An address out of the blocks that are kept for documentation (RFC 5737), so that nobody's is shown.
pub(super) fn choose_address(rng: &mut impl Rng) -> std::net::IpAddr {
    let block = *[[192, 0, 2], [198, 51, 100], [203, 0, 113]].choose(rng).unwrap_or(&[192, 0, 2]);
    [block[0], block[1], block[2], rng.random_range(1..255)].into()
}

//! Links and user agents of the week, and what reports are to call them: written down by hand.

/// What a link is tagged with, and under which names reports know it.
pub struct Tag {
    pub given: [Option<&'static str>; 5],
    pub click: Option<(&'static str, &'static str)>,
    pub referrer: Option<(&'static str, &'static str)>,
    /// Source, medium, campaign, content, term, channel.
    pub label: [&'static str; 6],
    pub paid: bool,
}

const fn tagged(given: [Option<&'static str>; 5], label: [&'static str; 6], paid: bool) -> Tag {
    Tag { given, click: None, referrer: None, label, paid }
}

const NONE: &str = "(none)";

pub static TAGS: [Tag; 13] = [
    tagged(
        [Some("google"), Some("cpc"), Some("Brand"), None, Some("boots")],
        ["google", "cpc", "brand", NONE, "boots", "Paid Search"],
        true,
    ),
    tagged(
        [Some("Facebook"), Some("paid_social"), Some("spring"), Some("Blue"), None],
        ["facebook", "paid_social", "spring", "blue", NONE, "Paid Social"],
        true,
    ),
    tagged(
        [Some("facebook"), Some("paid_social"), Some("spring"), Some("red"), None],
        ["facebook", "paid_social", "spring", "red", NONE, "Paid Social"],
        true,
    ),
    tagged(
        [Some("ig"), Some("social"), Some("spring"), Some("blue"), None],
        ["instagram", "social", "spring", "blue", NONE, "Organic Social"],
        false,
    ),
    tagged(
        [Some("newsletter"), Some("email"), Some("october"), None, None],
        ["newsletter", "email", "october", NONE, NONE, "Email"],
        false,
    ),
    Tag {
        given: [None; 5],
        click: None,
        referrer: Some(("https://www.google.com/", "google.com")),
        label: ["google", "organic", NONE, NONE, NONE, "Organic Search"],
        paid: false,
    },
    Tag {
        given: [None; 5],
        click: None,
        referrer: Some(("https://blog.example/post", "blog.example")),
        label: ["blog.example", "referral", NONE, NONE, NONE, "Referral"],
        paid: false,
    },
    Tag {
        given: [None; 5],
        click: Some(("gclid", "EAIaIQ")),
        referrer: None,
        label: ["google", "cpc", NONE, NONE, NONE, "Paid Search"],
        paid: true,
    },
    tagged(
        [Some("tiktok"), Some("cpc"), Some("{{campaign.name}}"), None, None],
        ["tiktok", "cpc", "{{campaign.name}}", NONE, NONE, "Paid Social"],
        true,
    ),
    tagged(
        [Some("123456789"), None, Some("old_100%"), None, None],
        ["123456789", NONE, "old_100%", NONE, NONE, "Unassigned"],
        false,
    ),
    tagged(
        [Some("partner"), Some("affiliate"), None, None, None],
        ["partner", "affiliate", NONE, NONE, NONE, "Affiliates"],
        false,
    ),
    tagged(
        [Some("partner"), Some("affiliate"), Some("spring"), Some("green"), None],
        ["partner", "affiliate", "spring", "green", NONE, "Affiliates"],
        false,
    ),
    tagged(
        [Some("newsletter"), Some("email"), Some("spring"), None, None],
        ["newsletter", "email", "spring", NONE, NONE, "Email"],
        false,
    ),
];

/// The tag whose click id is told of with orders.
pub const CLICK: usize = 7;

/// What addresses begin with; country, its name, region and city, as the file of places for tests has them.
pub static PLACES: [(&str, [&str; 4]); 4] = [
    ("5.5.5.", ["UA", "Ukraine", "Kyiv City", "Kyiv"]),
    ("5.5.6.", ["DE", "Germany", NONE, NONE]),
    ("2a01:100::", ["PL", "Poland", "Mazovia", "Warsaw"]),
    ("100.64.7.", [NONE; 4]),
];

/// A user agent; type, brand and model of the device; browser and its major version; system and its version.
pub static AGENTS: [(&str, [&str; 7]); 4] = [
    (
        "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/120.0.0.0 Safari/537.36",
        ["desktop", NONE, NONE, "Chrome", "120", "Windows", "10"],
    ),
    (
        "Mozilla/5.0 (iPhone; CPU iPhone OS 17_1 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) \
         Version/17.1 Mobile/15E148 Safari/604.1",
        ["mobile", "Apple", "iPhone", "Mobile Safari", "17", "iOS", "17.1"],
    ),
    (
        "Mozilla/5.0 (Linux; Android 12; SM-X906C) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/80.0.3987.119 Safari/537.36",
        ["tablet", "Samsung", "SM-X906C", "Chrome", "80", "Android", "12"],
    ),
    ("Somebody", ["unknown", NONE, NONE, NONE, NONE, NONE, NONE]),
];

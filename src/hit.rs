//! The plain records that travel from the request path to Postgres.
//!
//! A [`Hit`] is what one forwarded request left behind. The request path fills it in, the journal stores it, the
//! office turns it into rows. Everything that a row needs and only the request knows is in here; everything that
//! can be looked up later (device, place, channel) is not.
//!
//! # Payload of a journal frame
//!
//! | byte | content |
//! |---|---|
//! | 0 | record version, now [`RECORD_VERSION`] |
//! | 1 | kind: 1 hit, 2 order, 3 action, 4 ad spend, 5 bot count, 6 erasure |
//! | 2… | the record, [postcard](https://postcard.jamesmunns.com/wire-format) encoded, fields in the order of declaration |
//!
//! Fields are never reordered, removed or retyped within a version. A binary reads all versions up to its own.
//! Version 2 added fields at the end of a hit, of an action and of a bot count; one of version 1 has their defaults.
//! An erasure stands in a segment of its own ([`crate::journal`]).

use std::borrow::Cow;
use std::net::IpAddr;

use rust_decimal::Decimal;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::erasure::Erasure;

/// Version of the records that this binary writes.
pub const RECORD_VERSION: u8 = 2;

const KIND_HIT: u8 = 1;
const KIND_ORDER: u8 = 2;
const KIND_ACTION: u8 = 3;
const KIND_SPEND: u8 = 4;
const KIND_BOT_COUNT: u8 = 5;
const KIND_ERASURE: u8 = 6;

/// One record of the journal.
#[derive(Debug, Clone, PartialEq)]
pub enum Record<'a> {
    /// A forwarded request with a page view, an action or a touch.
    Hit(Box<Hit<'a>>),
    /// What the shop said about an order through the API.
    Order(Box<OrderFact>),
    /// What the shop said through the API that somebody did.
    Action(Box<ActionFact>),
    /// What the shop said about money spent on advertising through the API.
    Spend(Box<SpendFact>),
    /// A request of a certain bot, of which only the count is kept.
    BotCount(BotCount<'a>),
    /// Somebody is to be forgotten.
    Erasure(Erasure),
}

/// Why a payload could not be read.
#[derive(Debug, thiserror::Error)]
pub enum RecordError {
    /// The record was written by a newer binary.
    #[error("record version {0} is newer than this binary's {RECORD_VERSION}")]
    NewerVersion(u8),
    /// The kind is not one this version knows.
    #[error("unknown record kind {0}")]
    UnknownKind(u8),
    /// The bytes do not follow the format.
    #[error("malformed record: {0}")]
    Malformed(#[from] postcard::Error),
    /// There are fewer bytes than the version and the kind need.
    #[error("record of {0} bytes is too short")]
    TooShort(usize),
}

/// How much a record matters when not everything can be kept: the least important goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Importance {
    /// A page view or a bot count and nothing else.
    PageView,
    /// An action other than an order.
    Action,
    /// A touch, an order, money spent or an erasure.
    TouchOrOrder,
}

impl<'a> Record<'a> {
    /// Appends the payload to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) -> Result<(), postcard::Error> {
        match self {
            Record::Hit(hit) => encode(KIND_HIT, hit.as_ref(), out),
            Record::Order(fact) => encode(KIND_ORDER, fact.as_ref(), out),
            Record::Action(fact) => encode(KIND_ACTION, fact.as_ref(), out),
            Record::Spend(fact) => encode(KIND_SPEND, fact.as_ref(), out),
            Record::BotCount(count) => encode(KIND_BOT_COUNT, count, out),
            Record::Erasure(erasure) => encode(KIND_ERASURE, erasure, out),
        }
    }

    /// Reads a payload, borrowing its text.
    pub fn decode(payload: &'a [u8]) -> Result<Self, RecordError> {
        let [version, kind, body @ ..] = payload else {
            return Err(RecordError::TooShort(payload.len()));
        };
        if *version > RECORD_VERSION {
            return Err(RecordError::NewerVersion(*version));
        }
        Ok(match *kind {
            KIND_HIT if *version == 1 => {
                Record::Hit(Box::new(postcard::from_bytes::<HitOfVersion1<'a>>(body)?.into()))
            }
            KIND_HIT => Record::Hit(postcard::from_bytes(body)?),
            KIND_ORDER => Record::Order(postcard::from_bytes(body)?),
            KIND_ACTION => Record::Action(postcard::from_bytes(body)?),
            KIND_SPEND => Record::Spend(postcard::from_bytes(body)?),
            KIND_BOT_COUNT if *version == 1 => {
                Record::BotCount(postcard::from_bytes::<BotCountOfVersion1<'a>>(body)?.into())
            }
            KIND_BOT_COUNT => Record::BotCount(postcard::from_bytes(body)?),
            KIND_ERASURE => Record::Erasure(postcard::from_bytes(body)?),
            other => return Err(RecordError::UnknownKind(other)),
        })
    }

    /// When it happened, or was reported; Unix milliseconds.
    pub fn at_ms(&self) -> u64 {
        match self {
            Record::Hit(hit) => hit.at_ms,
            Record::Order(fact) => fact.received_ms,
            Record::Action(fact) => fact.received_ms,
            Record::Spend(fact) => fact.received_ms,
            Record::BotCount(count) => count.at_ms,
            Record::Erasure(erasure) => erasure.at_ms,
        }
    }

    /// What is lost with this record.
    pub fn importance(&self) -> Importance {
        match self {
            Record::Hit(hit) => hit.importance(),
            Record::Order(_) | Record::Spend(_) | Record::Erasure(_) => Importance::TouchOrOrder,
            Record::Action(_) => Importance::Action,
            Record::BotCount(_) => Importance::PageView,
        }
    }
}

fn encode<T: Serialize>(kind: u8, record: &T, out: &mut Vec<u8>) -> Result<(), postcard::Error> {
    out.extend_from_slice(&[RECORD_VERSION, kind]);
    let buffer = std::mem::take(out);
    *out = postcard::to_extend(record, buffer)?;
    Ok(())
}

/// One forwarded request that tracking looked at.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Hit<'a> {
    /// When the request's head had arrived, Unix milliseconds.
    pub at_ms: u64,
    /// The shop it belongs to (`[[route]] site`).
    #[serde(borrow)]
    pub site: Cow<'a, str>,
    /// Host without port, lower case.
    #[serde(borrow)]
    pub host: Cow<'a, str>,
    /// Path without query.
    #[serde(borrow)]
    pub path: Cow<'a, str>,
    /// Status of the response.
    pub status: u16,
    /// Whether a person saw this response as a page.
    pub page_view: bool,
    /// Who it was; none for a bot's or a webhook's hit that is kept for its order.
    pub identity: Option<Identity>,
    /// The acquisition evidence that came with it, when it is new to the session.
    #[serde(borrow)]
    pub touch: Option<Touch<'a>>,
    /// Address of the client; absent when `store_ip = "none"`.
    pub client_address: Option<IpAddr>,
    /// The `User-Agent` field, at most 512 characters.
    #[serde(borrow)]
    pub user_agent: Cow<'a, str>,
    /// Marketing cookies (`_fbp`, `_fbc`, …) as `(name, value)`.
    #[serde(borrow)]
    pub cookies: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Actions other than the page view.
    #[serde(borrow)]
    pub actions: Vec<Action<'a>>,
    /// How sure the request path is that this was no person, 0–100; hits of certain bots are not recorded.
    pub bot_score: u8,
    /// Why, a set of bits (`capture::bot::Reason`).
    pub bot_reasons: u32,
    /// Whoever came denies being known: the hit is only counted. It has no identity, address, agent, cookie or click id
    /// (names of click ids without their values, which tell the source), and no path.
    pub denied: bool,
    /// Of a denied page view: it was reached from outside of the shop, as far as one request tells.
    pub landing: bool,
    /// Why what led here is no touch, a set of [`findings`] bits.
    pub findings: u32,
    /// Version of the rules by which it was judged (`capture::bot::RULES_VERSION`); 0 in records of version 1.
    pub bot_rules: u8,
    /// Whether files of pages were fetched from the same address lately.
    pub fetched_assets: bool,
    /// What Client Hints say that the user agent does not: `browser=Brave/142; system=Chrome OS; mobile`, or nothing.
    #[serde(borrow)]
    pub client_hints: Cow<'a, str>,
    /// Where it was, as whoever recorded it says; else it is looked up by the address.
    pub place: Option<Box<Place>>,
}

/// Where somebody is.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Place {
    /// ISO 3166-1 alpha-2.
    pub country: Option<String>,
    /// Its English name.
    pub country_name: Option<String>,
    /// English name of the largest subdivision.
    pub region: Option<String>,
    /// English name.
    pub city: Option<String>,
    /// IANA name.
    pub timezone: Option<String>,
}

/// Bits of [`Hit::findings`].
pub mod findings {
    /// A link within the shop carries tags: they would take the visit from the campaign that earned it.
    pub const TAGS_ON_OWN_LINK: u32 = 1;
    /// It comes back from a payment or a sign-in.
    pub const RETURN: u32 = 2;
    /// It comes from another host of the shop, without tags.
    pub const OWN_HOST: u32 = 4;
    /// It comes from a page of others, within an open session.
    pub const OPEN_SESSION: u32 = 8;

    /// The word for the first that applies; none for none.
    pub fn word(findings: u32) -> Option<&'static str> {
        let known = [
            (TAGS_ON_OWN_LINK, "tags_on_own_link"),
            (RETURN, "payment_or_sign_in"),
            (OWN_HOST, "own_host"),
            (OPEN_SESSION, "open_session"),
        ];
        known.into_iter().find(|(bit, _)| findings & bit != 0).map(|(_, word)| word)
    }
}

/// A [`Hit`] as record version 1 has it.
#[derive(Deserialize)]
struct HitOfVersion1<'a> {
    at_ms: u64,
    #[serde(borrow)]
    site: Cow<'a, str>,
    #[serde(borrow)]
    host: Cow<'a, str>,
    #[serde(borrow)]
    path: Cow<'a, str>,
    status: u16,
    page_view: bool,
    identity: Option<Identity>,
    #[serde(borrow)]
    touch: Option<Touch<'a>>,
    client_address: Option<IpAddr>,
    #[serde(borrow)]
    user_agent: Cow<'a, str>,
    #[serde(borrow)]
    cookies: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    #[serde(borrow)]
    actions: Vec<ActionOfVersion1<'a>>,
    bot_score: u8,
    bot_reasons: u32,
}

impl<'a> From<HitOfVersion1<'a>> for Hit<'a> {
    fn from(old: HitOfVersion1<'a>) -> Self {
        Hit {
            at_ms: old.at_ms,
            site: old.site,
            host: old.host,
            path: old.path,
            status: old.status,
            page_view: old.page_view,
            identity: old.identity,
            touch: old.touch,
            client_address: old.client_address,
            user_agent: old.user_agent,
            cookies: old.cookies,
            actions: old.actions.into_iter().map(Action::from).collect(),
            bot_score: old.bot_score,
            bot_reasons: old.bot_reasons,
            ..Hit::default()
        }
    }
}

impl Hit<'_> {
    /// Takes away whose it is and what happened, but for orders.
    pub fn leave_only_orders(&mut self) {
        self.actions.retain(Action::is_of_order);
        (self.identity, self.touch, self.page_view) = (None, None, false);
        (self.client_address, self.user_agent, self.client_hints) = (None, Cow::default(), Cow::default());
        self.cookies.clear();
    }

    fn importance(&self) -> Importance {
        if self.touch.is_some() || self.actions.iter().any(Action::is_of_order) {
            Importance::TouchOrOrder
        } else if self.actions.is_empty() {
            Importance::PageView
        } else {
            Importance::Action
        }
    }
}

/// How a visitor is known.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum IdentityMode {
    /// By the signed `_utmd` cookie.
    Cookie,
    /// By a hash that is valid for one day; nothing is stored on the client.
    Cookieless,
    /// Not any more: the ids are replacements. No journal has it, the office makes it of who is forgotten.
    Forgotten,
    /// By what another system knew them by; the proxy has not seen them.
    Imported,
}

impl IdentityMode {
    /// The number that Postgres stores.
    pub fn code(self) -> i16 {
        match self {
            IdentityMode::Forgotten => 0,
            IdentityMode::Cookie => 1,
            IdentityMode::Cookieless => 2,
            IdentityMode::Imported => 3,
        }
    }
}

/// Visitor and session of a hit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// How the visitor is known.
    pub mode: IdentityMode,
    /// The visitor: UUIDv7 from the cookie, or the day's hash.
    pub visitor_id: Uuid,
    /// The session; its first 48 bits are the hour it began in (`capture::session_id`).
    pub session_id: Uuid,
    /// 1 for a visitor's first session.
    pub session_number: u16,
    /// The visitor's cookieless id, given when the visitor id was minted on this hit: it links what came before.
    pub minted_from: Option<Uuid>,
}

/// Acquisition evidence. Values are as seen (decoded once, trimmed, NFC, capped); names are lower case.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct Touch<'a> {
    /// The touch's own id within its session: first 8 bytes of the hash over both evidence parts, or, with neither,
    /// over the referrer host.
    pub evidence: i64,
    /// `utm_source`.
    #[serde(borrow)]
    pub source: Option<Cow<'a, str>>,
    /// `utm_medium`.
    #[serde(borrow)]
    pub medium: Option<Cow<'a, str>>,
    /// `utm_campaign`.
    #[serde(borrow)]
    pub campaign: Option<Cow<'a, str>>,
    /// `utm_content`.
    #[serde(borrow)]
    pub content: Option<Cow<'a, str>>,
    /// `utm_term`.
    #[serde(borrow)]
    pub term: Option<Cow<'a, str>>,
    /// `utm_id`.
    #[serde(borrow)]
    pub id: Option<Cow<'a, str>>,
    /// Further registered parameters as `(name, value)`.
    #[serde(borrow)]
    pub parameters: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Click ids as `(name, value)`, sorted by name, values verbatim.
    #[serde(borrow)]
    pub click_ids: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// The external referrer without its query.
    #[serde(borrow)]
    pub referrer: Option<Cow<'a, str>>,
    /// What was odd about the values, a set of [`touch_flags`] bits.
    pub flags: u32,
}

impl Touch<'_> {
    /// With text of its own.
    pub fn into_owned(self) -> Touch<'static> {
        let one = |value: Option<Cow<'_, str>>| value.map(|value| Cow::Owned(value.into_owned()));
        let pairs = |pairs: Vec<(Cow<'_, str>, Cow<'_, str>)>| {
            let owned = |(name, value): (Cow<'_, str>, Cow<'_, str>)| {
                (name.into_owned().into(), value.into_owned().into())
            };
            pairs.into_iter().map(owned).collect()
        };
        Touch {
            evidence: self.evidence,
            source: one(self.source),
            medium: one(self.medium),
            campaign: one(self.campaign),
            content: one(self.content),
            term: one(self.term),
            id: one(self.id),
            parameters: pairs(self.parameters),
            click_ids: pairs(self.click_ids),
            referrer: one(self.referrer),
            flags: self.flags,
        }
    }
}

/// Bits of [`Touch::flags`].
pub mod touch_flags {
    /// A parameter came more than once with different values; the first non-empty one won.
    pub const REPEATED: u32 = 1;
    /// A value was longer than its cap.
    pub const TRUNCATED: u32 = 2;
    /// A value was no valid UTF-8 after decoding; the offending bytes were replaced.
    pub const INVALID_UTF8: u32 = 4;
    /// A click id longer than 4,096 bytes was cut and must not be exported.
    pub const CLICK_ID_CUT: u32 = 8;
}

/// How something became known, best evidence last.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Way {
    /// An action rule saw it pass.
    Rule,
    /// The upstream said so by `X-Utm-Event`.
    Header,
    /// It was imported from a file.
    Import,
    /// The shop told the API.
    Api,
}

impl Way {
    /// The number that Postgres stores; the greater is the better evidence.
    pub fn code(self) -> i16 {
        match self {
            Way::Rule => 1,
            Way::Header => 2,
            Way::Import => 3,
            Way::Api => 4,
        }
    }
}

/// Something a visitor did.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Action<'a> {
    /// `add_to_cart`, `purchase`, … or a custom name: lower case ASCII, digits and `_`.
    #[serde(borrow)]
    pub kind: Cow<'a, str>,
    /// How it was seen.
    pub way: Way,
    /// The shop's product id.
    #[serde(borrow)]
    pub product_id: Option<Cow<'a, str>>,
    /// The product's name.
    #[serde(borrow)]
    pub product_name: Option<Cow<'a, str>>,
    /// Value of the cart or the order.
    pub value: Option<Decimal>,
    /// ISO 4217 code.
    #[serde(borrow)]
    pub currency: Option<Cow<'a, str>>,
    /// The shop's order id; with kind `purchase` this is a placed order.
    #[serde(borrow)]
    pub order_id: Option<Cow<'a, str>>,
    /// The order's number as the customer sees it.
    #[serde(borrow)]
    pub order_number: Option<Cow<'a, str>>,
    /// Everything else as `(name, value)`.
    #[serde(borrow)]
    pub properties: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// By what the payment provider knows the order, of a `purchase` and its `payment`.
    #[serde(borrow)]
    pub reference: Option<Cow<'a, str>>,
    /// Keyed hashes of what identifies the customer.
    pub customer: Vec<(CustomerKeyKind, [u8; 16])>,
    /// Of a `purchase`: seen on a page that anybody may open who knows the order's id.
    pub is_weak: bool,
}

impl<'a> Action<'a> {
    /// One of which no more is known.
    pub fn new(kind: impl Into<Cow<'a, str>>, way: Way) -> Self {
        Action {
            kind: kind.into(),
            way,
            product_id: None,
            product_name: None,
            value: None,
            currency: None,
            order_id: None,
            order_number: None,
            properties: Vec::new(),
            reference: None,
            customer: Vec::new(),
            is_weak: false,
        }
    }

    /// Whether it tells of an order, which is the shop's, whoever the visitor is.
    pub fn is_of_order(&self) -> bool {
        self.order_id.is_some() || (self.kind == "payment" && self.reference.is_some())
    }
}

/// An [`Action`] as record version 1 has it.
#[derive(Deserialize)]
struct ActionOfVersion1<'a> {
    #[serde(borrow)]
    kind: Cow<'a, str>,
    way: Way,
    #[serde(borrow)]
    product_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    product_name: Option<Cow<'a, str>>,
    value: Option<Decimal>,
    #[serde(borrow)]
    currency: Option<Cow<'a, str>>,
    #[serde(borrow)]
    order_id: Option<Cow<'a, str>>,
    #[serde(borrow)]
    order_number: Option<Cow<'a, str>>,
    #[serde(borrow)]
    properties: Vec<(Cow<'a, str>, Cow<'a, str>)>,
}

impl<'a> From<ActionOfVersion1<'a>> for Action<'a> {
    fn from(old: ActionOfVersion1<'a>) -> Self {
        Action {
            product_id: old.product_id,
            product_name: old.product_name,
            value: old.value,
            currency: old.currency,
            order_id: old.order_id,
            order_number: old.order_number,
            properties: old.properties,
            ..Action::new(old.kind, old.way)
        }
    }
}

/// Kind of an entry in an order's ledger.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum OrderEntryKind {
    /// The customer ordered.
    Placed,
    /// Money came in.
    Paid,
    /// The order, or a part of it, was called off.
    Cancelled,
    /// Money went back.
    Refunded,
    /// The parcel arrived.
    Delivered,
}

impl OrderEntryKind {
    /// The number that Postgres stores.
    pub fn code(self) -> i16 {
        match self {
            OrderEntryKind::Placed => 1,
            OrderEntryKind::Paid => 2,
            OrderEntryKind::Cancelled => 3,
            OrderEntryKind::Refunded => 4,
            OrderEntryKind::Delivered => 5,
        }
    }
}

/// Kind of a customer identifier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum CustomerKeyKind {
    /// Telephone number.
    Phone,
    /// E-mail address.
    Email,
    /// The shop's own user id.
    UserId,
}

/// One entry of an order's ledger, as somebody reported it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct OrderFact {
    /// The shop.
    pub site: String,
    /// The shop's order id.
    pub order_id: String,
    /// What happened to the order.
    pub kind: OrderEntryKind,
    /// The reporter's own id of this entry; empty when there is none.
    pub reference: String,
    /// How it became known.
    pub way: Way,
    /// When it happened, Unix milliseconds.
    pub at_ms: u64,
    /// Amount of this entry; none = all that is left, or unknown.
    pub value: Option<Decimal>,
    /// ISO 4217 code.
    pub currency: Option<String>,
    /// The order's number as the customer sees it.
    pub order_number: Option<String>,
    /// The session the order belongs to.
    pub session_id: Option<Uuid>,
    /// The visitor the order belongs to.
    pub visitor_id: Option<Uuid>,
    /// Click ids that the shop knows of, `(name, value)`.
    pub click_ids: Vec<(String, String)>,
    /// Keyed hashes of the customer's identifiers.
    pub customer: Vec<(CustomerKeyKind, [u8; 16])>,
    /// The ordered items, a JSON array.
    pub items: Option<String>,
    /// Further properties, a JSON object.
    pub properties: Option<String>,
    /// When the report arrived, Unix milliseconds.
    pub received_ms: u64,
    /// Names this report while its sender waits for the outcome: request and position in it.
    pub receipt: Option<(Uuid, u32)>,
}

/// What somebody did where the proxy does not see it. What was told first of a reference stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ActionFact {
    /// The shop.
    pub site: String,
    /// The type of the action.
    pub kind: String,
    /// By what it is known when it is told again, with site and type.
    pub reference: String,
    /// Hash of what was told.
    pub content: i64,
    /// When it was done, Unix milliseconds.
    pub at_ms: u64,
    /// The session in which it was done.
    pub session_id: Option<Uuid>,
    /// Who did it.
    pub visitor_id: Option<Uuid>,
    /// Host, empty where it was not told, and masked path of the page.
    pub page: Option<(String, String)>,
    /// The shop's id of the product.
    pub product_id: Option<String>,
    /// The product's name.
    pub product_name: Option<String>,
    /// An amount.
    pub value: Option<Decimal>,
    /// ISO 4217 code.
    pub currency: Option<String>,
    /// The shop's id of the order it has to do with.
    pub order_id: Option<String>,
    /// That order's number as the customer sees it.
    pub order_number: Option<String>,
    /// Further properties, masked.
    pub properties: Vec<(String, String)>,
    /// When it was told, Unix milliseconds.
    pub received_ms: u64,
    /// Names this report while its sender waits for the outcome: request and position in it.
    pub receipt: Option<(Uuid, u32)>,
    /// Keyed hashes of what identifies the customer.
    pub customer: Vec<(CustomerKeyKind, [u8; 16])>,
}

/// What was spent on a day for what one set of tags stands for. What was reported last stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SpendFact {
    /// The shop.
    pub site: String,
    /// Year, month and day, as the advertiser counts days.
    pub day: (i16, i8, i8),
    /// `utm_source` of the advertisements' links.
    pub source: Option<String>,
    /// `utm_medium`
    pub medium: Option<String>,
    /// `utm_campaign`
    pub campaign: Option<String>,
    /// `utm_content`
    pub content: Option<String>,
    /// `utm_id`
    pub utm_id: Option<String>,
    /// What it cost.
    pub cost: Decimal,
    /// ISO 4217 code.
    pub currency: Option<String>,
    /// Clicks that were paid for, as the advertiser counts them.
    pub clicks: Option<u64>,
    /// How often it was shown, as the advertiser counts.
    pub impressions: Option<u64>,
    /// When the report arrived, Unix milliseconds.
    pub received_ms: u64,
    /// Names this report while its sender waits for the outcome: request and position in it.
    pub receipt: Option<(Uuid, u32)>,
}

/// What became of an [`OrderFact`], an [`ActionFact`] or a [`SpendFact`] in the database; its sender is told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReportOutcome {
    /// It is new.
    Recorded,
    /// It is known already.
    Duplicate,
    /// It is not taken, for this reason (one sentence, fit for the sender).
    Refused(String),
}

/// One request of a certain bot.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct BotCount<'a> {
    /// When, Unix milliseconds.
    pub at_ms: u64,
    /// The shop.
    #[serde(borrow)]
    pub site: Cow<'a, str>,
    /// Name of the bot from the crawler list, or the kind of suspicion.
    #[serde(borrow)]
    pub bot: Cow<'a, str>,
    /// Why it is one, a set of bits (`capture::bot::Reason`).
    pub reasons: u32,
    /// Version of the rules that found it (`capture::bot::RULES_VERSION`); 0 in records of version 1.
    pub rules: u8,
}

/// A [`BotCount`] as record version 1 has it.
#[derive(Deserialize)]
struct BotCountOfVersion1<'a> {
    at_ms: u64,
    #[serde(borrow)]
    site: Cow<'a, str>,
    #[serde(borrow)]
    bot: Cow<'a, str>,
    reasons: u32,
}

impl<'a> From<BotCountOfVersion1<'a>> for BotCount<'a> {
    fn from(old: BotCountOfVersion1<'a>) -> Self {
        BotCount { at_ms: old.at_ms, site: old.site, bot: old.bot, reasons: old.reasons, rules: 0 }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hits_of_version_1_are_read() {
        // Written by the first release: site "s", host "h", path "/", 200, a page view of nobody by "UA", bot score 7.
        let bytes = [1, 1, 5, 1, b's', 1, b'h', 1, b'/', 200, 1, 1, 0, 0, 0, 2, b'U', b'A', 0, 0, 7, 3];
        let Record::Hit(hit) = Record::decode(&bytes).unwrap() else { panic!("a hit") };
        let expected = Hit {
            at_ms: 5,
            site: "s".into(),
            host: "h".into(),
            path: "/".into(),
            status: 200,
            page_view: true,
            user_agent: "UA".into(),
            bot_score: 7,
            bot_reasons: 3,
            ..Hit::default()
        };
        assert_eq!(*hit, expected);
        let mut now = Vec::new();
        Record::Hit(hit).encode_into(&mut now).unwrap();
        assert_eq!(now[2..bytes.len()], bytes[2..], "what is new stands at the end");
        let bot = Record::decode(&[1, 5, 5, 1, b's', 1, b'b', 2]).unwrap();
        let expected = BotCount { at_ms: 5, site: "s".into(), bot: "b".into(), reasons: 2, rules: 0 };
        assert_eq!(bot, Record::BotCount(expected));
        assert!(matches!(Record::decode(&[RECORD_VERSION + 1, 1]), Err(RecordError::NewerVersion(_))));
    }
}

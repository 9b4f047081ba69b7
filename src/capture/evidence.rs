//! Acquisition evidence: the parameters that say where somebody came from, and the hashes by which they are compared.
//!
//! # Hashes
//!
//! All SHA-256.
//!
//! * *Campaign part*: `utm_source`, `utm_medium`, `utm_campaign`, `utm_content`, `utm_term`, `utm_id`, in lower case
//!   (Unicode), an absent one as nothing, joined by 0x1F. The campaign hash is the first 4 bytes, big-endian, of its
//!   hash; a computed 0 becomes 1; 0 = there is none of them.
//! * *Click part*: `name=value` of all click ids, names in lower case, sorted by name, values verbatim, joined by
//!   0x1E. The click hash likewise.
//! * *Parameter part*: `name=value` of all other recorded parameters, written as the click part is.
//! * *Touch id*: the first 8 bytes, big-endian, of the hash over campaign part, 0x1F, click part; where both are absent
//!   over the referrer's host; without one over the parameter part.
//!
//! Vectors (␟ = 0x1F, ␞ = 0x1E): campaign part `facebook␟paid_social␟autumn␟␟␟` → `c29c8fd9`; click part
//! `fbclid=AbC␞gclid=G` → `4f46df93`; the touch id of both → `51a4f8157710921d`; of the host `www.google.com` →
//! `191347bfe55d0ca9`; of the parameter part `gad_campaignid=22␞gad_source=1` → `5e8a97b6d6f0a9bd`.

use std::borrow::Cow;

use sha2::{Digest, Sha256};
use unicode_normalization::{IsNormalized, UnicodeNormalization, is_nfc_quick};

use super::mask;
use super::query::{NamePatterns, decode_name, decode_value, pairs};
use super::registry::{Kind, Parameter, Registry};
use crate::config::UtmField;
use crate::hit::{Touch, touch_flags};

/// Longest utm value, in characters.
const VALUE_CHARS: usize = 512;
/// Longest click id that is kept whole, in bytes.
const CLICK_ID_BYTES: usize = 4096;
/// Most pairs of a query that are looked at.
const PAIRS: usize = 2000;
/// What stands for a value that is not to be stored.
pub(super) const REDACTED: &str = "(redacted)";

/// What a query says about where somebody came from.
#[derive(Debug, Default, Clone, PartialEq)]
pub struct Evidence<'a> {
    /// The values; `evidence` and `referrer` are filled in with [`Evidence::touch`].
    touch: Touch<'a>,
    /// Campaign part, 0x1F, click part; where both are absent the parameter part.
    parts: Vec<u8>,
    /// Hash of the campaign part, 0 = none.
    pub campaign_hash: u32,
    /// Hash of the click part, 0 = none.
    pub click_hash: u32,
}

impl<'a> Evidence<'a> {
    /// Reads a query. No byte sequence is an error. Where nothing personal is kept (`keeps_personal`), click ids that
    /// are have a name and no value. Of parameters that `redact` names no value is kept, though hashes are of the values
    /// as they came.
    pub fn read(query: &'a [u8], registry: &Registry, redact: &NamePatterns, keeps_personal: bool) -> Self {
        let mut touch = Touch::default();
        let mut ranks = [u8::MAX; UtmField::NAMES.len()];
        let mut redacted = [false; UtmField::NAMES.len()];
        for (name, value) in pairs(query).take(PAIRS) {
            let mut buffer = [0; 64];
            let Some(name) = decode_name(name, &mut buffer) else { continue };
            let Some(value) = value.filter(|value| !value.is_empty()) else { continue };
            let (field, rank) = match utm_field(name) {
                Some(field) => (field, 0),
                None => match registry.find(name) {
                    Some(Parameter { kind: Kind::Instead { field, rank }, .. }) => (*field, *rank),
                    Some(parameter) => {
                        read_other(parameter, value, keeps_personal, &mut touch);
                        continue;
                    }
                    None => continue,
                },
            };
            if read_field(field, rank, value, &mut ranks, &mut touch) {
                redacted[field as usize] = !redact.is_empty() && redact.matches(name);
            }
        }
        touch.click_ids.sort_unstable();
        if touch == Touch::default() {
            return Self::default();
        }
        let mut parts = Vec::with_capacity(query.len() + 8);
        let campaign_hash = if write_campaign_part(&touch, &mut parts) { hash_of(&parts) } else { 0 };
        parts.push(0x1f);
        let click_part = parts.len();
        let click_hash =
            if write_pairs(touch.click_ids.iter(), &mut parts) { hash_of(&parts[click_part..]) } else { 0 };
        if (campaign_hash, click_hash) == (0, 0) {
            let mut sorted: Vec<_> = touch.parameters.iter().collect();
            sorted.sort_unstable();
            parts.clear();
            write_pairs(sorted.into_iter(), &mut parts);
        }
        if !redact.is_empty() {
            redact_values(&mut touch, redact, redacted);
        }
        Self { touch, parts, campaign_hash, click_hash }
    }

    /// Whether there is neither a campaign nor a click part.
    pub fn is_empty(&self) -> bool {
        self.campaign_hash == 0 && self.click_hash == 0
    }

    /// Whether it says nothing at all: no parameter either.
    pub fn tells_nothing(&self) -> bool {
        self.is_empty() && self.touch.parameters.is_empty()
    }

    /// Whether a part that it has differs from the session's. A part that it lacks counts as equal, so a redirect that
    /// keeps utm and drops a click id brings nothing new.
    pub fn is_new_to(&self, campaign_hash: u32, click_hash: u32) -> bool {
        (self.campaign_hash != 0 && self.campaign_hash != campaign_hash)
            || (self.click_hash != 0 && self.click_hash != click_hash)
    }

    /// The values in which an e-mail address could be. Campaigns of mailings carry some.
    fn values_with_at(&mut self) -> impl Iterator<Item = &mut Cow<'a, str>> {
        let touch = &mut self.touch;
        let others = touch.parameters.iter_mut().chain(&mut touch.click_ids).map(|(_, value)| value);
        [
            &mut touch.source,
            &mut touch.medium,
            &mut touch.campaign,
            &mut touch.content,
            &mut touch.term,
            &mut touch.id,
        ]
        .into_iter()
        .flatten()
        .chain(others)
        .filter(|value| memchr::memchr2(b'@', b'%', value.as_bytes()).is_some())
    }

    /// The touch that this evidence, or parameters alone, and a referrer make; none when there is none of them. Its values
    /// name nobody by an e-mail address; its id and the hashes are of the values as they came.
    pub fn touch(mut self, referrer: Option<Referrer<'a>>) -> Option<Touch<'a>> {
        let told = match &referrer {
            Some(referrer) if self.is_empty() => referrer.host.as_bytes(),
            None if self.tells_nothing() => return None,
            _ => &self.parts,
        };
        let digest = Sha256::digest(told);
        self.touch.evidence = digest.iter().take(8).fold(0, |id, byte| (id << 8) | i64::from(*byte));
        self.touch.referrer = referrer.map(Referrer::masked);
        for value in self.values_with_at() {
            *value = mask::emails(std::mem::take(value));
        }
        Some(self.touch)
    }
}

/// As much of a touch as tells its source and medium, for who denies being known: names of click ids without their
/// values, and the referrer's host.
pub(super) fn nameless(touch: Touch<'_>) -> Touch<'_> {
    let names =
        touch.click_ids.into_iter().chain(touch.parameters).map(|(name, _)| (name, Cow::Borrowed("")));
    let host = touch.referrer.as_deref().and_then(|url| {
        let (scheme, rest) = url.split_once("://")?;
        Some(format!("{scheme}://{}/", rest.split('/').next()?))
    });
    Touch {
        source: touch.source,
        medium: touch.medium,
        click_ids: names.collect(),
        referrer: host.map(Cow::Owned),
        ..Touch::default()
    }
}

/// Schemes of pages, and of apps, which are named by what stands where a host does.
const SCHEMES: [&str; 4] = ["https", "http", "android-app", "ios-app"];

/// An external referrer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Referrer<'a> {
    /// Its host in lower case.
    pub host: Cow<'a, str>,
    /// Scheme, host and path, without query and fragment.
    pub url: Cow<'a, str>,
}

impl<'a> Referrer<'a> {
    /// Reads a `Referer` value; none unless it has the scheme of pages or apps, and a host. The path may be any bytes.
    pub fn read(value: &'a [u8]) -> Option<Self> {
        match std::str::from_utf8(value) {
            Ok(text) => Self::of_text(text),
            Err(_) => {
                let text = String::from_utf8_lossy(value);
                let Referrer { host, url } = Referrer::of_text(&text)?;
                Some(Self { host: Cow::Owned(host.into_owned()), url: Cow::Owned(url.into_owned()) })
            }
        }
    }

    fn of_text(text: &'a str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        if !SCHEMES.iter().any(|known| scheme.eq_ignore_ascii_case(known)) {
            return None;
        }
        let end = rest.find(['?', '#']).unwrap_or(rest.len());
        let rest = &rest[..end];
        let authority = rest.split('/').next().unwrap_or_default();
        let host = super::host::host_of(authority.rsplit('@').next().unwrap_or_default());
        let is_odd = |c: char| c.is_control() || c.is_whitespace() || c == char::REPLACEMENT_CHARACTER;
        if host.is_empty() || host.contains(is_odd) {
            return None;
        }
        let url = if authority.contains('@') {
            Cow::Owned(format!("{scheme}://{host}{}", &rest[authority.len()..]))
        } else {
            Cow::Borrowed(&text[..scheme.len() + 3 + end])
        };
        Some(Self { host, url: cap_chars(url, 2 * VALUE_CHARS).0 })
    }
}

impl<'a> Referrer<'a> {
    /// Its address, tokens in the path masked.
    fn masked(self) -> Cow<'a, str> {
        let path = self.url.find("://").and_then(|at| Some(at + 3 + self.url[at + 3..].find('/')?));
        match path.map(|path| (path, mask::path(&self.url[path..]))) {
            Some((path, Cow::Owned(masked))) => Cow::Owned([&self.url[..path], &masked].concat()),
            _ => self.url,
        }
    }
}

fn utm_field(name: &[u8]) -> Option<UtmField> {
    Some(match name.strip_prefix(b"utm_")? {
        b"source" => UtmField::Source,
        b"medium" => UtmField::Medium,
        b"campaign" => UtmField::Campaign,
        b"content" => UtmField::Content,
        b"term" => UtmField::Term,
        b"id" => UtmField::Id,
        _ => return None,
    })
}

/// A field is redacted by its own name, and by the name that stood for it.
fn redact_values(touch: &mut Touch<'_>, redact: &NamePatterns, by_other_name: [bool; UtmField::NAMES.len()]) {
    let fields = [
        (UtmField::Source, &mut touch.source),
        (UtmField::Medium, &mut touch.medium),
        (UtmField::Campaign, &mut touch.campaign),
        (UtmField::Content, &mut touch.content),
        (UtmField::Term, &mut touch.term),
        (UtmField::Id, &mut touch.id),
    ];
    for (field, value) in fields {
        let is_named =
            UtmField::NAMES.iter().any(|(name, known)| *known == field && redact.matches(name.as_bytes()));
        if let Some(value) = value.as_mut().filter(|_| is_named || by_other_name[field as usize]) {
            *value = Cow::Borrowed(REDACTED);
        }
    }
    for (name, value) in touch.parameters.iter_mut().chain(&mut touch.click_ids) {
        if redact.matches(name.as_bytes()) {
            *value = Cow::Borrowed(REDACTED);
        }
    }
}

/// Of the names of a field the one of the least rank counts, wherever it stands. Says whether the value is taken.
fn read_field<'a>(
    field: UtmField,
    rank: u8,
    raw: &'a [u8],
    ranks: &mut [u8; UtmField::NAMES.len()],
    touch: &mut Touch<'a>,
) -> bool {
    let known = &mut ranks[field as usize];
    if rank > *known {
        return false;
    }
    let slot = match field {
        UtmField::Source => &mut touch.source,
        UtmField::Medium => &mut touch.medium,
        UtmField::Campaign => &mut touch.campaign,
        UtmField::Content => &mut touch.content,
        UtmField::Term => &mut touch.term,
        UtmField::Id => &mut touch.id,
    };
    let (value, flags) = clean(raw);
    let is_first = slot.is_none() || rank < *known;
    match slot {
        _ if value.is_empty() => return false,
        _ if is_first => {
            *slot = Some(value);
            *known = rank;
        }
        Some(first) if *first != value => touch.flags |= touch_flags::REPEATED,
        _ => {}
    }
    touch.flags |= flags;
    is_first
}

fn read_other<'a>(parameter: &Parameter, raw: &'a [u8], keeps_personal: bool, touch: &mut Touch<'a>) {
    let is_dropped = parameter.kind == Kind::Sign || (parameter.is_personal && !keeps_personal);
    let (list, (value, flags)) = match parameter.kind {
        Kind::Beside => (&mut touch.parameters, clean(raw)),
        _ => (&mut touch.click_ids, verbatim(raw)),
    };
    if value.is_empty() {
        return;
    }
    let (value, flags) = if is_dropped { (Cow::Borrowed(""), 0) } else { (value, flags) };
    match list.iter().find(|(known, _)| *known == parameter.name) {
        Some((_, first)) if *first != value => touch.flags |= touch_flags::REPEATED,
        Some(_) => {}
        None => list.push((parameter.name.clone(), value)),
    }
    touch.flags |= flags;
}

/// A value decoded once, in NFC, without control characters, trimmed, capped; and what was odd about it.
pub fn clean(raw: &[u8]) -> (Cow<'_, str>, u32) {
    if is_plain(raw)
        && let Ok(text) = std::str::from_utf8(raw)
    {
        let (text, is_cut) = cap_chars(Cow::Borrowed(text.trim()), VALUE_CHARS);
        return if is_cut { (trim(text), touch_flags::TRUNCATED) } else { (text, 0) };
    }
    let (text, flags) = text_of(decode_value(raw));
    let text = if is_nfc_quick(text.chars()) == IsNormalized::Yes && !text.contains(char::is_control) {
        text
    } else {
        Cow::Owned(text.nfc().filter(|char| !char.is_control()).collect())
    };
    match cap_chars(trim(text), VALUE_CHARS) {
        (text, false) => (text, flags),
        // The cut may have bared a space.
        (text, true) => (trim(text), flags | touch_flags::TRUNCATED),
    }
}

/// A text that is decoded, as [`clean`] leaves one.
pub(super) fn tidy(text: String) -> String {
    let text = if is_nfc_quick(text.chars()) == IsNormalized::Yes && !text.contains(char::is_control) {
        Cow::Owned(text)
    } else {
        Cow::Owned(text.nfc().filter(|char| !char.is_control()).collect())
    };
    trim(cap_chars(trim(text), VALUE_CHARS).0).into_owned()
}

/// A click id: decoded once, otherwise as it came, up to its cap.
fn verbatim(raw: &[u8]) -> (Cow<'_, str>, u32) {
    if is_plain(raw)
        && raw.len() <= CLICK_ID_BYTES
        && let Ok(text) = std::str::from_utf8(raw)
    {
        return (Cow::Borrowed(text), 0);
    }
    let (mut text, mut flags) = text_of(decode_value(raw));
    if text.contains(char::is_control) {
        text = Cow::Owned(text.chars().filter(|char| !char.is_control()).collect());
    }
    if text.len() > CLICK_ID_BYTES {
        let end = text.floor_char_boundary(CLICK_ID_BYTES);
        text = Cow::Owned(text[..end].to_owned());
        flags |= touch_flags::CLICK_ID_CUT;
    }
    (text, flags)
}

/// Whether a value stands for itself, as most do: visible ASCII and spaces, nothing encoded. Without an early end, so that
/// it becomes vector instructions.
fn is_plain(raw: &[u8]) -> bool {
    raw.iter().fold(true, |plain, byte| plain & matches!(byte, b' '..=b'~') & !matches!(byte, b'%' | b'+'))
}

fn text_of(bytes: Cow<'_, [u8]>) -> (Cow<'_, str>, u32) {
    let text = match bytes {
        Cow::Borrowed(bytes) => String::from_utf8_lossy(bytes),
        Cow::Owned(bytes) => match String::from_utf8(bytes) {
            Ok(text) => Cow::Owned(text),
            Err(error) => {
                return (
                    Cow::Owned(String::from_utf8_lossy(error.as_bytes()).into_owned()),
                    touch_flags::INVALID_UTF8,
                );
            }
        },
    };
    let flags = if text.contains(char::REPLACEMENT_CHARACTER) { touch_flags::INVALID_UTF8 } else { 0 };
    (text, flags)
}

fn trim(text: Cow<'_, str>) -> Cow<'_, str> {
    match text {
        Cow::Borrowed(text) => Cow::Borrowed(text.trim()),
        Cow::Owned(text) if text.trim().len() == text.len() => Cow::Owned(text),
        Cow::Owned(text) => Cow::Owned(text.trim().to_owned()),
    }
}

/// The first `most` characters, and whether there were more.
pub(super) fn cap_chars(text: Cow<'_, str>, most: usize) -> (Cow<'_, str>, bool) {
    if text.len() <= most {
        return (text, false);
    }
    match text.char_indices().nth(most) {
        None => (text, false),
        Some((end, _)) => (
            match text {
                Cow::Borrowed(text) => Cow::Borrowed(&text[..end]),
                Cow::Owned(text) => Cow::Owned(text[..end].to_owned()),
            },
            true,
        ),
    }
}

/// Appends the campaign part; nothing, and false, when there is none.
fn write_campaign_part(touch: &Touch<'_>, out: &mut Vec<u8>) -> bool {
    let fields = [&touch.source, &touch.medium, &touch.campaign, &touch.content, &touch.term, &touch.id];
    if fields.iter().all(|field| field.is_none()) {
        return false;
    }
    for (index, field) in fields.iter().enumerate() {
        if index > 0 {
            out.push(0x1f);
        }
        let Some(text) = field else { continue };
        if text.is_ascii() {
            let start = out.len();
            out.extend_from_slice(text.as_bytes());
            out[start..].make_ascii_lowercase();
        } else {
            out.extend_from_slice(text.to_lowercase().as_bytes());
        }
    }
    true
}

/// Appends the click part, or that of parameters; nothing, and false, when there is none.
fn write_pairs<'t>(
    pairs: impl ExactSizeIterator<Item = &'t (Cow<'t, str>, Cow<'t, str>)>,
    out: &mut Vec<u8>,
) -> bool {
    let is_there = pairs.len() > 0;
    for (index, (name, value)) in pairs.enumerate() {
        if index > 0 {
            out.push(0x1e);
        }
        out.extend_from_slice(name.as_bytes());
        out.push(b'=');
        out.extend_from_slice(value.as_bytes());
    }
    is_there
}

fn hash_of(part: &[u8]) -> u32 {
    Sha256::digest(part).iter().take(4).fold(0, |hash, byte| (hash << 8) | u32::from(*byte)).max(1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(query: &[u8]) -> Evidence<'_> {
        Evidence::read(query, &Registry::new(), &NamePatterns::default(), true)
    }

    #[test]
    fn values_are_decoded_once_trimmed_and_normalised() {
        for (raw, expected) in [
            ("Autumn%20Sale+2026", "Autumn Sale 2026"),
            ("%D0%BE%D1%81%D1%96%D0%BD%D1%8C", "осінь"),
            ("100%25", "100%"),
            ("%2541", "%41"),
            ("a%zzb%", "a%zzb%"),
            ("+x+", "x"),
            ("e%CC%81", "é"),
            ("a%00b%0A", "ab"),
            ("{{campaign.name}}", "{{campaign.name}}"),
        ] {
            assert_eq!(clean(raw.as_bytes()).0, expected);
        }
    }

    #[test]
    fn first_non_empty_value_wins_and_repetition_is_flagged() {
        let evidence = read(b"utm_source=&UTM_Source=a&utm_source=b&utm_medium=m&utm_medium=m");
        assert_eq!(evidence.touch.source.as_deref(), Some("a"));
        assert_eq!(evidence.touch.flags, touch_flags::REPEATED);
        assert_eq!(read(b"utm_source=&utm_medium=%20").campaign_hash, 0);
    }

    #[test]
    fn long_values_are_cut_and_flagged() {
        let long = "я".repeat(600);
        let query = format!("utm_source={long}&fbclid={long}{long}{long}{long}");
        let evidence = read(query.as_bytes());
        assert_eq!(evidence.touch.source.as_ref().unwrap().chars().count(), 512);
        assert_eq!(evidence.touch.click_ids[0].1.len(), 4096);
        assert_eq!(evidence.touch.flags, touch_flags::TRUNCATED | touch_flags::CLICK_ID_CUT);
        let spaced = format!("{} end", "x".repeat(511));
        assert_eq!(clean(spaced.as_bytes()), ("x".repeat(511).into(), touch_flags::TRUNCATED));
    }

    #[test]
    fn click_ids_keep_their_case_and_names_do_not() {
        let evidence = read(b"FbClId=IwAR0_aB-c&gclid=Q&aid=1&paid=2");
        assert_eq!(
            evidence.touch.click_ids,
            [("fbclid".into(), "IwAR0_aB-c".into()), ("gclid".into(), "Q".into())]
        );
    }

    #[test]
    fn hashes_have_the_documented_vectors() {
        let evidence =
            read(b"utm_source=Facebook&utm_medium=paid_social&utm_campaign=Autumn&gclid=G&fbclid=AbC");
        let sha = |text: &str| Sha256::digest(text.as_bytes()).to_vec();
        let campaign = "facebook\u{1f}paid_social\u{1f}autumn\u{1f}\u{1f}\u{1f}";
        let click = "fbclid=AbC\u{1e}gclid=G";
        assert_eq!(evidence.campaign_hash.to_be_bytes(), sha(campaign)[..4]);
        assert_eq!(evidence.click_hash.to_be_bytes(), sha(click)[..4]);
        assert_eq!((evidence.campaign_hash, evidence.click_hash), (0xc29c_8fd9, 0x4f46_df93));
        let from_google =
            Evidence::default().touch(Referrer::read(b"https://www.Google.com/search?q=1")).unwrap();
        assert_eq!(from_google.evidence, 0x1913_47bf_e55d_0ca9);
        let touch = evidence.touch(None).unwrap();
        assert_eq!(touch.evidence, 0x51a4_f815_7710_921d);
        assert_eq!(touch.evidence.to_be_bytes(), sha(&format!("{campaign}\u{1f}{click}"))[..8]);
    }

    #[test]
    fn parameters_alone_make_a_touch_of_their_own_id() {
        let touch = |query: &'static str| read(query.as_bytes()).touch(None);
        let told = touch("gad_source=1&page=2&gad_campaignid=22").unwrap();
        let hash = Sha256::digest("gad_campaignid=22\u{1e}gad_source=1").to_vec();
        assert_eq!(told.evidence.to_be_bytes(), hash[..8]);
        assert_eq!(told.evidence.cast_unsigned(), 0x5e8a_97b6_d6f0_a9bd);
        assert_eq!(touch("gad_campaignid=22&gad_source=1").unwrap().evidence, told.evidence);
        let evidence = read(b"gad_source=1");
        assert!(evidence.is_empty() && !evidence.tells_nothing() && !evidence.is_new_to(1, 1));
        assert_eq!(touch("page=2&gad_source="), None);
        let google = Referrer::read(b"https://www.google.com/");
        assert_eq!(
            evidence.touch(google).unwrap().evidence,
            0x1913_47bf_e55d_0ca9,
            "the referrer counts first"
        );
    }

    #[test]
    fn other_names_stand_for_utm_parameters_in_their_order() {
        let evidence = read(b"pk_source=pk&mtm_source=mtm&mtm_kwd=boots&piwik_campaign=p&utm_name=name");
        assert_eq!(evidence.touch.source.as_deref(), Some("mtm"));
        assert_eq!(evidence.touch.term.as_deref(), Some("boots"));
        assert_eq!((evidence.touch.campaign.as_deref(), evidence.touch.flags), (Some("name"), 0));
        for query in [&b"utm_source=u&mtm_source=m"[..], b"mtm_source=m&utm_source=u&utm_source=u"] {
            assert_eq!(read(query).touch.source.as_deref(), Some("u"));
            assert_eq!(read(query).campaign_hash, read(b"utm_source=u").campaign_hash);
        }
        assert_eq!(read(b"utm_source=&mtm_source=m").touch.source.as_deref(), Some("m"));
    }

    #[test]
    fn what_is_personal_is_a_name_without_a_value_where_it_is_not_kept() {
        let query = b"utm_source=a&gclid=G&srsltid=S&mkt_tok=T&gad_source=1";
        let nameless = Evidence::read(query, &Registry::new(), &NamePatterns::default(), false);
        let pair = |name: &'static str, value: &'static str| (Cow::Borrowed(name), Cow::Borrowed(value));
        assert_eq!(nameless.touch.click_ids, [pair("gclid", ""), pair("mkt_tok", ""), pair("srsltid", "S")]);
        let kept = read(query);
        assert_eq!(kept.touch.click_ids, [pair("gclid", "G"), pair("mkt_tok", ""), pair("srsltid", "S")]);
        assert_eq!(kept.touch.parameters, [pair("gad_source", "1")]);
        assert_eq!(read(b"mkt_tok=").touch.click_ids, []);
    }

    #[test]
    fn a_part_that_is_missing_is_no_new_evidence() {
        let both = read(b"utm_source=a&fbclid=x");
        let (campaign, click) = (both.campaign_hash, both.click_hash);
        assert!(!both.is_new_to(campaign, click));
        assert!(!read(b"utm_source=A").is_new_to(campaign, click));
        assert!(!read(b"fbclid=x").is_new_to(campaign, click));
        assert!(read(b"utm_source=a&fbclid=X").is_new_to(campaign, click));
        assert!(read(b"utm_source=b").is_new_to(campaign, click));
        assert!(read(b"gclid=x").is_new_to(campaign, 0));
    }

    #[test]
    fn referrers_lose_query_and_credentials() {
        let read = |text: &'static str| {
            Referrer::read(text.as_bytes()).map(|r| (r.host.into_owned(), r.url.into_owned()))
        };
        let some = |host: &str, url: &str| Some((host.to_owned(), url.to_owned()));
        assert_eq!(
            read("https://l.Facebook.com/l.php?u=x#y"),
            some("l.facebook.com", "https://l.Facebook.com/l.php")
        );
        assert_eq!(read("https://user:pw@a.example:8443/p"), some("a.example", "https://a.example/p"));
        assert_eq!(
            read("android-app://com.google.android.gm/"),
            some("com.google.android.gm", "android-app://com.google.android.gm/")
        );
        assert_eq!(read("about:blank"), None);
        for none in [
            "https:///x",
            "file:///C:/x",
            "chrome-extension://abc/x",
            "ftp://a.example/",
            "https://a\tb.example/x",
            "://a",
        ] {
            assert_eq!(read(none), None, "{none}");
        }
        let odd = Referrer::read(b"HTTPS://www.google.com/\xe9?q").unwrap();
        assert_eq!((&*odd.host, &*odd.url), ("www.google.com", "HTTPS://www.google.com/\u{fffd}"));
        assert_eq!(Referrer::read(b"https://goo\xe9gle.com/"), None);
    }

    #[test]
    fn touches_name_nobody() {
        let touch = |query: &'static str, referrer: &'static str| {
            read(query.as_bytes()).touch(Referrer::read(referrer.as_bytes())).unwrap()
        };
        let mailed = touch(
            "utm_source=anna%40example.com&utm_term=a+b%40c.ua",
            "https://mail.example/m/4ab1f0a6dc5d1ad5bd0d",
        );
        assert_eq!(mailed.source.as_deref(), Some("{email}"));
        assert_eq!(mailed.term.as_deref(), Some("a {email}"));
        assert_eq!(mailed.referrer.as_deref(), Some("https://mail.example/m/{token}"));
        let other =
            touch("utm_source=bob%40example.com&utm_term=a+b%40c.ua", "https://4ab1f0a6dc5d1ad5bd0d.example");
        assert_ne!(mailed.evidence, other.evidence, "whose mails they are is still told apart");
        assert_eq!(
            other.referrer.as_deref(),
            Some("https://4ab1f0a6dc5d1ad5bd0d.example"),
            "hosts are no tokens"
        );
    }

    proptest! {
        #[test]
        fn no_query_is_an_error(query in proptest::collection::vec(any::<u8>(), 0..300)) {
            let query = [b"utm_source=".as_slice(), &query, b"&fbclid=", &query].concat();
            let evidence = read(&query);
            if let Some(touch) = evidence.touch(None) {
                let stored = touch.source.iter().chain(touch.click_ids.iter().map(|(_, value)| value));
                for value in stored {
                    prop_assert!(!value.is_empty() && !value.contains(char::is_control));
                }
            }
        }
    }
}

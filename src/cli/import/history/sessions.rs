//! Rows of `storefront_utmsession`: each is a session that begins at `first_seen`, with its visitor, touch and agent.
//!
//! Rule: ids follow from the row alone, so that a session is the same one whenever, and with whatever else, it is imported.

use std::collections::{BTreeMap, HashMap};
use std::net::IpAddr;

use anyhow::Context;
use jiff::Timestamp;
use serde_json::{Map, json};
use sha2::{Digest, Sha256};
use uuid::{Builder, Uuid};

use super::Terms;
use super::dump::{Dump, Row};
use crate::capture::bot::{self, Signs};
use crate::capture::mask;
use crate::hit::{Hit, Identity, IdentityMode, Place, Record, Touch};
use crate::stats::action_item;

const HOUR_MS: u64 = 3_600_000;
/// Most letters of a user agent, as hits have it.
const AGENT_LETTERS: usize = 512;
/// Columns that are parameters of a landing.
const PARAMETERS: [&str; 8] =
    ["utm_source", "utm_medium", "utm_campaign", "utm_content", "utm_term", "fbclid", "gclid", "ttclid"];
const COOKIES: [(&str, &str); 2] = [("fbc", "_fbc"), ("fbp", "_fbp")];

/// A session of the original's.
#[derive(Debug)]
pub(super) struct Past {
    pub(super) line: u64,
    /// The line is of the orders.
    pub(super) is_of_order: bool,
    pub(super) at_ms: u64,
    pub(super) identity: Identity,
    hit: Hit<'static>,
    registered_ms: Option<u64>,
    /// Why it is not taken.
    pub(super) refusal: Option<String>,
    /// When something was done in it.
    pub(super) activity: Vec<u64>,
}

/// All sessions of the file, by the original's id.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    pub(super) by_id: BTreeMap<String, Past>,
    /// By visitor: when a session began, and the original's id.
    by_visitor: HashMap<Uuid, Vec<(u64, String)>>,
}

impl Sessions {
    pub(super) fn read(dump: &mut Dump, terms: &Terms<'_>) -> Sessions {
        let mut sessions = Sessions::default();
        let mut refused = Vec::new();
        for row in dump.rows() {
            if let Err(reason) = sessions.add(&row, terms) {
                refused.push((row.line, reason));
            }
        }
        dump.refused.extend(refused);
        sessions.number();
        sessions
    }

    fn add(&mut self, row: &Row<'_>, terms: &Terms<'_>) -> Result<(), String> {
        let (id, at_ms) = (row.need("id")?, row.need_time("first_seen", terms.now)?);
        if let Some(known) = self.by_id.get(id) {
            return Err(format!("line {} has this id already", known.line));
        }
        let visitor = row.text("visitor_id");
        let identity = identity(terms.site, id, visitor, at_ms);
        let address = row.text("ip_address").map(str::parse::<IpAddr>).transpose();
        let address = address.map_err(|_| "ip_address: it is no address")?;
        let mut hit = landing(terms, at_ms, identity, row.text("landing_page"));
        hit.touch = touch(row, terms);
        hit.client_address = address.filter(|_| terms.stores_address());
        hit.user_agent =
            row.text("user_agent").unwrap_or_default().chars().take(AGENT_LETTERS).collect::<String>().into();
        if !hit.user_agent.is_empty() {
            let person = Signs { accept_language: true, sec_fetch: true, ..Signs::default() };
            let verdict = bot::judge(hit.user_agent.as_bytes(), hit.path.as_bytes(), person);
            (hit.bot_score, hit.bot_reasons) = (verdict.score, verdict.reasons);
            hit.bot_rules = bot::RULES_VERSION;
        }
        let cookies = COOKIES.iter().filter(|_| terms.rules.keeps_personal());
        let cookies = cookies.filter_map(|(name, cookie)| Some((*cookie, row.text(name)?)));
        hit.cookies = cookies.map(|(name, value)| (name.into(), value.to_owned().into())).collect();
        hit.place = place(row);
        let registered_ms = row.time("user_registered_at", terms.now)?;
        self.by_visitor.entry(identity.visitor_id).or_default().push((at_ms, id.to_owned()));
        let activity = vec![at_ms];
        let past = Past {
            line: row.line,
            is_of_order: false,
            at_ms,
            identity,
            hit,
            registered_ms,
            refusal: None,
            activity,
        };
        self.by_id.insert(id.to_owned(), past);
        Ok(())
    }

    /// A visitor's sessions are counted by the time of their beginning.
    fn number(&mut self) {
        for sessions in self.by_visitor.values_mut() {
            sessions.sort();
            for (before, (_, id)) in sessions.iter().enumerate() {
                if let Some(past) = self.by_id.get_mut(id) {
                    past.identity.session_number = u16::try_from(before + 1).unwrap_or(u16::MAX);
                    past.hit.identity = Some(past.identity);
                }
            }
        }
    }

    /// The session that a visitor, as the original knew them, had begun last.
    pub(super) fn latest_of(&self, site: &str, visitor: &str, at_ms: u64) -> Option<&str> {
        let sessions = self.by_visitor.get(&visitor_id(site, visitor))?;
        sessions.iter().rev().find(|(began, _)| *began <= at_ms).map(|(_, id)| id.as_str())
    }

    /// Adds what the order alone tells of: a visit in which it was placed, and what had brought it.
    pub(super) fn add_order(
        &mut self,
        order_id: &str,
        row: &Row<'_>,
        at_ms: u64,
        terms: &Terms<'_>,
    ) -> Option<Uuid> {
        let touch = touch(row, terms)?;
        let name = name_of_order(order_id);
        let identity = identity(terms.site, &name, None, at_ms);
        let hit = Hit { touch: Some(touch), ..landing(terms, at_ms, identity, None) };
        let past = Past {
            line: row.line,
            is_of_order: true,
            at_ms,
            identity,
            hit,
            registered_ms: None,
            refusal: None,
            activity: vec![at_ms],
        };
        self.by_id.insert(name, past);
        Some(identity.session_id)
    }

    /// Takes that back: the order is refused.
    pub(super) fn drop_order(&mut self, order_id: &str) {
        self.by_id.remove(&name_of_order(order_id));
    }

    /// Refuses what the proxy has seen itself, and what is no longer kept.
    pub(super) fn refuse(&mut self, horizon: Option<Timestamp>, terms: &Terms<'_>) {
        for past in self.by_id.values_mut() {
            past.refusal = terms.refusal(past.at_ms, horizon);
        }
    }
}

impl Past {
    /// Its records: the landing, the last thing done before a pause that ends sessions, and the registration.
    pub(super) fn records(&self, id: &str, terms: &Terms<'_>) -> anyhow::Result<Vec<Record<'static>>> {
        let mut activity = self.activity.clone();
        activity.sort_unstable();
        let pause = u64::try_from(terms.pause.as_millis()).unwrap_or(u64::MAX);
        let last = activity
            .into_iter()
            .fold(self.at_ms, |last, at| if at.saturating_sub(last) < pause { last.max(at) } else { last });
        let mut records = vec![Record::Hit(Box::new(self.hit.clone()))];
        if last > self.at_ms {
            let again = Hit { at_ms: last, touch: None, cookies: Vec::new(), ..self.hit.clone() };
            records.push(Record::Hit(Box::new(again)));
        }
        if let Some(at_ms) = self.registered_ms {
            let at = Timestamp::from_millisecond(i64::try_from(at_ms)?)?;
            let item = json!({"site": terms.site, "reference": format!("original session {id}"),
                              "session_id": self.identity.session_id, "at": at.to_string()});
            let item = item.as_object().cloned().unwrap_or_else(Map::new);
            let fact = action_item::fact(&item, "registration", terms.now, &terms.customers);
            let fact = fact.map_err(anyhow::Error::msg);
            records.push(Record::Action(Box::new(fact.context("a registration")?)));
        }
        Ok(records)
    }
}

/// No id of a session.
fn name_of_order(order_id: &str) -> String {
    format!("order {order_id}")
}

/// A visitor whom the original did not know is nobody but who had this session.
fn identity(site: &str, id: &str, visitor: Option<&str>, at_ms: u64) -> Identity {
    let visitor_id =
        visitor.map_or_else(|| id_of(&["session", site, id]), |visitor| visitor_id(site, visitor));
    let mut bytes = *id_of(&["begins", site, id]).as_bytes();
    bytes[..6].copy_from_slice(&(at_ms - at_ms % HOUR_MS).to_be_bytes()[2..]);
    Identity {
        mode: IdentityMode::Imported,
        visitor_id,
        session_id: Builder::from_custom_bytes(bytes).into_uuid(),
        session_number: 1,
        minted_from: None,
    }
}

/// The original's where that is random as it should be.
fn visitor_id(site: &str, visitor: &str) -> Uuid {
    let random = Uuid::parse_str(visitor).ok().filter(|id| id.get_version_num() == 4);
    random.unwrap_or_else(|| id_of(&["visitor", site, visitor]))
}

/// A UUIDv8 of a hash.
fn id_of(parts: &[&str]) -> Uuid {
    let digest = Sha256::digest(format!("original\u{1f}{}", parts.join("\u{1f}")));
    let mut bytes = [0; 16];
    bytes.copy_from_slice(&digest[..16]);
    Builder::from_custom_bytes(bytes).into_uuid()
}

fn landing(terms: &Terms<'_>, at_ms: u64, identity: Identity, page: Option<&str>) -> Hit<'static> {
    let path = page.filter(|page| page.starts_with('/')).unwrap_or("/");
    let path = path.split(['?', '#']).next().unwrap_or_default();
    Hit {
        at_ms,
        site: terms.site.to_owned().into(),
        host: terms.host.to_owned().into(),
        path: mask::path(path).into_owned().into(),
        status: 200,
        identity: Some(identity),
        ..Hit::default()
    }
}

fn touch(row: &Row<'_>, terms: &Terms<'_>) -> Option<Touch<'static>> {
    let mut query = form_urlencoded::Serializer::new(String::new());
    query.extend_pairs(PARAMETERS.iter().filter_map(|name| Some((*name, row.text(name)?))));
    terms.rules.touch_of(&query.finish(), row.text("referrer"), terms.host)
}

fn place(row: &Row<'_>) -> Option<Box<Place>> {
    let text = |name| row.text(name).map(str::to_owned);
    let place = Place {
        country: text("country").filter(|code| code.len() == 2),
        country_name: text("country_name"),
        region: text("region"),
        city: text("city"),
        timezone: text("timezone"),
    };
    (place.country.is_some() || place.timezone.is_some()).then(|| Box::new(place))
}

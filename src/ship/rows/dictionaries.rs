//! Dictionary rows that a batch may have to add, and the ids by which facts name them.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use jiff::civil::Date;
use jiff::tz::TimeZone;

use super::{Enricher, Folding, Rows, json_object};
use crate::hit::{Action, Hit, Place, Touch};
use crate::ship::dictionary::{self, Kind, OVERFLOW};
use crate::ship::enrich::channel::Tagged;
use crate::ship::enrich::sources::host_of;

/// A row that may be new.
#[derive(Debug, Clone)]
pub struct Fresh<T> {
    /// The row.
    pub row: T,
    /// How many hits of the batch name it.
    pub uses: i64,
}

/// Rows that may be new, by id.
#[derive(Debug, Clone, Default)]
#[allow(missing_docs, reason = "named as the tables")]
pub struct Dictionaries {
    pub sites: BTreeMap<i32, String>,
    pub action_kinds: BTreeMap<i32, String>,
    pub campaigns: BTreeMap<i64, Fresh<Campaign>>,
    pub pages: BTreeMap<i64, Fresh<Page>>,
    pub referrers: BTreeMap<i64, Fresh<Referrer>>,
    pub products: BTreeMap<i64, Fresh<Product>>,
    pub agents: BTreeMap<i64, Fresh<AgentText>>,
    pub places: BTreeMap<i64, Fresh<Place>>,
    /// Places of this batch's addresses.
    located: HashMap<IpAddr, Option<i64>>,
}

/// A row of `agents`: what is read from these is filled in later.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "named as the columns")]
pub struct AgentText {
    pub user_agent: String,
    pub client_hints: String,
}

/// A row of `campaigns`; its columns there.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Campaign {
    pub site_id: i32,
    pub source: Option<String>,
    pub medium: Option<String>,
    pub campaign: Option<String>,
    pub content: Option<String>,
    pub term: Option<String>,
    pub utm_id: Option<String>,
    pub parameters: Option<String>,
    pub inferred: Option<&'static str>,
    pub label_source: Option<String>,
    pub channel: &'static str,
    pub labelled_by: i64,
}

/// A row of `pages`; its columns there.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Page {
    pub site_id: i32,
    pub host: String,
    pub path: String,
    pub locale: Option<String>,
}

/// A row of `referrers`; its columns there.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Referrer {
    pub site_id: i32,
    pub host: String,
    pub url: String,
}

/// A row of `products`; its columns there. The greatest name by (named_on, name) wins.
#[derive(Debug, Clone)]
#[allow(missing_docs, reason = "the migration documents the columns")]
pub struct Product {
    pub site_id: i32,
    pub product_id: String,
    pub named: Option<(Date, String)>,
}

impl Dictionaries {
    pub(super) fn site(&mut self, name: &str, enricher: &Enricher) -> i32 {
        let id = dictionary::small_id(Kind::Site, name);
        if !enricher.is_written(Kind::Site, i64::from(id)) {
            self.sites.entry(id).or_insert_with(|| name.to_owned());
        }
        id
    }

    pub(super) fn action_kind(&mut self, name: &str, enricher: &Enricher) {
        let id = dictionary::small_id(Kind::Action, name);
        if !enricher.is_written(Kind::Action, i64::from(id)) {
            self.action_kinds.entry(id).or_insert_with(|| name.to_owned());
        }
    }

    pub(super) fn page(&mut self, site_id: i32, hit: &Hit<'_>, enricher: &Enricher) -> i64 {
        let id = dictionary::id(Kind::Page, &[Some(&hit.site), Some(&hit.host), Some(&hit.path)]);
        if !enricher.is_written(Kind::Page, id) {
            offer(&mut self.pages, id, || Page {
                site_id,
                host: hit.host.clone().into_owned(),
                path: hit.path.clone().into_owned(),
                locale: enricher.locale_of(&hit.path),
            });
        }
        id
    }

    pub(super) fn campaign(
        &mut self,
        site_id: i32,
        site: &str,
        touch: &Touch<'_>,
        enricher: &Enricher,
    ) -> i64 {
        let acquired = enricher.acquisition.of(touch);
        let parameters = json_object(&touch.parameters);
        let fields = [
            Some(site),
            acquired.source.as_deref(),
            acquired.medium.as_deref(),
            touch.campaign.as_deref(),
            touch.content.as_deref(),
            touch.term.as_deref(),
            touch.id.as_deref(),
            parameters.as_deref(),
            acquired.inferred,
        ];
        let id = dictionary::id(Kind::Campaign, &fields);
        if !enricher.is_written(Kind::Campaign, id) {
            let [_, source, medium, campaign, content, term, utm_id, ..] =
                fields.map(|field| field.map(str::to_owned));
            let labeller = enricher.labels.now();
            let labels = labeller.label(Tagged {
                source: source.as_deref(),
                medium: medium.as_deref(),
                campaign: campaign.as_deref(),
                inferred: acquired.inferred,
            });
            offer(&mut self.campaigns, id, || Campaign {
                site_id,
                source,
                medium,
                campaign,
                content,
                term,
                utm_id,
                parameters,
                inferred: acquired.inferred,
                label_source: labels.source,
                channel: labels.channel,
                labelled_by: labeller.fingerprint(),
            });
        }
        id
    }

    pub(super) fn referrer(
        &mut self,
        site_id: i32,
        site: &str,
        touch: &Touch<'_>,
        enricher: &Enricher,
    ) -> Option<i64> {
        let url = touch.referrer.as_deref()?;
        let id = dictionary::id(Kind::Referrer, &[Some(site), Some(url)]);
        if !enricher.is_written(Kind::Referrer, id) {
            offer(&mut self.referrers, id, || Referrer {
                site_id,
                host: host_of(url).unwrap_or_default(),
                url: url.to_owned(),
            });
        }
        Some(id)
    }

    pub(super) fn product(
        &mut self,
        folding: &Folding<'_>,
        action: &Action<'_>,
        enricher: &Enricher,
    ) -> Option<i64> {
        let product_id = action.product_id.as_deref()?;
        let id = dictionary::id(Kind::Product, &[Some(&folding.hit.site), Some(product_id)]);
        let day = TimeZone::UTC.to_datetime(folding.at).date();
        let named = action.product_name.as_deref().map(|name| (day, name.to_owned()));
        let known = match &named {
            None => enricher.is_written(Kind::Product, id),
            Some(named) => enricher.is_written(Kind::Product, name_mark(id, named)),
        };
        if !known {
            offer(&mut self.products, id, || Product {
                site_id: folding.site_id,
                product_id: product_id.to_owned(),
                named: None,
            });
            if let Some(product) = self.products.get_mut(&id) {
                product.row.named = product.row.named.take().max(named);
            }
        }
        Some(id)
    }

    pub(super) fn agent(&mut self, user_agent: &str, client_hints: &str, enricher: &Enricher) -> i64 {
        let id = match client_hints {
            "" => dictionary::id(Kind::Agent, &[Some(user_agent)]),
            hints => dictionary::id(Kind::Agent, &[Some(user_agent), Some(hints)]),
        };
        if !enricher.is_written(Kind::Agent, id) {
            let row =
                || AgentText { user_agent: user_agent.to_owned(), client_hints: client_hints.to_owned() };
            offer(&mut self.agents, id, row);
        }
        id
    }

    pub(super) fn place(&mut self, hit: &Hit<'_>, enricher: &Enricher) -> Option<i64> {
        if let Some(place) = &hit.place {
            return Some(self.place_id(place.as_ref().clone(), enricher));
        }
        let address = hit.client_address?;
        if let Some(known) = self.located.get(&address) {
            return *known;
        }
        let found = enricher.places.look_up(address).map(|place| self.place_id(place, enricher));
        self.located.insert(address, found);
        found
    }

    fn place_id(&mut self, place: Place, enricher: &Enricher) -> i64 {
        let fields = [&place.country, &place.country_name, &place.region, &place.city, &place.timezone];
        let id = dictionary::id(Kind::Place, &fields.map(Option::as_deref));
        if !enricher.is_written(Kind::Place, id) {
            offer(&mut self.places, id, || place);
        }
        id
    }

    /// Everything offered, for the record of what is written.
    pub fn ids(&self) -> impl Iterator<Item = (Kind, i64)> + '_ {
        fn of<T>(kind: Kind, rows: &BTreeMap<i64, T>) -> impl Iterator<Item = (Kind, i64)> + '_ {
            rows.keys().map(move |&id| (kind, id))
        }
        let names = self.products.iter().filter_map(|(&id, product)| {
            product.row.named.as_ref().map(|named| (Kind::Product, name_mark(id, named)))
        });
        let small = |kind| move |&id: &i32| (kind, i64::from(id));
        (self.sites.keys().map(small(Kind::Site)))
            .chain(self.action_kinds.keys().map(small(Kind::Action)))
            .chain(of(Kind::Campaign, &self.campaigns))
            .chain(of(Kind::Page, &self.pages))
            .chain(of(Kind::Referrer, &self.referrers))
            .chain(of(Kind::Product, &self.products))
            .chain(of(Kind::Agent, &self.agents))
            .chain(of(Kind::Place, &self.places))
            .chain(names)
    }
}

/// Stands for "this product has this name or a later one": true for ever once written.
fn name_mark(product_key: i64, (day, name): &(Date, String)) -> i64 {
    dictionary::id(Kind::Product, &[Some(&product_key.to_string()), Some(&day.to_string()), Some(name)])
}

fn offer<T>(rows: &mut BTreeMap<i64, Fresh<T>>, id: i64, row: impl FnOnce() -> T) {
    rows.entry(id).or_insert_with(|| Fresh { row: row(), uses: 0 }).uses += 1;
}

impl Enricher {
    fn is_written(&self, kind: Kind, id: i64) -> bool {
        self.written.lock().unwrap_or_else(std::sync::PoisonError::into_inner).get((kind, id)).is_some()
    }

    fn locale_of(&self, path: &str) -> Option<String> {
        let first = path.strip_prefix('/')?.split('/').next()?;
        self.locale_prefixes.iter().find(|prefix| prefix.as_str() == first).cloned()
    }
}

impl Rows {
    /// Lets the facts point at the overflow row instead of rows that may not be made.
    pub fn overflow(&mut self, refused: &BTreeSet<(Kind, i64)>) {
        let replace = |kind, id: &mut i64| {
            if refused.contains(&(kind, *id)) {
                *id = OVERFLOW;
            }
        };
        let replace_some = |kind, id: &mut Option<i64>| {
            if let Some(id) = id {
                replace(kind, id);
            }
        };
        for session in self.sessions.values_mut() {
            replace(Kind::Page, &mut session.entry.landing_page_id);
            replace(Kind::Agent, &mut session.entry.agent_id);
            replace_some(Kind::Place, &mut session.entry.place_id);
            if let Some(touch) = &mut session.touch {
                replace(Kind::Campaign, &mut touch.campaign_id);
                replace_some(Kind::Referrer, &mut touch.referrer_id);
            }
        }
        for visitor in self.visitors.values_mut() {
            for touch in [&mut visitor.first_touch, &mut visitor.last_touch].into_iter().flatten() {
                replace(Kind::Campaign, &mut touch.campaign_id);
                replace_some(Kind::Referrer, &mut touch.referrer_id);
            }
        }
        for touch in self.touches.values_mut() {
            replace(Kind::Campaign, &mut touch.campaign_id);
            replace(Kind::Page, &mut touch.page_id);
            replace_some(Kind::Referrer, &mut touch.referrer_id);
        }
        for spend in self.spend.values_mut() {
            replace(Kind::Campaign, &mut spend.campaign_id);
        }
        for event in self.events.iter_mut().chain(self.told.values_mut().map(|told| &mut told.event)) {
            replace_some(Kind::Page, &mut event.page_id);
            replace_some(Kind::Product, &mut event.product_key);
        }
        for ((quarter, site, mut campaign), counts) in std::mem::take(&mut self.denied_hits) {
            replace(Kind::Campaign, &mut campaign);
            self.denied_hits.entry((quarter, site, campaign)).or_default().add(counts);
        }
        for ((day, site, mut page, finding), hits) in std::mem::take(&mut self.link_findings) {
            replace(Kind::Page, &mut page);
            *self.link_findings.entry((day, site, page, finding)).or_default() += hits;
        }
        for ((key, mut product, slot), mut view) in std::mem::take(&mut self.product_views) {
            replace(Kind::Product, &mut product);
            replace_some(Kind::Page, &mut view.hit.page_id);
            replace_some(Kind::Product, &mut view.hit.product_key);
            self.merge_product_view((key, product, slot), view);
        }
    }
}

//! The hits of a shop's window of time: who comes, how often, from where, in the order in which a proxy would see them.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use clap::Args;
use serde::Serialize;
use sha2::{Digest, Sha256};
use utm_dispatcher::hit::{Action, Hit, Identity, IdentityMode, Record, Touch, Way};
use uuid::Uuid;

pub(crate) const HOUR_MS: u64 = 3_600_000;
pub(crate) const VIEWS_A_SESSION: u64 = 4;
/// At 500 page views a second a session begins every 8 ms …
const SESSION_MS: u64 = 8;
/// … and 5 to 75 s pass from one page view to the next, 40 on average.
const GAP_MS: std::ops::Range<u64> = 5_000..75_000;

/// What comes on top of the plain mix.
#[derive(Debug, Clone, Copy, Default, Args, Serialize)]
pub(crate) struct Mix {
    /// Marketing cookies in each hit.
    #[arg(long, default_value_t = 0)]
    pub(crate) cookies: u8,
    /// Every fourth page view is of a product.
    #[arg(long)]
    pub(crate) product_views: bool,
    /// Every fiftieth session ends with an order.
    #[arg(long)]
    pub(crate) orders: bool,
}

/// A window of time in which so many sessions begin, from `begin_ms` on, the beginning of an hour.
#[derive(Debug)]
pub(crate) struct Window<'a> {
    pub(crate) begin_ms: u64,
    pub(crate) sessions: u64,
    pub(crate) mix: Mix,
    /// Who has been there before.
    pub(crate) known: &'a [Uuid],
}

impl Window<'_> {
    /// The beginning of the first hour behind it.
    pub(crate) fn end_ms(&self) -> u64 {
        let last = self.begin_ms + self.sessions * SESSION_MS + VIEWS_A_SESSION * GAP_MS.end;
        last.next_multiple_of(HOUR_MS)
    }

    /// Its hits by time.
    pub(crate) fn hits(&self) -> impl Iterator<Item = Record<'static>> + '_ {
        let mut begun = 0;
        let mut next_views: BinaryHeap<Reverse<(u64, u64, u64)>> = BinaryHeap::new();
        std::iter::from_fn(move || {
            let begin_ms = self.begin_ms + begun * SESSION_MS;
            if begun < self.sessions
                && next_views.peek().is_none_or(|Reverse((at_ms, ..))| *at_ms >= begin_ms)
            {
                next_views.push(Reverse((begin_ms, begun, 0)));
                begun += 1;
            }
            let Reverse((at_ms, session, step)) = next_views.pop()?;
            if step + 1 < VIEWS_A_SESSION {
                next_views.push(Reverse((at_ms + self.gap_ms(session, step), session, step + 1)));
            }
            Some(self.hit(session, step, at_ms))
        })
    }

    /// How long somebody looks at the page of a step.
    fn gap_ms(&self, session: u64, step: u64) -> u64 {
        let [a, b, ..] = self.random("gap", session * VIEWS_A_SESSION + step);
        GAP_MS.start + (GAP_MS.end - GAP_MS.start) * u64::from(u16::from_be_bytes([a, b])) / (1 << 16)
    }

    /// The `step`th page view of a session.
    pub(crate) fn hit(&self, session: u64, step: u64, at_ms: u64) -> Record<'static> {
        let begun_ms = at_ms - (0..step).map(|step| self.gap_ms(session, step)).sum::<u64>();
        let random = self.random("session", session);
        let mut session_id = random;
        session_id[..6].copy_from_slice(&(begun_ms - begun_ms % HOUR_MS).to_be_bytes()[2..]);
        let is_tagged = session % 10 < 3;
        let [a, b, c, d, e, f, g, h, ..] = random;
        let evidence = i64::from_be_bytes([a, b, c, d, e, f, g, h]);
        Record::Hit(Box::new(Hit {
            at_ms,
            site: "default".into(),
            host: "shop.example".into(),
            path: format!("/product/{}/", (session * 7 + step * 13) % 2_000).into(),
            status: 200,
            page_view: true,
            identity: Some(Identity {
                mode: IdentityMode::Cookie,
                visitor_id: self.visitor(session, begun_ms),
                session_id: Uuid::from_bytes(session_id),
                session_number: if session % 13 < 10 { 1 } else { 2 },
                minted_from: None,
            }),
            touch: (step == 0 && is_tagged).then(|| touch(session, evidence)),
            client_address: Some([203, 0, (session % 250) as u8, 9].into()),
            user_agent: format!(
                "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) \
                 Chrome/{}.0.0.0 Safari/537.36",
                session % 200
            )
            .into(),
            cookies: (0..self.mix.cookies)
                .map(|number| (format!("_c{number}").into(), format!("fb.1.1795341600000.{session}").into()))
                .collect(),
            actions: self.actions(session, step),
            ..Hit::default()
        }))
    }

    /// Ten of thirteen sessions are of somebody new.
    fn visitor(&self, session: u64, begun_ms: u64) -> Uuid {
        if session % 13 >= 10 && !self.known.is_empty() {
            let index = usize::try_from(session).unwrap_or_default() % self.known.len();
            return self.known[index];
        }
        let mut id = self.random("visitor", session);
        id[..6].copy_from_slice(&begun_ms.to_be_bytes()[2..]);
        Uuid::from_bytes(id)
    }

    fn actions(&self, session: u64, step: u64) -> Vec<Action<'static>> {
        let mut actions = Vec::new();
        if self.mix.product_views && step == 1 {
            let product = Some((session % 500).to_string().into());
            actions.push(Action { product_id: product, ..action("product_view") });
        }
        if self.mix.orders && step == VIEWS_A_SESSION - 1 && session.is_multiple_of(50) {
            let order = Some(format!("{}-{session}", self.begin_ms / HOUR_MS).into());
            actions.push(Action { order_id: order, value: Some(1499.into()), ..action("purchase") });
        }
        actions
    }

    fn random(&self, of: &str, number: u64) -> [u8; 16] {
        let digest = Sha256::digest(format!("{of} {} {number}", self.begin_ms));
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        bytes
    }
}

fn touch(session: u64, evidence: i64) -> Touch<'static> {
    Touch {
        evidence,
        source: Some(["google", "facebook", "tiktok"][(session % 3) as usize].into()),
        medium: Some("cpc".into()),
        campaign: Some(format!("campaign-{}", session % 50).into()),
        click_ids: vec![("gclid".into(), format!("EAIaIQobChMI{session:048}").into())],
        ..Touch::default()
    }
}

fn action(kind: &'static str) -> Action<'static> {
    Action::new(kind, Way::Header)
}

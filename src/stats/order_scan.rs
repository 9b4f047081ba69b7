//! Orders, read column by column as `scan.rs` reads sessions: days as they are packed (`migrations/V31__order_columns.sql`), and those
//! with a mark from the orders themselves. Here is said which of them a report is about, and which of the touches that earned them.

use std::pin::pin;

use futures_util::TryStreamExt;
use jiff::{SignedDuration, Timestamp};
use tokio_postgres::types::Type;

use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::groups::{GroupKey, keys};
use crate::stats::scan::Choices;
use crate::stats::scope::{Money, Scope};
use crate::store::columns::{Id, day_of};
use crate::store::order_columns::{
    Bought, IDS, MODELS, ORDER_ROWS, OrderId, Orders, POSITION_ROWS, PURCHASE_ROWS, SESSION_STARTS,
    are_of_positions, flags, models,
};

/// An order, in millionths, as all that counts orders.
pub(crate) const WHOLE: i64 = 1_000_000;
/// Days with a mark that are asked for at a time, and when what was bought on them is kept meanwhile.
const DAYS_AT_ONCE: usize = 31;
const DAYS_BOUGHT_AT_ONCE: usize = 7;
/// Microseconds.
const HOUR: i64 = 3_600_000_000;
/// What orders are filtered by beside their touches.
const FILTERS: [(OrderId, Id); 3] =
    [(OrderId::Site, Id::Site), (OrderId::Agent, Id::Agent), (OrderId::Place, Id::Place)];

/// What earned an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Label {
    Untracked,
    Direct,
    Campaign(i64),
}

impl Label {
    /// As sessions have it, of which something is always known.
    pub(crate) fn of_sessions(self) -> Option<Option<i64>> {
        match self {
            Label::Untracked => None,
            Label::Direct => Some(None),
            Label::Campaign(id) => Some(Some(id)),
        }
    }

    /// Their groups.
    pub(crate) async fn keys(
        labels: &[Label],
        snapshot: &Snapshot,
        dimension: &str,
    ) -> Result<Vec<GroupKey>, DatabaseError> {
        let ids: Vec<Option<i64>> = labels.iter().map(|label| label.of_sessions().flatten()).collect();
        let are_known: Vec<bool> = labels.iter().map(|label| *label != Label::Untracked).collect();
        keys(snapshot, dimension, &ids, &are_known).await
    }
}

/// The orders of a UTC day, by time: of one time by site and id.
pub(crate) struct Day {
    pub(crate) orders: Orders,
    day: Timestamp,
}

impl Day {
    /// When an order was placed.
    pub(crate) fn placed_at(&self, order: usize) -> Timestamp {
        self.day + SignedDuration::from_micros(self.orders.start(order))
    }
}

/// Tells every day that has a part of the window. The columns are those beyond time and flags.
pub(crate) async fn scan_orders(
    snapshot: &Snapshot,
    (from, to): (Option<Timestamp>, Timestamp),
    columns: &[&str],
    mut tell: impl FnMut(&Day),
) -> Result<(), DatabaseError> {
    let asked =
        [(&from as _, Type::TIMESTAMPTZ), (&to as _, Type::TIMESTAMPTZ), (&columns as _, Type::TEXT_ARRAY)];
    let marked = snapshot.rows(include_str!("sql/marked_orders.sql"), &asked).await?;
    let marked = marked.iter().map(|row| row.try_get("order_day"));
    let marked: Vec<Timestamp> = marked.collect::<Result<_, _>>()?;
    let mut parameters = asked.to_vec();
    parameters.push((&marked, Type::TIMESTAMPTZ_ARRAY));
    let mut stream = pin!(snapshot.stream(include_str!("sql/order_columns.sql"), parameters).await?);
    while let Some(row) = stream.try_next().await? {
        tell(&Day { orders: Orders::read::<DatabaseError>(&row)?, day: row.try_get("order_day")? });
    }
    let models = models(columns);
    let days_at_once = if are_of_positions(columns) { DAYS_BOUGHT_AT_ONCE } else { DAYS_AT_ONCE };
    for days in marked.chunks(days_at_once) {
        let mut parameters = vec![
            (&days as _, Type::TIMESTAMPTZ_ARRAY),
            (&from as _, Type::TIMESTAMPTZ),
            (&to as _, Type::TIMESTAMPTZ),
        ];
        let mut bought = Bought::default();
        if are_of_positions(columns) {
            let unnamed;
            (bought, unnamed) = Bought::of(snapshot.rows(POSITION_ROWS, &parameters).await?)?;
            if let Some(unnamed) = unnamed {
                bought.add_purchases(snapshot.rows(PURCHASE_ROWS, &unnamed.parameters()).await?)?;
            }
        }
        parameters.push((&columns, Type::TEXT_ARRAY));
        parameters.push((&models, Type::TEXT_ARRAY));
        let mut day = Day { orders: Orders::default(), day: to };
        let mut stream = pin!(snapshot.stream(ORDER_ROWS, parameters).await?);
        while let Some(row) = stream.try_next().await? {
            let own = day_of(row.try_get("placed_at")?);
            if day.day != own {
                tell(&day);
                day = Day { orders: Orders::default(), day: own };
            }
            day.orders.add(&row, &bought, own)?;
        }
        tell(&day);
    }
    Ok(())
}

/// Which orders a report is about, and which touches.
pub(crate) struct OrderChoices<'a> {
    scope: &'a Scope,
    /// The window is one of the beginnings of sessions.
    by_session: bool,
    ids: Choices,
    /// Places of the models that say what earned an order. Without any nothing does: it is one touch, which passes.
    models: Vec<usize>,
}

impl<'a> OrderChoices<'a> {
    pub(crate) async fn of(
        snapshot: &Snapshot,
        scope: &'a Scope,
        by_session: bool,
        models: &[&str],
    ) -> Result<OrderChoices<'a>, DatabaseError> {
        let models = models.iter().filter_map(|model| MODELS.iter().position(|known| known == model));
        let ids = Choices::of(snapshot, scope).await?;
        Ok(OrderChoices { scope, by_session, ids, models: models.collect() })
    }

    /// Those for [`DayChoices::is_earned`] by the model of a report. Where nothing is asked of touches, credits are not looked at.
    pub(crate) async fn of_earned(
        snapshot: &Snapshot,
        scope: &'a Scope,
        money: &Money,
    ) -> Result<OrderChoices<'a>, DatabaseError> {
        let models = [money.model()];
        let models: &[&str] = if scope.is_filtered() { &models } else { &[] };
        OrderChoices::of(snapshot, scope, money.is_by_session(), models).await
    }

    /// When orders may have been placed. By the beginning of its session that was whenever.
    pub(crate) fn window(&self) -> (Option<Timestamp>, Timestamp) {
        if self.by_session { (None, Timestamp::MAX) } else { self.scope.window() }
    }

    /// The names of the columns that are looked at here.
    pub(crate) fn columns(&self) -> Vec<&'static str> {
        let filtered = FILTERS.iter().filter(|(_, id)| self.ids.are_of(*id)).map(|(of, _)| IDS[*of as usize]);
        let asks_sessions = self.by_session || self.is_of_bots() || self.scope.is_of_sessions();
        let models = self.models.iter().map(|model| MODELS[*model]);
        filtered.chain(models).chain(asks_sessions.then_some(SESSION_STARTS)).collect()
    }

    fn is_of_bots(&self) -> bool {
        self.scope.only_bots() == Some(true)
    }

    /// The same of a day.
    pub(crate) fn of_day<'b>(&'b self, day: &'b Day) -> DayChoices<'b> {
        let passes = |id, list: &[i64]| self.ids.passes(id, list);
        DayChoices {
            choices: self,
            day,
            filters: FILTERS.map(|(of, id)| passes(id, &day.orders.ids(of).list)),
            campaigns: self
                .models
                .iter()
                .map(|model| passes(Id::Campaign, day.orders.campaigns(*model)))
                .collect(),
        }
    }
}

/// Which orders of a day a report is about: of each list of ids that is filtered by, what passes by its place.
pub(crate) struct DayChoices<'a> {
    choices: &'a OrderChoices<'a>,
    day: &'a Day,
    filters: [Option<Vec<bool>>; FILTERS.len()],
    campaigns: Vec<Option<Vec<bool>>>,
}

impl DayChoices<'_> {
    /// Those of the window that pass, whatever earned them.
    pub(crate) fn chosen(&self) -> impl Iterator<Item = usize> {
        (0..self.day.orders.orders()).filter(|order| self.choose(*order))
    }

    /// The same of visitors who are wanted, with these.
    pub(crate) fn of_visitors(&self, is_wanted: impl Fn(i64) -> bool) -> impl Iterator<Item = (usize, i64)> {
        let visitor = move |order| self.day.orders.visitor(order).filter(|visitor| is_wanted(*visitor));
        self.chosen().filter_map(move |order| Some((order, visitor(order)?)))
    }

    /// Whether an order is one of [`DayChoices::chosen`].
    pub(crate) fn choose(&self, order: usize) -> bool {
        self.is_of_window(order) && (0..FILTERS.len()).all(|filter| self.passes(filter, order))
    }

    /// Whether it is, and something that earned it passes, by the first of the models; `touches` is room for them.
    pub(crate) fn is_earned(&self, order: usize, touches: &mut Vec<(Option<Label>, i64)>) -> bool {
        if !self.choose(order) {
            return false;
        }
        touches.clear();
        self.touches(0, order, touches);
        touches.iter().any(|(label, credit)| label.is_some() && *credit > 0)
    }

    /// Whether it is of a site that is asked about.
    pub(crate) fn is_of_sites(&self, order: usize) -> bool {
        self.passes(0, order)
    }

    /// When it counts: when it was placed, or when its session began; microseconds since 1970.
    pub(crate) fn at(&self, order: usize) -> i64 {
        let orders = &self.day.orders;
        let at = if self.choices.by_session { orders.session_start(order) } else { orders.start(order) };
        self.day.day.as_microsecond() + at
    }

    fn passes(&self, filter: usize, order: usize) -> bool {
        let ids = self.day.orders.ids(FILTERS[filter].0);
        self.filters[filter].as_ref().is_none_or(|passes| passes[ids.place(order)])
    }

    /// Whether an order is of the window, and of a session that is asked about.
    fn is_of_window(&self, order: usize) -> bool {
        let (choices, orders) = (self.choices, &self.day.orders);
        let (from, to) = choices.scope.window();
        let (from, to) = (from.map_or(i64::MIN, Timestamp::as_microsecond), to.as_microsecond());
        if !(from..to).contains(&self.at(order)) {
            return false;
        }
        let flags = orders.flags(order);
        let (has_session, is_bot) = (flags & flags::HAS_SESSION != 0, flags & flags::BOT != 0);
        if choices.by_session {
            return has_session
                && flags & flags::LEFT_OUT == 0
                && (from.saturating_sub(48 * HOUR)..to).contains(&(orders.hour(order) * HOUR))
                && choices.scope.only_bots().is_none_or(|only| only == is_bot);
        }
        let is_of_bots = choices.is_of_bots();
        (!is_of_bots || is_bot) && (has_session || !(is_of_bots || choices.scope.is_of_sessions()))
    }

    /// Adds what earned an order by a model, in the order of touches: none in place of a touch that does not pass, and the credit.
    pub(crate) fn touches(&self, model: usize, order: usize, touches: &mut Vec<(Option<Label>, i64)>) {
        let orders = &self.day.orders;
        let unknown = if orders.flags(order) & flags::KNOWN != 0 { Label::Direct } else { Label::Untracked };
        let (Some(of), Some(passes)) = (self.choices.models.get(model), self.campaigns.get(model)) else {
            return touches.push((Some(unknown), WHOLE));
        };
        let list = orders.campaigns(*of);
        let before = touches.len();
        touches.extend(orders.touches(*of, order).map(|(place, credit)| {
            let label = place.checked_sub(1).and_then(|place| list.get(place)).copied();
            let label = label.map_or(Label::Direct, Label::Campaign);
            (passes.as_ref().is_none_or(|passes| passes[place]).then_some(label), credit)
        }));
        if touches.len() == before {
            let passes = match unknown {
                Label::Untracked => self.choices.ids.pass_untracked(),
                _ => passes.as_ref().is_none_or(|passes| passes[0]),
            };
            touches.push((passes.then_some(unknown), WHOLE));
        }
    }
}

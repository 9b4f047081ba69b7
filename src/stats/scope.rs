//! The parameters that every windowed statement shares: `$1`–`$20` window and filters, `$21`–`$26` money.

use jiff::Timestamp;
use tokio_postgres::types::Type;

use crate::config::{Config, Revenue};
use crate::stats::database::{DatabaseError, Parameter, Snapshot};
use crate::stats::filters::{FIELDS, Patterns};
use crate::stats::money::minor_units;
use crate::stats::params::Params;
use crate::stats::period::Window;

/// Fields that no rollup knows.
const OF_SESSIONS: [&str; 2] = ["device", "country"];

/// Window, sites, bots and filters as `report_sessions()` takes them.
#[derive(Debug, Clone)]
pub(crate) struct Scope {
    from: Option<Timestamp>,
    to: Timestamp,
    sites: Option<Vec<String>>,
    bots: &'static str,
    patterns: [Patterns; FIELDS.len()],
}

/// How money is counted, as `report_orders()` takes it.
#[derive(Debug)]
pub(crate) struct Money {
    date_basis: &'static str,
    model: &'static str,
    currency: Option<String>,
    minor_units: i32,
    revenue: &'static str,
    /// In whose days rates are looked up; none where no order needs one.
    day_zone: Option<String>,
}

impl Scope {
    /// What a request asks about.
    pub(crate) fn of(params: &Params) -> Scope {
        Scope::within(params, params.window)
    }

    /// What a request asks about, in another window than its own.
    pub(crate) fn within(params: &Params, window: Window) -> Scope {
        Scope {
            from: window.from,
            to: window.to,
            sites: (!params.sites.is_empty()).then(|| params.sites.clone()),
            bots: params.bots.name(),
            patterns: params.filters.patterns(),
        }
    }

    /// All sessions there are of a window, and bots'.
    pub(crate) fn everything(from: Option<Timestamp>, to: Timestamp) -> Scope {
        Scope { from, to, sites: None, bots: "include", patterns: Default::default() }
    }

    /// Another window, of which nothing but sites and bots chooses.
    pub(crate) fn unfiltered(&self, from: Option<Timestamp>, to: Timestamp) -> Scope {
        Scope { from, to, sites: self.sites.clone(), bots: self.bots, patterns: Default::default() }
    }

    /// Another window, of which sites alone choose.
    pub(crate) fn of_sites(&self, from: Option<Timestamp>, to: Timestamp) -> Scope {
        Scope { bots: "include", ..self.unfiltered(from, to) }
    }

    /// The same in a part of the window.
    pub(crate) fn between(&self, from: Timestamp, to: Timestamp) -> Scope {
        Scope { from: Some(from), to, ..self.clone() }
    }

    /// Whether anything but window, sites and bots chooses.
    pub(crate) fn is_filtered(&self) -> bool {
        self.patterns.iter().any(|patterns| *patterns != Patterns::default())
    }

    /// The edges of the window.
    pub(crate) fn window(&self) -> (Option<Timestamp>, Timestamp) {
        (self.from, self.to)
    }

    /// Whether sessions are bots' only, or nobody's that is one; none = both.
    pub(crate) fn only_bots(&self) -> Option<bool> {
        match self.bots {
            "include" => None,
            bots => Some(bots == "only"),
        }
    }

    /// Whether ids are asked about: sites and filters.
    pub(crate) fn chooses_ids(&self) -> bool {
        self.sites.is_some() || self.is_filtered()
    }

    /// Whether it is asked about what only single sessions have, so that no rollup answers.
    pub(crate) fn is_of_sessions(&self) -> bool {
        let filters = FIELDS.iter().zip(&self.patterns).filter(|(field, _)| OF_SESSIONS.contains(field));
        filters.into_iter().any(|(_, patterns)| *patterns != Patterns::default())
    }

    /// `$1`–`$20`.
    pub(crate) fn parameters(&self) -> Vec<Parameter<'_>> {
        let mut parameters: Vec<Parameter<'_>> = vec![
            (&self.from, Type::TIMESTAMPTZ),
            (&self.to, Type::TIMESTAMPTZ),
            (&self.sites, Type::TEXT_ARRAY),
            (&self.bots, Type::TEXT),
        ];
        parameters.extend(self.filters());
        parameters
    }

    /// `$1`–`$3`: what sites alone choose.
    pub(crate) fn parameters_of_sites(&self) -> Vec<Parameter<'_>> {
        let mut parameters = self.parameters();
        parameters.truncate(3);
        parameters
    }

    /// Sites, and filters in the order of [`FIELDS`].
    pub(crate) fn parameters_of_ids(&self) -> Vec<Parameter<'_>> {
        let sites: Parameter<'_> = (&self.sites, Type::TEXT_ARRAY);
        std::iter::once(sites).chain(self.filters()).collect()
    }

    fn filters(&self) -> impl Iterator<Item = Parameter<'_>> {
        self.patterns.iter().flat_map(|patterns| {
            [(&patterns.include as _, Type::TEXT_ARRAY), (&patterns.exclude as _, Type::TEXT_ARRAY)]
        })
    }
}

impl Money {
    /// How a request counts money: in the configured currency, else in the one that most orders have.
    pub(crate) async fn of(
        params: &Params,
        config: &Config,
        snapshot: &Snapshot,
    ) -> Result<Money, DatabaseError> {
        let sites = (!params.sites.is_empty()).then_some(&params.sites);
        let chosen = &config.stats.currency;
        let asked = [(&sites as _, Type::TEXT_ARRAY), (chosen as _, Type::TEXT)];
        let row = snapshot.row(include_str!("sql/report_currency.sql"), &asked).await?;
        let row = row.ok_or(DatabaseError::Failed)?;
        let currency: Option<String> = row.try_get("currency")?;
        Ok(Money {
            date_basis: params.date_basis.name(),
            model: params.model,
            minor_units: i32::try_from(minor_units(currency.as_deref())).unwrap_or(2),
            currency,
            revenue: match config.orders.revenue {
                Revenue::Placed => "placed",
                Revenue::Paid => "paid",
            },
            day_zone: row.try_get::<_, bool>("needs_rates")?.then(|| shop_zone(config)),
        })
    }

    /// `$21`–`$26`.
    pub(crate) fn parameters(&self) -> Vec<Parameter<'_>> {
        vec![
            (&self.date_basis, Type::TEXT),
            (&self.model, Type::TEXT),
            (&self.currency, Type::TEXT),
            (&self.minor_units, Type::INT4),
            (&self.revenue, Type::TEXT),
            (&self.day_zone, Type::TEXT),
        ]
    }

    /// `$3`–`$6` of what asks about one order's rate: currency, minor units, what revenue is, and in whose days.
    pub(crate) fn exchange<'a>(&'a self, zone: &'a String) -> [Parameter<'a>; 4] {
        [
            (&self.currency, Type::TEXT),
            (&self.minor_units, Type::INT4),
            (&self.revenue, Type::TEXT),
            (zone, Type::TEXT),
        ]
    }

    /// Whether the window is one of sessions' beginnings.
    pub(crate) fn is_by_session(&self) -> bool {
        self.date_basis == "session"
    }

    /// Whether revenue is what was paid.
    pub(crate) fn is_as_paid(&self) -> bool {
        self.revenue == "paid"
    }

    /// The attribution model.
    pub(crate) fn model(&self) -> &'static str {
        self.model
    }

    /// In whose days rates are looked up; none where no order needs one.
    pub(crate) fn day_zone(&self) -> Option<&str> {
        self.day_zone.as_deref()
    }

    /// Digits after the point of all sums.
    pub(crate) fn minor_units(&self) -> usize {
        usize::try_from(self.minor_units).unwrap_or(2)
    }

    /// The currency of sums.
    pub(crate) fn currency(&self) -> Option<&str> {
        self.currency.as_deref()
    }
}

/// The zone of the days that rates are looked up by, as the database calls it.
pub(crate) fn shop_zone(config: &Config) -> String {
    config.stats.timezone.iana_name().unwrap_or("UTC").to_owned()
}

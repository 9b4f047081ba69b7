//! What advertising cost in a window: as the request says it, else the sum of what the shop told.

use jiff::civil::Date;
use jiff::{Timestamp, ToSpan, tz::TimeZone};
use rust_decimal::Decimal;
use tokio_postgres::types::Type;

use crate::stats::database::{DatabaseError, Parameter, Snapshot};
use crate::stats::filters::{FIELDS, Patterns};
use crate::stats::params::Params;
use crate::stats::period::start_of_day;
use crate::stats::scope::Money;

/// Fields that money spent is not known by.
const UNKNOWN: [&str; 2] = ["device", "country"];

/// The stored cost, and what the reader must know of it.
#[derive(Debug, Default)]
pub(crate) struct Spend {
    /// None = nothing is known.
    pub(crate) cost: Option<Decimal>,
    pub(crate) warnings: Vec<String>,
}

impl Spend {
    /// The sum of the days that begin in the window, of what passes the filters.
    pub(crate) async fn stored(
        snapshot: &Snapshot,
        params: &Params,
        money: &Money,
    ) -> Result<Spend, DatabaseError> {
        let patterns = params.filters.patterns();
        let (unknown, known): (Vec<_>, Vec<_>) =
            FIELDS.into_iter().zip(&patterns).partition(|(field, _)| UNKNOWN.contains(field));
        let mut warnings = Vec::new();
        if unknown.iter().any(|(_, patterns)| **patterns != Patterns::default()) {
            warnings.push("what advertising cost is not known by device or country".to_owned());
            return Ok(Spend { cost: None, warnings });
        }
        let first = params.window.from.map(|from| first_day(from, &params.zone)).transpose();
        let (Ok(first), Ok((after, _))) = (first, first_day(params.window.to, &params.zone)) else {
            return Ok(Spend::default());
        };
        if first.is_some_and(|(_, is_whole)| !is_whole) {
            warnings.push(
                "what advertising cost is known by days: the day in which the window begins is not in it"
                    .to_owned(),
            );
        }
        let first = first.map(|(day, _)| day);
        let sites = (!params.sites.is_empty()).then_some(&params.sites);
        let currency = money.currency();
        let mut parameters: Vec<Parameter<'_>> = vec![
            (&first, Type::DATE),
            (&after, Type::DATE),
            (&sites, Type::TEXT_ARRAY),
            (&currency, Type::TEXT),
        ];
        for (_, patterns) in &known {
            parameters.push((&patterns.include, Type::TEXT_ARRAY));
            parameters.push((&patterns.exclude, Type::TEXT_ARRAY));
        }
        let minor_units = i32::try_from(money.minor_units()).unwrap_or(2);
        parameters.push((&minor_units, Type::INT4));
        let row = snapshot.row(include_str!("sql/roi_spend.sql"), &parameters).await?;
        let row = row.ok_or(DatabaseError::Failed)?;
        let left_out: i64 = row.try_get("left_out")?;
        if left_out > 0 {
            warnings.push(format!(
                "{left_out} of the stored costs are in another currency without an exchange rate, and not in the sum"
            ));
        }
        Ok(Spend { cost: row.try_get("cost")?, warnings })
    }
}

/// The first local day that begins at `from` or later, and whether it begins at `from`.
fn first_day(from: Timestamp, zone: &TimeZone) -> Result<(Date, bool), jiff::Error> {
    let day = from.to_zoned(zone.clone()).date();
    if start_of_day(day, zone)? >= from { Ok((day, true)) } else { Ok((day.checked_add(1.day())?, false)) }
}

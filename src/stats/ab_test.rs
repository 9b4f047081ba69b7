//! `ab-test`: the contents of one campaign beside each other, with what can be concluded. Observational: the advertising
//! platform chose who saw what.

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::stats::AppState;
use crate::stats::answer::Answer;
use crate::stats::breakdown::{Dimension, sold};
use crate::stats::csv;
use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::groups::{GroupKey, keys};
use crate::stats::money::each;
use crate::stats::params::{Accepts, Format, ParameterError};
use crate::stats::people::People;
use crate::stats::problem::StatsError;
use crate::stats::ratio::{Interval, from_millionths, percent, wilson};
use crate::stats::sales::Sales;
use crate::stats::scan::{Wanted, scan};
use crate::stats::scope::{Money, Scope};
use crate::stats::significance::{
    Share, difference, holm, probabilities_to_be_best, sample_size, split_p_value, test,
};
use crate::stats::worth::text;
use crate::store::columns::{Id, Number, flags};

pub(crate) const ACCEPTS: Accepts =
    Accepts { csv: true, own: &["baseline", "minimum_effect"], ..Accepts::MONEY };

/// Contents that are compared, those with the most visitors.
const MOST_VARIANTS: usize = 20;

/// The level of significance.
const LEVEL: f64 = 0.05;

/// A split less likely than this is no accident (the usual bound for a sample-ratio mismatch).
const UNEVEN: f64 = 0.001;

/// Percent of the baseline's rate that must be found, when nothing is said.
const USUAL_EFFECT: f64 = 20.0;

const OBSERVATIONAL: &str =
    "observational: the advertising platform chose who saw what, so that a difference may be one of people";

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct AbTest {
    campaign: String,
    /// The content that the others are compared with.
    baseline: Option<String>,
    variants: Vec<Variant>,
    total_visitors: i64,
    total_conversions: i64,
    /// A content when it is significantly the best and enough people saw it, else `inconclusive`.
    winner: String,
    /// Why; for people.
    conclusion: String,
    sample_ratio: SampleRatio,
    design: &'static str,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Variant {
    content: String,
    visitors: i64,
    sessions: i64,
    /// Visitors with an order.
    conversions: i64,
    /// Percent of visitors.
    conversion_rate: Option<f64>,
    conversion_rate_interval: Option<Interval>,
    orders: serde_json::Number,
    revenue: String,
    revenue_per_visitor: Option<String>,
    /// How likely it has the greatest rate of all, 0 to 1.
    probability_to_be_best: f64,
    /// How many must have seen it for `minimum_effect` to be found in 80 % of cases; null where no number would do.
    minimum_visitors: Option<i64>,
    missing_visitors: Option<i64>,
    /// Null for the baseline.
    against_baseline: Option<Comparison>,
}

#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct Comparison {
    /// Points of the rate.
    difference: f64,
    difference_interval: Interval,
    test: &'static str,
    p_value: f64,
    /// By Holm, over all variants.
    adjusted_p_value: f64,
    is_significant: bool,
}

/// Whether people are spread over the contents as if each were shown equally often.
#[derive(Debug, JsonSchema, Serialize)]
pub(crate) struct SampleRatio {
    p_value: Option<f64>,
    is_even: Option<bool>,
}

/// `GET /api/v1/ab-test`
pub(crate) async fn ab_test(
    State(shared): AppState,
    RawQuery(query): RawQuery,
) -> Result<Response, StatsError> {
    let mut params = shared.params(query.as_deref(), &ACCEPTS)?;
    params.use_period_by_default("month")?;
    let campaign = params.filters.only("campaign").ok_or_else(|| {
        ParameterError::new(
            "campaign",
            "name the campaign whose contents are compared, one of them: campaign=autumn",
        )
    })?;
    let campaign = campaign.to_owned();
    let asked = params.given.one("baseline")?.map(|name| name.trim().to_lowercase());
    let effect = match params.given.one("minimum_effect")? {
        None => USUAL_EFFECT,
        Some(text) => {
            let effect: Option<f64> = text.trim().parse().ok();
            effect.filter(|effect| (1.0..=1000.0).contains(effect)).ok_or_else(|| {
                ParameterError::new(
                    "minimum_effect",
                    "expected percent of the baseline's rate, from 1 to 1000",
                )
            })?
        }
    };
    let snapshot = shared.context.database.snapshot().await?;
    let scope = Scope::of(&params);
    let money = Money::of(&params, &shared.config(), &snapshot).await?;
    let seen = Seen::read(&snapshot, &scope).await?;
    let sold = sold(&snapshot, &scope, &money, Dimension::Content, |_| None).await?;
    let freshness = snapshot.conclude().await?;
    let overlapping = seen.overlapping;
    let mut counts = seen.counts(&sold);
    let contents = counts.len();
    counts.truncate(MOST_VARIANTS);

    let baseline = match asked {
        None => counts.first().map(|_| 0),
        Some(name) => Some(counts.iter().position(|count| count.content == name).ok_or_else(|| {
            ParameterError::new("baseline", "no content of this name was seen in the campaign")
        })?),
    };
    let left_out = counts.iter().map(|count| count.sold.left_out).sum();
    let given = counts.len();
    let warnings = [
        params.filters.only("source").is_none().then(|| {
            "the campaign's contents are pooled over all sources; source= compares those of one".to_owned()
        }),
        (contents > given)
            .then(|| format!("{contents} contents; the {given} with the most visitors are compared")),
        (overlapping > 0)
            .then(|| format!("{overlapping} visitors saw several contents and count in each of them")),
    ];
    let results = conclude(campaign, counts, baseline, effect / 100.0, money.minor_units());
    if params.format == Format::Csv {
        return Ok(csv::attachment(
            "ab-test",
            &results.variants.iter().map(Variant::flat).collect::<Vec<_>>(),
        ));
    }
    let mut answer = Answer::<_, ()>::of_window(freshness, &params, results)
        .with_money(&params, money.currency(), left_out)
        .with_own("minimum_effect", effect);
    for warning in warnings {
        answer = answer.with_warning(warning);
    }
    Ok(answer.into_response())
}

impl Variant {
    /// A line of a file: what is compared has columns of its own, which the baseline leaves empty.
    fn flat(&self) -> Map<String, Value> {
        let Ok(Value::Object(mut line)) = serde_json::to_value(self) else { return Map::new() };
        line.shift_remove("conversion_rate_interval");
        let against = line.shift_remove("against_baseline");
        let interval = self.conversion_rate_interval;
        line.insert("conversion_rate_low".into(), interval.map(|interval| interval.low).into());
        line.insert("conversion_rate_high".into(), interval.map(|interval| interval.high).into());
        for column in ["difference", "test", "p_value", "adjusted_p_value", "is_significant"] {
            let value = against.as_ref().and_then(|against| against.get(column)).cloned();
            line.insert(column.into(), value.unwrap_or_default());
        }
        line
    }
}

/// What people saw of the campaign, by content.
#[derive(Default)]
struct Seen {
    contents: Vec<String>,
    visitors: Vec<i64>,
    sessions: Vec<i64>,
    /// Visitors with an order.
    conversions: Vec<i64>,
    /// Visitors of several contents.
    overlapping: i64,
}

impl Seen {
    async fn read(snapshot: &Snapshot, scope: &Scope) -> Result<Seen, DatabaseError> {
        let mut seen = Seen::default();
        for people in People::of(snapshot, scope, 0).await? {
            seen.add(snapshot, scope, people).await?;
        }
        Ok(seen)
    }

    async fn add(&mut self, snapshot: &Snapshot, scope: &Scope, people: People) -> Result<(), DatabaseError> {
        // Campaign, visitor, and whether it is a session without an order, so that one with an order is the first.
        let mut sessions: Vec<(Option<i64>, i64, bool)> = Vec::new();
        let wanted = Wanted {
            numbers: &[Number::Visitor, Number::Flags],
            ids: &[Id::Campaign],
            lists: &[],
            edges: &[],
        };
        scan(snapshot, scope, wanted, |part| {
            let (visitors, set) = (part.numbers(Number::Visitor), part.numbers(Number::Flags));
            let campaigns = part.ids(Id::Campaign);
            let theirs = part.chosen().iter().copied().filter(|session| people.have(visitors[*session]));
            sessions.extend(theirs.map(|session| {
                (campaigns.of(session), visitors[session], set[session] & flags::CONVERTED == 0)
            }));
        })
        .await?;

        let mut campaigns: Vec<Option<i64>> = sessions.iter().map(|(campaign, ..)| *campaign).collect();
        campaigns.sort_unstable();
        campaigns.dedup();
        let keys = keys(snapshot, "content", &campaigns, &vec![true; campaigns.len()]).await?;
        let mut contents = HashMap::new();
        for (campaign, [content, ..]) in campaigns.iter().zip(keys) {
            let place = self.contents.iter().position(|known| *known == content);
            contents.insert(*campaign, place.unwrap_or(self.contents.len()));
            if place.is_none() {
                self.contents.push(content);
            }
        }
        let sessions = sessions.into_iter().map(|(campaign, visitor, no_order)| {
            (visitor, contents.get(&campaign).copied().unwrap_or_default(), no_order)
        });
        self.count(sessions.collect());
        Ok(())
    }

    /// All contents, also such as sold without being seen; those with the most visitors come first.
    fn counts(self, sold: &BTreeMap<GroupKey, Sales>) -> Vec<Count> {
        let shares =
            self.conversions.into_iter().zip(self.visitors).map(|(part, whole)| Share { part, whole });
        let seen = self.contents.into_iter().zip(shares).zip(self.sessions);
        let mut by_content: BTreeMap<String, Count> = seen
            .map(|((content, share), sessions)| {
                (content.clone(), Count { content, share, sessions, ..Count::default() })
            })
            .collect();
        for ([content, ..], sold) in sold {
            let unseen = || Count { content: content.clone(), ..Count::default() };
            by_content.entry(content.clone()).or_insert_with(unseen).sold += *sold;
        }
        let mut counts: Vec<Count> = by_content.into_values().collect();
        counts.sort_by_key(|count| Reverse(count.share.whole));
        counts
    }

    /// Visitor, content, and whether it is a session without an order.
    fn count(&mut self, mut sessions: Vec<(i64, usize, bool)>) {
        sessions.sort_unstable();
        for counts in [&mut self.visitors, &mut self.sessions, &mut self.conversions] {
            counts.resize(self.contents.len(), 0);
        }
        for of_one in sessions.chunk_by(|one, other| one.0 == other.0) {
            let mut saw = 0;
            for of_content in of_one.chunk_by(|one, other| one.1 == other.1) {
                let (_, content, no_order) = of_content[0];
                self.visitors[content] += 1;
                self.sessions[content] += i64::try_from(of_content.len()).unwrap_or(i64::MAX);
                self.conversions[content] += i64::from(!no_order);
                saw += 1;
            }
            self.overlapping += i64::from(saw > 1);
        }
    }
}

/// A content, as counted.
#[derive(Debug, Default)]
struct Count {
    content: String,
    share: Share,
    sessions: i64,
    sold: Sales,
}

fn conclude(
    campaign: String,
    counts: Vec<Count>,
    baseline: Option<usize>,
    effect: f64,
    digits: usize,
) -> AbTest {
    let shares: Vec<Share> = counts.iter().map(|count| count.share).collect();
    let chances = probabilities_to_be_best(&shares);
    let comparisons = baseline.map(|baseline| compare(&shares, baseline)).unwrap_or_default();
    let minimum = baseline.and_then(|baseline| sample_size(shares[baseline], effect));
    let visitors: Vec<i64> = shares.iter().map(|share| share.whole).collect();
    let mut comparisons: Vec<Option<Comparison>> = comparisons;
    comparisons.resize_with(counts.len(), || None);
    let variants: Vec<Variant> = counts
        .into_iter()
        .zip(chances)
        .zip(comparisons)
        .map(|((count, chance), against_baseline)| Variant {
            visitors: count.share.whole,
            sessions: count.sessions,
            conversions: count.share.part,
            conversion_rate: percent(count.share.part, count.share.whole),
            conversion_rate_interval: wilson(count.share.part, count.share.whole),
            orders: from_millionths(count.sold.orders),
            revenue_per_visitor: each(&text(count.sold.revenue, digits), count.share.whole, digits),
            revenue: text(count.sold.revenue, digits),
            probability_to_be_best: four_decimals(chance),
            minimum_visitors: minimum,
            missing_visitors: minimum.map(|minimum| (minimum - count.share.whole).max(0)),
            against_baseline,
            content: count.content,
        })
        .collect();
    let p_value = split_p_value(&visitors);
    let (winner, conclusion) = winner(&variants, baseline);
    AbTest {
        campaign,
        baseline: baseline.and_then(|baseline| variants.get(baseline)).map(|one| one.content.clone()),
        total_visitors: visitors.iter().sum(),
        total_conversions: shares.iter().map(|share| share.part).sum(),
        winner,
        conclusion,
        sample_ratio: SampleRatio {
            p_value: p_value.map(four_decimals),
            is_even: p_value.map(|p_value| p_value >= UNEVEN),
        },
        design: OBSERVATIONAL,
        variants,
    }
}

/// Each share with the baseline's; none for the baseline, and where nobody saw it.
fn compare(shares: &[Share], baseline: usize) -> Vec<Option<Comparison>> {
    let tested: Vec<_> = shares
        .iter()
        .enumerate()
        .map(|(index, share)| {
            let tested = (index != baseline).then(|| test(*share, shares[baseline])).flatten()?;
            Some((tested, difference(*share, shares[baseline])?))
        })
        .collect();
    let p_values: Vec<f64> = tested.iter().flatten().map(|(tested, _)| tested.p_value).collect();
    let mut adjusted = holm(&p_values).into_iter();
    tested
        .into_iter()
        .map(|one| {
            let (tested, (difference, difference_interval)) = one?;
            let adjusted = adjusted.next()?;
            Some(Comparison {
                difference,
                difference_interval,
                test: tested.test,
                p_value: four_decimals(tested.p_value),
                adjusted_p_value: four_decimals(adjusted),
                is_significant: adjusted < LEVEL,
            })
        })
        .collect()
}

/// The best one when that can be said. A variant must differ from the baseline, the baseline from every variant.
fn winner(variants: &[Variant], baseline: Option<usize>) -> (String, String) {
    let inconclusive = |reason: &str| ("inconclusive".to_owned(), reason.to_owned());
    let (Some(baseline), true) = (baseline, variants.len() > 1) else {
        return inconclusive("there are not two contents to compare");
    };
    let rate = |variant: &Variant| variant.conversion_rate.unwrap_or(-1.0);
    let Some(best) =
        (0..variants.len()).max_by(|one, other| rate(&variants[*one]).total_cmp(&rate(&variants[*other])))
    else {
        return inconclusive("there are not two contents to compare");
    };
    let is_significant =
        |index: usize| variants[index].against_baseline.as_ref().is_some_and(|one| one.is_significant);
    let differs = match best == baseline {
        true => (0..variants.len()).filter(|index| *index != baseline).all(is_significant),
        false => is_significant(best),
    };
    let has_enough = |index: usize| variants[index].missing_visitors == Some(0);
    if !has_enough(best) || !has_enough(baseline) {
        return inconclusive(
            "not enough people have seen the best one and the baseline: see missing_visitors",
        );
    }
    if !differs {
        return inconclusive("the difference to the baseline may be chance: see adjusted_p_value");
    }
    if variants[best].probability_to_be_best < 1.0 - LEVEL {
        return inconclusive("another content may be as good: see probability_to_be_best");
    }
    let name = variants[best].content.clone();
    let conclusion =
        format!("{name} has the greatest rate, significantly; who saw it was not left to chance");
    (name, conclusion)
}

fn four_decimals(value: f64) -> f64 {
    (value * 10_000.0).round() / 10_000.0
}

//! Sessions of a window, read column by column (`migrations/V26__columns.sql`): whatever is asked and filtered, a report looks at
//! each session once and at nothing of it but the columns that it needs. Hours with a mark are read from the sessions.
//!
//! Which ids pass a filter is asked once; a session then passes by a look at a table of the ids that its day has.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::ops::{ControlFlow, Range};
use std::pin::pin;

use futures_util::TryStreamExt;
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::scope::Scope;
use crate::store::columns::{
    ACTIONS_OF_HOURS, Columns, IDS, Id, Ids, LISTS, List, NUMBERS, Number, SESSIONS_OF_HOURS, day_and_hour,
    flags,
};

/// Sessions with a mark that are told at a time.
const PORTION: usize = 20_000;
/// Microseconds. Hours are read of sessions that began up to 48 of them later.
const HOUR: i64 = 3_600_000_000;

/// What a report wants to know of each session.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Wanted<'a> {
    pub(crate) numbers: &'a [Number],
    pub(crate) ids: &'a [Id],
    /// What was done.
    pub(crate) lists: &'a [List],
    /// Between which starts are told apart: [`Part::start`] is on the same side of each. Where `numbers` has [`Number::Start`], it
    /// is the start itself.
    pub(crate) edges: &'a [Timestamp],
}

/// Sessions of one day.
#[derive(Default)]
pub(crate) struct Part {
    columns: Columns,
    day: Timestamp,
    /// Of a day that no edge cuts: when one of its sessions began.
    started: Option<Timestamp>,
    chosen: Vec<usize>,
}

impl Part {
    /// The places of the sessions that the report is about.
    pub(crate) fn chosen(&self) -> &[usize] {
        &self.chosen
    }

    pub(crate) fn numbers(&self, of: Number) -> &[i64] {
        self.columns.numbers(of)
    }

    pub(crate) fn ids(&self, of: Id) -> &Ids {
        self.columns.ids(of)
    }

    /// The places of a session's actions in the columns of them.
    pub(crate) fn actions(&self, session: usize) -> Range<usize> {
        self.columns.actions(session)
    }

    /// What was done in the sessions that the report is about: the place of the session, and of the action.
    pub(crate) fn done(&self) -> impl Iterator<Item = (usize, usize)> {
        let mut are_chosen = vec![false; self.columns.sessions()];
        self.chosen.iter().for_each(|session| are_chosen[*session] = true);
        // Action by action rather than session by session: nobody can foretell how many each has.
        let all = self.columns.doers().into_iter().zip(0..);
        all.filter(move |(session, _)| are_chosen[*session])
    }

    /// The kinds of actions.
    pub(crate) fn kinds(&self) -> &Ids {
        self.columns.kinds()
    }

    /// When actions were done: microseconds from the start of their session.
    pub(crate) fn times(&self) -> &[i64] {
        self.columns.times()
    }

    /// What actions were about.
    pub(crate) fn products(&self) -> &Ids {
        self.columns.products()
    }

    /// When pages were viewed in a session: microseconds from its start.
    pub(crate) fn view_times(&self, session: usize) -> &[i64] {
        self.columns.view_times(session)
    }

    /// By what a session with an order is known, as `id_hash()` has it.
    pub(crate) fn buyer(&self, session: usize) -> Option<i64> {
        self.columns.buyer(session)
    }

    /// When a session began; to be compared with edges only, unless starts were asked for. Microseconds since 1970.
    pub(crate) fn start(&self, session: usize) -> i64 {
        match (self.numbers(Number::Start).get(session), self.started) {
            (None, Some(started)) => started.as_microsecond(),
            (start, _) => self.day.as_microsecond() + start.copied().unwrap_or_default(),
        }
    }

    /// Becomes a day that is packed.
    fn read(&mut self, row: &Row) -> Result<(), DatabaseError> {
        self.columns.read::<DatabaseError>(row)?;
        let is_cut = !self.columns.numbers(Number::Hour).is_empty();
        self.started = if is_cut { None } else { Some(row.try_get("first_start")?) };
        self.day = row.try_get("session_day")?;
        Ok(())
    }

    /// Chooses.
    fn choose(&mut self, scope: &Scope, choices: &Choices, marked: &[i64]) {
        let mut chosen = Chosen(std::mem::take(&mut self.chosen));
        chosen.0.clear();
        chosen.0.extend(0..self.columns.sessions());
        if self.started.is_none() {
            let (from, to) = scope.window();
            let since = |at: Timestamp| at.as_microsecond() - self.day.as_microsecond();
            let from = from.map_or(i64::MIN, since);
            let first_hour = from.saturating_sub(48 * HOUR);
            let (hours, starts) = (self.numbers(Number::Hour), self.numbers(Number::Start));
            chosen.keep(|session| {
                let (at, start) = (hours[session] * HOUR, starts[session]);
                (from..since(to)).contains(&start)
                    && (first_hour..since(to)).contains(&at)
                    && !marked.contains(&hours[session])
            });
        }
        if let Some(are_bots) = scope.only_bots() {
            let flags = self.numbers(Number::Flags);
            chosen.keep(|session| (flags[session] & flags::BOT != 0) == are_bots);
        }
        for choice in &choices.all {
            let ids = self.ids(choice.of);
            let passes = choice.passes(&ids.list);
            chosen.keep(|session| passes[ids.place(session)]);
        }
        self.chosen = chosen.0;
    }
}

/// Places of sessions, less and less of them.
struct Chosen(Vec<usize>);

impl Chosen {
    /// As `retain()`, but without a jump that hangs on the answer: nobody can foretell whose session is next.
    fn keep(&mut self, passes: impl Fn(usize) -> bool) {
        let mut kept = 0;
        for next in 0..self.0.len() {
            let session = self.0[next];
            self.0[kept] = session;
            kept += usize::from(passes(session));
        }
        self.0.truncate(kept);
    }
}

/// What passes the filters, by ids.
#[derive(Debug, Default)]
pub(crate) struct Choices {
    all: Vec<Choice>,
    /// An order of which nobody knows where it came from does not.
    without_untracked: bool,
}

/// A filter on an id.
#[derive(Debug)]
struct Choice {
    of: Id,
    /// Those for which the answer is not that of an unknown one.
    unlike: HashSet<i64>,
    unknown: bool,
    none: bool,
}

impl Choices {
    /// Those of a scope.
    pub(crate) async fn of(snapshot: &Snapshot, scope: &Scope) -> Result<Choices, DatabaseError> {
        let mut choices = Choices::default();
        if !scope.chooses_ids() {
            return Ok(choices);
        }
        let mut by_field = BTreeMap::new();
        let parameters = scope.parameters_of_ids();
        for row in snapshot.rows(include_str!("sql/column_filters.sql"), &parameters).await? {
            let (field, passes): (&str, bool) = (row.try_get("field")?, row.try_get("passes")?);
            let of = match field {
                "site" => Id::Site,
                "campaign" => Id::Campaign,
                "agent" => Id::Agent,
                "place" => Id::Place,
                _ => {
                    choices.without_untracked = !passes;
                    continue;
                }
            };
            let unset = Choice { of, unlike: HashSet::new(), unknown: false, none: false };
            let choice = by_field.entry(field.to_owned()).or_insert(unset);
            match (row.try_get("id")?, row.try_get("is_none")?) {
                (Some(id), _) => {
                    choice.unlike.insert(id);
                }
                (None, true) => choice.none = passes,
                (None, false) => choice.unknown = passes,
            }
        }
        choices.all = by_field.into_values().collect();
        Ok(choices)
    }

    /// Which places of a list pass, from 1, and whether none does; nothing where it is not filtered by that.
    pub(crate) fn passes(&self, of: Id, list: &[i64]) -> Option<Vec<bool>> {
        self.all.iter().find(|choice| choice.of == of).map(|choice| choice.passes(list))
    }

    /// Whether it is filtered by this.
    pub(crate) fn are_of(&self, of: Id) -> bool {
        self.all.iter().any(|choice| choice.of == of)
    }

    /// Whether an order passes of which nobody knows where it came from.
    pub(crate) fn pass_untracked(&self) -> bool {
        !self.without_untracked
    }
}

impl Choice {
    /// By place in the list, from 1.
    fn passes(&self, list: &[i64]) -> Vec<bool> {
        let known = list.iter().map(|id| self.unlike.contains(id) != self.unknown);
        std::iter::once(self.none).chain(known).collect()
    }
}

/// Tells every session of a scope, day by day.
pub(crate) async fn scan(
    snapshot: &Snapshot,
    scope: &Scope,
    wanted: Wanted<'_>,
    mut tell: impl FnMut(&Part),
) -> Result<(), DatabaseError> {
    let choices = Choices::of(snapshot, scope).await?;
    let tell_all = |part: &Part| {
        tell(part);
        ControlFlow::Continue(())
    };
    scan_until(snapshot, scope, &choices, wanted, tell_all).await
}

/// The same where it is known what passes the filters, whatever the window; until whoever is told has enough.
pub(crate) async fn scan_until(
    snapshot: &Snapshot,
    scope: &Scope,
    choices: &Choices,
    wanted: Wanted<'_>,
    mut tell: impl FnMut(&Part) -> ControlFlow<()>,
) -> Result<(), DatabaseError> {
    let (from, to) = scope.window();
    let window = [(&from as _, Type::TIMESTAMPTZ), (&to as _, Type::TIMESTAMPTZ)];
    let rows = snapshot.rows(include_str!("sql/marked_hours.sql"), &window).await?;
    let mut hours = Vec::with_capacity(rows.len());
    let mut marks = BTreeMap::<Timestamp, Vec<i64>>::new();
    for row in &rows {
        let at: Timestamp = row.try_get("session_hour")?;
        let (day, hour) = day_and_hour(at);
        marks.entry(day).or_default().push(hour);
        hours.push(at);
    }

    let days: Vec<Timestamp> = marks.keys().copied().collect();
    let names = names(scope, choices, wanted);
    let mut parameters = window.to_vec();
    parameters.push((&wanted.edges, Type::TIMESTAMPTZ_ARRAY));
    parameters.push((&days, Type::TIMESTAMPTZ_ARRAY));
    parameters.push((&names, Type::TEXT_ARRAY));
    let mut stream = pin!(snapshot.stream(include_str!("sql/columns.sql"), parameters).await?);
    let mut part = Part::default();
    while let Some(row) = stream.try_next().await? {
        part.read(&row)?;
        part.choose(scope, choices, marks.get(&part.day).map_or(&[], Vec::as_slice));
        if tell(&part).is_break() {
            return Ok(());
        }
    }

    // What was done is read of a day at a time, so that memory has a bound.
    let has_lists = !wanted.lists.is_empty();
    let at_once =
        |one: &Timestamp, other: &Timestamp| !has_lists || day_and_hour(*one).0 == day_and_hour(*other).0;
    for hours in hours.chunk_by(at_once) {
        let of_hours = vec![(&hours as _, Type::TIMESTAMPTZ_ARRAY)];
        let mut done = HashMap::new();
        if has_lists {
            for row in snapshot.rows(ACTIONS_OF_HOURS, &of_hours).await? {
                done.insert(row.try_get("session_id")?, row);
            }
        }
        let mut stream = pin!(snapshot.stream(SESSIONS_OF_HOURS, of_hours).await?);
        let begin = |day| Part { day, ..Part::default() };
        let mut part = begin(to);
        while let Some(row) = stream.try_next().await? {
            let (day, _) = day_and_hour(row.try_get("session_hour")?);
            if part.day != day || part.columns.sessions() == PORTION {
                part.choose(scope, choices, &[]);
                if tell(&part).is_break() {
                    return Ok(());
                }
                part = begin(day);
            }
            part.columns.add(&row, &done, day)?;
        }
        part.choose(scope, choices, &[]);
        if tell(&part).is_break() {
            return Ok(());
        }
    }
    Ok(())
}

/// The ids that kinds of actions have in lists, by their names; nothing of what was never done.
pub(crate) async fn kinds<T: AsRef<str>>(
    snapshot: &Snapshot,
    names: &[T],
) -> Result<Vec<Option<i64>>, DatabaseError> {
    let names: Vec<&str> = names.iter().map(AsRef::as_ref).collect();
    let mut kinds = vec![None; names.len()];
    for row in snapshot.rows(include_str!("sql/kinds.sql"), &[(&names, Type::TEXT_ARRAY)]).await? {
        let (kind, name): (i32, &str) = (row.try_get("kind_id")?, row.try_get("name")?);
        let of_name = kinds.iter_mut().zip(&names).filter(|(_, known)| **known == name);
        of_name.for_each(|(known, _)| *known = Some(i64::from(kind)));
    }
    Ok(kinds)
}

/// The names of the columns that are read.
fn names(scope: &Scope, choices: &Choices, wanted: Wanted<'_>) -> Vec<&'static str> {
    let lists = LISTS.iter().filter(|(list, ..)| wanted.lists.contains(list));
    let bots = scope.only_bots().map(|_| Number::Flags);
    let also: Vec<Number> = lists.clone().map(|(.., by)| *by).chain(bots).collect();
    let numbers = NUMBERS
        .iter()
        .filter(|(number, _)| wanted.numbers.contains(number) || also.contains(number))
        .map(|(_, name)| *name);
    let ids =
        IDS.iter().filter(|(id, _)| wanted.ids.contains(id) || choices.are_of(*id)).map(|(_, name)| *name);
    numbers.chain(ids).chain(lists.map(|(_, name, _)| *name)).collect()
}

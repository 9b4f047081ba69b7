//! The groups of a list: what their sessions add up to, and how many people they are of. A group is what labels (a campaign, an
//! agent, a page …) are called alike; sessions are gathered by label, and no text is looked at before they are.

use std::collections::HashMap;

use tokio_postgres::types::Type;

use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::scan::{Part, Wanted, scan};
use crate::stats::scope::Scope;
use crate::stats::tally::Tally;
use crate::stats::visitors::{Members, People, Way};
use crate::store::columns::{Id, Number};

/// What one group is of.
pub(crate) type GroupKey = [String; 3];

/// The groups of a list.
#[derive(Debug)]
pub(crate) struct Groups {
    pub(crate) keys: Vec<GroupKey>,
    /// By label.
    by_label: HashMap<Option<i64>, u32>,
    pub(crate) visitors: Vec<i64>,
    pub(crate) sums: Vec<Tally>,
    members: Members,
}

impl Groups {
    /// Reads those of a dimension, by the label that a session has of it.
    pub(crate) async fn read(
        snapshot: &Snapshot,
        scope: &Scope,
        dimension: &str,
        label: Id,
        way: Way,
    ) -> Result<Groups, DatabaseError> {
        let labels = match way {
            Way::Rolled => Labels::rolled(snapshot, scope).await?,
            _ => Labels::scanned(snapshot, scope, label, way).await?,
        };
        let of_labels = self::keys(snapshot, dimension, &labels.ids, &vec![true; labels.ids.len()]).await?;
        let mut known = HashMap::<GroupKey, u32>::with_capacity(labels.ids.len());
        let mut groups = Vec::with_capacity(labels.ids.len());
        for key in of_labels {
            let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
            groups.push(*known.entry(key).or_insert(next));
        }
        let mut sums = vec![Tally::default(); known.len()];
        for (group, tally) in groups.iter().zip(&labels.sums) {
            sums[*group as usize] += *tally;
        }
        let members = labels.people.of_groups(&groups, known.len());
        let mut keys = vec![GroupKey::default(); known.len()];
        known.into_iter().for_each(|(key, group)| keys[group as usize] = key);
        let by_label = labels.ids.into_iter().zip(groups).collect();
        let mut groups = Groups { keys, by_label, visitors: Vec::new(), sums, members };
        groups.visitors = groups.members.of_each(&groups.sessions());
        Ok(groups)
    }

    /// The group of a label that sessions have.
    pub(crate) fn of_label(&self, label: Option<i64>) -> Option<&GroupKey> {
        self.by_label.get(&label).map(|group| &self.keys[*group as usize])
    }

    fn sessions(&self) -> Vec<i64> {
        self.sums.iter().map(|sums| sums.sessions).collect()
    }

    /// The people of all groups, and of those that are not given: each once.
    pub(crate) fn of_all_and_others(&self, are_given: &[bool]) -> (i64, i64) {
        let sessions = self.sessions();
        let together = |is_chosen: &dyn Fn(usize) -> bool| self.members.together(&sessions, is_chosen);
        (together(&|_| true), together(&|group| !are_given[group]))
    }
}

/// The groups of labels, in their order. Of a label without an id it is told whether that is known, as of a session it is.
pub(crate) async fn keys(
    snapshot: &Snapshot,
    dimension: &str,
    ids: &[Option<i64>],
    are_known: &[bool],
) -> Result<Vec<GroupKey>, DatabaseError> {
    let parameters =
        [(&dimension as _, Type::TEXT), (&ids as _, Type::INT8_ARRAY), (&are_known as _, Type::BOOL_ARRAY)];
    let rows = snapshot.rows(include_str!("sql/label_groups.sql"), &parameters).await?;
    let keys =
        rows.iter().map(|row| Ok([row.try_get("key_1")?, row.try_get("key_2")?, row.try_get("key_3")?]));
    keys.collect()
}

/// What there is of each label.
struct Labels {
    ids: Vec<Option<i64>>,
    sums: Vec<Tally>,
    people: People,
}

impl Labels {
    async fn scanned(
        snapshot: &Snapshot,
        scope: &Scope,
        label: Id,
        way: Way,
    ) -> Result<Labels, DatabaseError> {
        let mut labels = Labels { ids: Vec::new(), sums: Vec::new(), people: way.nobody() };
        let mut known = HashMap::new();
        let numbers = &[Number::Flags, Number::Points, way.column()];
        scan(snapshot, scope, Wanted { numbers, ids: &[label], lists: &[], edges: &[] }, |part| {
            labels.add(part, label, way.column(), &mut known);
        })
        .await?;
        Ok(labels)
    }

    fn add(&mut self, part: &Part, label: Id, who: Number, known: &mut HashMap<Option<i64>, u32>) {
        let (ids, visitors) = (part.ids(label), part.numbers(who));
        // By place in the day's list, so that what a label has so far is looked up once a day.
        let mut ends = vec![0_usize; ids.list.len() + 2];
        part.chosen().iter().for_each(|session| ends[ids.place(*session) + 1] += 1);
        (1..ends.len()).for_each(|place| ends[place] += ends[place - 1]);
        let mut sessions = vec![0; ends.last().copied().unwrap_or_default()];
        for session in part.chosen() {
            let end = &mut ends[ids.place(*session)];
            sessions[*end] = *session;
            *end += 1;
        }
        for of_label in sessions.chunk_by(|one, other| ids.place(*one) == ids.place(*other)) {
            let Some(id) = of_label.first().map(|session| ids.of(*session)) else { continue };
            let next = u32::try_from(self.ids.len()).unwrap_or(u32::MAX);
            let label = *known.entry(id).or_insert_with_key(|id| {
                self.ids.push(*id);
                self.sums.push(Tally::default());
                next
            });
            self.sums[label as usize] += Tally::of(part, of_label);
            self.people.add(label, of_label.iter().map(|session| visitors[*session]));
        }
    }

    async fn rolled(snapshot: &Snapshot, scope: &Scope) -> Result<Labels, DatabaseError> {
        let rows = snapshot.rows(include_str!("sql/label_sums.sql"), &scope.parameters()).await?;
        let mut labels = Labels { ids: Vec::new(), sums: Vec::new(), people: Way::Rolled.nobody() };
        for (label, row) in (0..).zip(&rows) {
            labels.ids.push(row.try_get("id")?);
            labels.sums.push(Tally::read(row)?);
            labels.people.add_sketch(label, row.try_get("sketch")?);
        }
        Ok(labels)
    }
}

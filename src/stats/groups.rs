//! The groups of a list: what their sessions add up to, and how many people they are of. A group is what labels (a campaign, an
//! agent, a page …) are called alike; sessions are gathered by label, and no text is looked at before they are.

use foldhash::HashMap;
use tokio_postgres::types::Type;

use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::scan::{Part, Wanted, scan};
use crate::stats::scope::Scope;
use crate::stats::tally::Tally;
use crate::stats::visitors::{Members, People, Way, are_kept};
use crate::store::columns::{Id, Ids, Number, flags};

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
        let mut known = HashMap::<GroupKey, u32>::default();
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

/// Campaigns, and how many sessions each has.
pub(crate) async fn sessions_by_campaign(
    snapshot: &Snapshot,
    scope: &Scope,
) -> Result<(Vec<i64>, Vec<i64>), DatabaseError> {
    let mut sessions = HashMap::<i64, i64>::default();
    if scope.is_of_sessions() || are_kept(snapshot, scope).await? {
        scan(
            snapshot,
            scope,
            Wanted { numbers: &[], ids: &[Id::Campaign], lists: &[], edges: &[] },
            |part| {
                let ids = part.ids(Id::Campaign);
                let mut of_places = vec![0; ids.list.len() + 1];
                part.chosen().iter().for_each(|session| of_places[ids.place(*session)] += 1);
                for (id, count) in ids.list.iter().zip(&of_places[1..]).filter(|(_, count)| **count > 0) {
                    *sessions.entry(*id).or_default() += count;
                }
            },
        )
        .await?;
    } else {
        let rolled = include_str!("sql/sessions_by_campaign.sql");
        for row in snapshot.rows(rolled, &scope.parameters()).await? {
            sessions.insert(row.try_get("campaign_id")?, row.try_get("sessions")?);
        }
    }
    Ok(sessions.into_iter().unzip())
}

/// What lists tell of a label's sessions, small enough that those of many labels stay in the processor's cache.
#[derive(Debug, Clone, Copy, Default)]
#[repr(align(32))]
struct Sums {
    sessions: i64,
    points: i64,
    bounces: i64,
    conversions: i64,
}

impl From<Sums> for Tally {
    fn from(Sums { sessions, points, bounces, conversions }: Sums) -> Tally {
        Tally { sessions, points, bounces, conversions, ..Tally::default() }
    }
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
        let (mut known, mut sums, mut of_sessions) = (HashMap::default(), Vec::new(), Vec::new());
        let numbers = &[Number::Flags, Number::Points, way.column()];
        scan(snapshot, scope, Wanted { numbers, ids: &[label], lists: &[], edges: &[] }, |part| {
            labels.read(part, part.ids(label), &mut known, &mut sums, &mut of_sessions);
            let who = part.numbers(way.column());
            labels.people.add_each(part.chosen().iter().map(|session| who[*session]).zip(&of_sessions));
        })
        .await?;
        labels.sums = sums.into_iter().map(Tally::from).collect();
        Ok(labels)
    }

    /// Adds the sessions of a part, and tells the labels of these by their places.
    fn read(
        &mut self,
        part: &Part,
        ids: &Ids,
        known: &mut HashMap<Option<i64>, u32>,
        sums: &mut Vec<Sums>,
        of_sessions: &mut Vec<u32>,
    ) {
        const UNKNOWN: u32 = u32::MAX;
        // By place in the day's list, so that a label is looked up once a day.
        let mut labels = vec![UNKNOWN; ids.list.len() + 1];
        let (set, points) = (part.numbers(Number::Flags), part.numbers(Number::Points));
        of_sessions.clear();
        for &session in part.chosen() {
            let label = &mut labels[ids.place(session)];
            if *label == UNKNOWN {
                *label = *known.entry(ids.of(session)).or_insert_with_key(|id| {
                    self.ids.push(*id);
                    sums.push(Sums::default());
                    u32::try_from(self.ids.len() - 1).unwrap_or(UNKNOWN)
                });
            }
            of_sessions.push(*label);
        }
        // A loop of its own: the shorter it is, the more sums the processor fetches at a time.
        for (&session, label) in part.chosen().iter().zip(of_sessions) {
            let (sums, set) = (&mut sums[*label as usize], set[session]);
            sums.sessions += 1;
            sums.points += points[session];
            sums.bounces += i64::from(set & flags::BOUNCED != 0);
            sums.conversions += i64::from(set & flags::CONVERTED != 0);
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

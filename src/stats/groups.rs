//! The groups of a list: what their sessions add up to, and how many people they are of. A group is what labels (a campaign, an
//! agent, a page …) are called alike; sessions are gathered by label, and no text is looked at before they are.

use std::collections::{HashMap, HashSet};

use tokio_postgres::types::Type;

use crate::stats::database::{DatabaseError, Snapshot};
use crate::stats::scan::{Part, Wanted, scan};
use crate::stats::scope::Scope;
use crate::stats::sketch::Sketch;
use crate::stats::tally::Tally;
use crate::stats::visitors::Way;
use crate::store::columns::{Id, Number};

/// Labels that have a sketch of their own; what is seen of later ones, which are seldom seen, is kept as it is.
const SKETCHES: usize = 4096;
/// Entries of people gathered before doubles are thrown away.
const GATHERED: usize = 1 << 21;

/// What one group is of.
pub(crate) type GroupKey = [String; 3];

/// The groups of a list.
#[derive(Debug)]
pub(crate) struct Groups {
    /// One array for each column, as `breakdown.sql` takes them.
    pub(crate) keys: [Vec<String>; 3],
    pub(crate) visitors: Vec<i64>,
    pub(crate) sums: Vec<Tally>,
    members: Members,
}

/// Who is in which group.
#[derive(Debug)]
enum Members {
    /// Hash and group, each pair once, in this order.
    Counted(Vec<(i64, u32)>),
    /// Of each group.
    Estimated(Vec<Codes>),
}

/// `sketch_code()`s of a group.
#[derive(Debug, Default)]
struct Codes {
    sketch: Option<Box<Sketch>>,
    few: Vec<i64>,
}

impl Codes {
    fn add_to(&self, sketch: &mut Sketch) {
        self.few.iter().for_each(|code| sketch.add_code(*code));
        if let Some(own) = &self.sketch {
            sketch.merge(own);
        }
    }
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
        let mut keys: [Vec<String>; 3] = Default::default();
        let mut known = HashMap::<GroupKey, u32>::new();
        let mut groups = Vec::with_capacity(labels.ids.len());
        for key in of_labels {
            let next = u32::try_from(known.len()).unwrap_or(u32::MAX);
            let group = *known.entry(key).or_insert_with_key(|key| {
                keys.iter_mut().zip(key).for_each(|(column, key)| column.push(key.clone()));
                next
            });
            groups.push(group);
        }
        let mut sums = vec![Tally::default(); known.len()];
        for (group, tally) in groups.iter().zip(&labels.sums) {
            sums[*group as usize] += *tally;
        }
        let members = labels.people.of_groups(&groups, known.len());
        let visitors = members.of_each(&sums);
        Ok(Groups { keys, visitors, sums, members })
    }

    /// The people of all groups, and of those that are not in `given`: each once.
    pub(crate) fn of_all_and_others(&self, given: &HashSet<GroupKey>) -> (i64, i64) {
        let is_other: Vec<bool> = (0..self.sums.len())
            .map(|group| !given.contains(&self.keys.each_ref().map(|column| column[group].clone())))
            .collect();
        let together = |chosen: &dyn Fn(usize) -> bool| match &self.members {
            Members::Counted(pairs) => {
                let chosen = pairs.iter().filter(|(_, group)| chosen(*group as usize)).map(|(hash, _)| hash);
                let (mut people, mut last) = (0, None);
                for hash in chosen {
                    people += i64::from(last != Some(hash));
                    last = Some(hash);
                }
                people
            }
            Members::Estimated(codes) => {
                let (mut sketch, mut sessions) = (Sketch::default(), 0);
                for (group, codes) in codes.iter().enumerate().filter(|(group, _)| chosen(*group)) {
                    codes.add_to(&mut sketch);
                    sessions += self.sums[group].sessions;
                }
                sketch.estimate().min(sessions)
            }
        };
        (together(&|_| true), together(&|group| is_other[group]))
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

impl Members {
    fn of_each(&self, sums: &[Tally]) -> Vec<i64> {
        match self {
            Members::Counted(pairs) => {
                let mut people = vec![0; sums.len()];
                pairs.iter().for_each(|(_, group)| people[*group as usize] += 1);
                people
            }
            Members::Estimated(codes) => codes
                .iter()
                .zip(sums)
                .map(|(codes, tally)| {
                    let mut sketch = Sketch::default();
                    codes.add_to(&mut sketch);
                    sketch.estimate().min(tally.sessions)
                })
                .collect(),
        }
    }
}

/// What there is of each label.
struct Labels {
    ids: Vec<Option<i64>>,
    sums: Vec<Tally>,
    people: LabelPeople,
}

/// Who has which label.
enum LabelPeople {
    /// Hash and label.
    Counted { pairs: Vec<(i64, u32)>, limit: usize },
    /// Sketches of the first labels; label and `sketch_code()` of the others.
    Estimated { sketches: Vec<Sketch>, others: Vec<(u32, i64)>, limit: usize },
}

impl LabelPeople {
    fn nobody(way: Way) -> LabelPeople {
        match way {
            Way::Counted => LabelPeople::Counted { pairs: Vec::new(), limit: GATHERED },
            _ => LabelPeople::Estimated { sketches: Vec::new(), others: Vec::new(), limit: GATHERED },
        }
    }

    fn add(&mut self, label: u32, who: i64) {
        match self {
            LabelPeople::Counted { pairs, limit } => gather(pairs, limit, (who, label)),
            LabelPeople::Estimated { sketches, others, limit } => {
                if label as usize >= SKETCHES {
                    return gather(others, limit, (label, who));
                }
                if sketches.len() <= label as usize {
                    sketches.resize_with(label as usize + 1, Sketch::default);
                }
                sketches[label as usize].add_code(who);
            }
        }
    }

    fn of_groups(self, groups: &[u32], count: usize) -> Members {
        match self {
            LabelPeople::Counted { mut pairs, .. } => {
                pairs.iter_mut().for_each(|(_, label)| *label = groups[*label as usize]);
                pairs.sort_unstable();
                pairs.dedup();
                Members::Counted(pairs)
            }
            LabelPeople::Estimated { sketches, others, .. } => {
                let mut codes: Vec<Codes> = (0..count).map(|_| Codes::default()).collect();
                for (label, sketch) in sketches.into_iter().enumerate() {
                    let own = &mut codes[groups[label] as usize].sketch;
                    match own {
                        Some(own) => own.merge(&sketch),
                        None => *own = Some(Box::new(sketch)),
                    }
                }
                for (label, code) in others {
                    codes[groups[label as usize] as usize].few.push(code);
                }
                Members::Estimated(codes)
            }
        }
    }
}

fn gather<T: Ord + Copy>(entries: &mut Vec<T>, limit: &mut usize, entry: T) {
    entries.push(entry);
    if entries.len() == *limit {
        entries.sort_unstable();
        entries.dedup();
        *limit = GATHERED.max(2 * entries.len());
    }
}

impl Labels {
    async fn scanned(
        snapshot: &Snapshot,
        scope: &Scope,
        label: Id,
        way: Way,
    ) -> Result<Labels, DatabaseError> {
        let mut labels = Labels { ids: Vec::new(), sums: Vec::new(), people: LabelPeople::nobody(way) };
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
        part.chosen().for_each(|session| ends[ids.place(session) + 1] += 1);
        (1..ends.len()).for_each(|place| ends[place] += ends[place - 1]);
        let mut sessions = vec![0; ends.last().copied().unwrap_or_default()];
        for session in part.chosen() {
            let end = &mut ends[ids.place(session)];
            sessions[*end] = session;
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
            let mut sums = Tally::default();
            for session in of_label {
                sums += Tally::of(part, *session);
                self.people.add(label, visitors[*session]);
            }
            self.sums[label as usize] += sums;
        }
    }

    async fn rolled(snapshot: &Snapshot, scope: &Scope) -> Result<Labels, DatabaseError> {
        let rows = snapshot.rows(include_str!("sql/label_sums.sql"), &scope.parameters()).await?;
        let (mut ids, mut sums, mut sketches) = (Vec::new(), Vec::new(), Vec::new());
        for row in &rows {
            ids.push(row.try_get("id")?);
            sums.push(Tally::read(row)?);
            let mut sketch = Sketch::default();
            sketch.add(row.try_get("sketch")?);
            sketches.push(sketch);
        }
        let people = LabelPeople::Estimated { sketches, others: Vec::new(), limit: GATHERED };
        Ok(Labels { ids, sums, people })
    }
}

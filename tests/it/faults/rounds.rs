//! Plays rounds on some stands at once, and tells what they come to.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, SliceRandom};
use rand::{RngExt, SeedableRng};

use super::kinds::{ALL, Forwarding, Kind};
use super::reckoning::Reckoning;
use super::stand::Stand;
use super::summary::{Summary, Tally};
use crate::harness::load::Outcome;

/// Stands at the same time: most of a round is waiting.
const LANES: usize = 3;
/// Rounds on one stand, so that what an accident leaves meets the next ones.
const ROUNDS_ON_A_STAND: usize = 12;

/// How much is tried.
#[derive(Debug, Clone, Copy)]
pub(super) struct Plan {
    pub(super) rounds: u64,
    /// Number of the first one, to play again what broke.
    pub(super) first: u64,
    /// Of all choices. Moments differ from run to run all the same.
    pub(super) seed: u64,
    /// No round begins later.
    pub(super) limit: Duration,
}

impl Plan {
    /// From `UTM_DISPATCHER_FAULTS`: `rounds=N first=N seed=S minutes=M`, each with a default.
    pub(super) fn from_environment() -> Self {
        let text = std::env::var("UTM_DISPATCHER_FAULTS").unwrap_or_default();
        let number = |name: &str| {
            let value =
                text.split_whitespace().filter_map(|pair| pair.split_once('=')).find(|pair| pair.0 == name);
            value.map(|(_, value)| {
                value.parse::<u64>().unwrap_or_else(|_| panic!("{name}: not a number: {value}"))
            })
        };
        Plan {
            rounds: number("rounds").unwrap_or(340),
            first: number("first").unwrap_or(0),
            seed: number("seed").unwrap_or_else(rand::random),
            limit: Duration::from_secs(60 * number("minutes").unwrap_or(30)),
        }
    }

    /// The accident of a round, and perhaps another; and the dice for the rest.
    fn choice(self, round: u64) -> (Kind, Option<Kind>, StdRng) {
        // Each kind once, in a new order, before any comes again.
        let (turn, place) = (round / ALL.len() as u64, round % ALL.len() as u64);
        let mut deck = ALL;
        deck.shuffle(&mut StdRng::seed_from_u64(self.seed.wrapping_add(turn)));
        let kind = deck[usize::try_from(place).unwrap()];
        let mut dice = StdRng::seed_from_u64(self.seed.rotate_left(32).wrapping_add(round));
        let with_another = dice.random_ratio(1, 3);
        let another = kind.companions().choose(&mut dice).copied().filter(|_| with_another);
        (kind, another, dice)
    }
}

struct Shared {
    plan: Plan,
    begun: Instant,
    next: Mutex<u64>,
    summary: Mutex<Summary>,
}

/// Plays all rounds and prints what they come to; answers whether every promise was kept.
pub(super) async fn run(plan: Plan) -> bool {
    println!("{} rounds of accidents, seed {}", plan.rounds, plan.seed);
    let shared = Arc::new(Shared {
        plan,
        begun: Instant::now(),
        next: Mutex::new(plan.first),
        summary: Mutex::default(),
    });
    let lanes: Vec<_> = (0..LANES).map(|_| tokio::spawn(play(Arc::clone(&shared)))).collect();
    for lane in lanes {
        lane.await.unwrap();
    }
    let summary = shared.summary.lock().unwrap();
    summary.print(plan.seed, shared.begun.elapsed());
    summary.broken.is_empty()
}

impl Shared {
    fn next_round(&self) -> Option<u64> {
        let mut next = self.next.lock().unwrap();
        let is_due = *next < self.plan.first + self.plan.rounds && self.begun.elapsed() < self.plan.limit;
        is_due.then(|| {
            *next += 1;
            *next - 1
        })
    }

    fn note_broken(&self, line: String) {
        println!("BROKEN {line}");
        self.summary.lock().unwrap().broken.push(line);
    }
}

/// Stand after stand until no round is left.
async fn play(shared: Arc<Shared>) {
    let mut round = shared.next_round();
    while let Some(first) = round {
        // A panic is a promise broken, too: something did not happen in time.
        let series = tokio::spawn(play_on_a_stand(Arc::clone(&shared), first));
        round = match series.await {
            Ok(true) => shared.next_round(),
            Ok(false) => return,
            Err(error) => {
                shared.note_broken(format!("a series of rounds: {error}"));
                shared.next_round()
            }
        };
    }
}

/// Some rounds; false where none can be played.
async fn play_on_a_stand(shared: Arc<Shared>, first: u64) -> bool {
    let Some(mut stand) = Stand::set_up().await else { return false };
    let mut round = Some(first);
    for played in 1..=ROUNDS_ON_A_STAND {
        let Some(number) = round else { break };
        let (kind, another, dice) = shared.plan.choice(number);
        match stand.can(kind) {
            Err(reason) => shared.summary.lock().unwrap().skip(kind, reason),
            Ok(()) => {
                let another = another.filter(|another| stand.can(*another).is_ok());
                let mut kinds: Vec<Kind> = another.into_iter().chain([kind]).collect();
                kinds.sort_by_key(|kind| kind.rank());
                let names: Vec<&str> = kinds.iter().map(|kind| kind.name()).collect();
                let title = format!("round {number}: {}", names.join(" and "));
                println!("{title}, files in {}", stand.files().display());
                let (tally, problems) = play_round(&mut stand, number, &kinds, dice).await;
                shared.summary.lock().unwrap().add(kind, &tally);
                if !problems.is_empty() {
                    shared.note_broken(format!("{title}: {problems:?}; kept in {}", stand.keep()));
                    return true;
                }
            }
        }
        round = (played < ROUNDS_ON_A_STAND).then(|| shared.next_round()).flatten();
    }
    let problems = stand.reckon_all().await;
    if problems.is_empty() {
        stand.clear().await;
    } else {
        shared.note_broken(format!("{problems:?}; kept in {}", stand.keep()));
    }
    true
}

async fn play_round(
    stand: &mut Stand,
    number: u64,
    kinds: &[Kind],
    mut dice: StdRng,
) -> (Tally, Vec<String>) {
    let name = format!("r{number:05}");
    let kills = stand.kills;
    let forwarding = kinds.iter().map(|kind| kind.forwarding()).max().unwrap_or(Forwarding::GoesOn);
    stand.open(&name, forwarding == Forwarding::IsKilled).await;
    stand.answers(60).await;
    let calm_p99 = stand.load().p99();
    let mut harms = Vec::new();
    for kind in kinds {
        harms.push((*kind, kind.begin(stand, &mut dice).await));
    }
    stand.pass(dice.random_range(200..900)).await;
    stand.answers(40).await;
    for (kind, harm) in harms.into_iter().rev() {
        kind.end(stand, harm).await;
    }
    let p99 = stand.load().p99();
    stand.answers(60).await;
    let (outcome, reckoning) = stand.close(&name).await;
    let mut problems = unanswered(&outcome, forwarding);
    let Reckoning { hits, lost, doubled, admitted, .. } = reckoning;
    problems.extend(reckoning.problems);
    let tally = Tally {
        rounds: 1,
        in_pairs: u64::from(kinds.len() > 1),
        kills: stand.kills - kills,
        hits,
        lost,
        doubled,
        admitted,
        failed: outcome.failures.len() as u64,
        cut: outcome.cut,
        calm_p99,
        worst_p99: p99,
    };
    (tally, problems)
}

/// Requests that failed although the accidents do not excuse it: a killed proxy cuts connections, one that is replaced
/// closes them between two requests.
fn unanswered(outcome: &Outcome, forwarding: Forwarding) -> Vec<String> {
    let is_excused = |failure: &String| {
        forwarding == Forwarding::IsKilled
            && (failure.contains("closed") || failure.contains("within the answer"))
    };
    let mut problems: Vec<String> =
        outcome.failures.iter().filter(|failure| !is_excused(failure)).cloned().collect();
    if outcome.cut > 0 && forwarding == Forwarding::GoesOn {
        problems.push(format!("{} connections were closed while the proxy went on", outcome.cut));
    }
    problems
}

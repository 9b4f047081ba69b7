//! Where a round takes place: a shop, visitors, the real program, a Postgres of its own and the link to it, a disk for the
//! journal; and the reckoning at a round's end.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};
use utm_dispatcher::hit::Record;

use super::disk::WIDE;
use super::teller::Teller;
use super::{database, kinds::Kind};
use crate::harness::disk::Disk;
use crate::harness::ledger::{Findings, compare};
use crate::harness::link::Link;
use crate::harness::load::{self, Load, Outcome, Receipt};
use crate::harness::postgres::{Database, DedicatedPostgres};
use crate::harness::program::{Program, Settings};
use crate::harness::{Upstream, eventually, skip};

/// Longest time until everything is shipped, or the visitors are answered.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Visitors at the same time, and their pause between two pages.
const VISITORS: (usize, Duration) = (6, Duration::from_millis(12));

/// `journal.wait`: the default, and longer than the journal ever takes.
const SHORT_WAIT: &str = "20ms";
const LONG_WAIT: &str = "4s";

/// A stand for some rounds. Its files stay when it is dropped without [`Stand::clear`].
pub(super) struct Stand {
    load: Option<Load>,
    teller: Option<Teller>,
    pub(super) program: Program,
    pub(super) link: Link,
    pub(super) database: Database,
    pub(super) server: DedicatedPostgres,
    disk: Option<Disk>,
    _shop: Upstream,
    files: PathBuf,
    /// How often the program or the server was killed.
    pub(super) kills: u64,
    /// Records that ended processes of this round dropped.
    dropped: u64,
    /// Pages whose record was damaged in this round, and all records that were.
    pub(super) damaged: HashSet<String>,
    pub(super) damaged_frames: u64,
    pub(super) is_poisoned: bool,
    /// What must be in the database, of all rounds.
    kept: HashMap<String, Receipt>,
}

/// What a round comes to.
#[derive(Debug, Default)]
pub(super) struct Reckoning {
    pub(super) hits: u64,
    pub(super) lost: u64,
    pub(super) doubled: u64,
    /// Lost, and said so by a counter or in `quarantine`.
    pub(super) admitted: u64,
    /// What is otherwise than it should be.
    pub(super) problems: Vec<String>,
}

impl Stand {
    /// None, which was said, where this machine has no Postgres.
    pub(super) async fn set_up() -> Option<Self> {
        let server = DedicatedPostgres::start().await?;
        let database = server.database().await;
        let link = Link::to(&database.url).await;
        let shop = load::shop().await;
        let files = tempfile::tempdir().unwrap().keep();
        let disk = Disk::of_file("64M");
        let journal = disk.as_ref().map_or(&*files, Disk::path).join("journal");
        let mut program = Program::new(Settings {
            upstream: shop.address(),
            database_url: link.url().to_owned(),
            files: files.clone(),
            journal,
            journal_bytes: WIDE,
            journal_wait: SHORT_WAIT,
        });
        program.start().await;
        let stand = Self {
            load: None,
            teller: None,
            program,
            link,
            database,
            server,
            disk,
            _shop: shop,
            files,
            kills: 0,
            dropped: 0,
            damaged: HashSet::new(),
            damaged_frames: 0,
            is_poisoned: false,
            kept: HashMap::new(),
        };
        let ready = || async { (stand.program.ask("/readyz").await? == "ready\n").then_some(()) };
        eventually("the program is ready", PATIENCE, ready).await;
        Some(stand)
    }

    /// Whether this machine has what a kind needs; else why not.
    pub(super) fn can(&self, kind: Kind) -> Result<(), &'static str> {
        if kind.needs_disk() && self.disk.is_none() {
            return Err("no file system may be mounted here");
        }
        if kind == Kind::ClockJumps && super::clock::library().is_none() {
            let reason = "libfaketime is not installed";
            skip(reason);
            return Err(reason);
        }
        Ok(())
    }

    /// Visitors come. Where the program will be killed, no response may have gone ahead of the journal, as some do when
    /// the machine is busy.
    pub(super) async fn open(&mut self, name: &str, will_be_killed: bool) {
        let wait = if will_be_killed { LONG_WAIT } else { SHORT_WAIT };
        let settings = self.program.settings();
        if (settings.journal_wait, settings.journal_bytes) != (wait, WIDE) {
            let change = |settings: &mut Settings| {
                (settings.journal_wait, settings.journal_bytes) = (wait, WIDE);
            };
            self.replace(|program| program.configure(change)).await;
            self.dropped = 0;
        }
        let (visitors, pause) = VISITORS;
        self.load = Some(Load::start(self.program.proxy, visitors, name, 0, pause));
        self.teller = Some(Teller::start(self.program.stats, name));
    }

    pub(super) fn load(&self) -> &Load {
        self.load.as_ref().expect("visitors")
    }

    pub(super) fn disk(&self) -> &Disk {
        self.disk.as_ref().expect("it was asked for")
    }

    pub(super) fn files(&self) -> &Path {
        &self.files
    }

    /// Waits until so many more answers have been received.
    pub(super) async fn answers(&self, more: usize) {
        let target = self.load().received() + more;
        eventually("answers", PATIENCE, || async { (self.load().received() >= target).then_some(()) }).await;
    }

    /// Lets visitors go on for so many milliseconds.
    pub(super) async fn pass(&self, milliseconds: u64) {
        tokio::time::sleep(Duration::from_millis(milliseconds)).await;
    }

    /// `kill -9` of the program.
    pub(super) fn kill(&mut self) {
        self.program.kill();
        self.kills += 1;
    }

    /// Ends the program in its own time.
    pub(super) async fn end_program(&mut self) {
        self.dropped += self.program.counter("hits_dropped").await.unwrap_or(0);
        let status = self.program.terminate().await;
        assert!(status.success(), "the program ended with {status}");
    }

    /// Ends the program and starts it again, changed.
    pub(super) async fn replace(&mut self, change: impl FnOnce(&mut Program)) {
        self.end_program().await;
        change(&mut self.program);
        self.program.start().await;
    }

    /// Visitors go to this program now; the other one is answered.
    pub(super) fn change_to(&mut self, new: Program) -> Program {
        self.load().go_to(new.proxy);
        self.teller.as_ref().expect("a teller").go_to(new.stats);
        std::mem::replace(&mut self.program, new)
    }

    /// Has Postgres do something at which it may be disturbed.
    pub(super) async fn does(&self, statement: &str) {
        eventually(statement, PATIENCE, || async {
            self.connect().await?.batch_execute(statement).await.ok()
        })
        .await;
    }

    async fn connect(&self) -> Option<Client> {
        let (client, connection) = tokio_postgres::connect(&self.database.url, NoTls).await.ok()?;
        tokio::spawn(connection);
        Some(client)
    }

    /// Ends the visits, waits until everything is shipped, and compares.
    pub(super) async fn close(&mut self, name: &str) -> (Outcome, Reckoning) {
        let outcome = self.load.take().expect("visitors").stop().await;
        let (told, refused) = self.teller.take().expect("a teller").stop().await;
        let mut reckoning =
            Reckoning { hits: outcome.received.len() as u64, problems: refused, ..Reckoning::default() };
        let started = Instant::now();
        let (book, dropped) = loop {
            let book = self.book(name, &outcome.received, &told).await;
            let dropped = self.dropped + self.program.counter("hits_dropped").await.unwrap_or(0);
            match book {
                Some(book) if book.is_settled(dropped) || started.elapsed() > PATIENCE => {
                    break (book, dropped);
                }
                Some(_) => {}
                None => assert!(started.elapsed() < PATIENCE, "the database does not answer"),
            }
            self.pass(50).await;
        };
        let lost = book.findings.lost.len() as u64;
        reckoning.lost = lost.saturating_sub(dropped) + book.told_missing.len() as u64;
        reckoning.doubled = book.findings.doubled.len() as u64;
        reckoning.admitted = dropped + book.quarantined + self.damaged_frames;
        let mut lines = book.problems(dropped);
        let counted = self.program.counter("journal_frames_damaged").await;
        if self.damaged_frames > 0 && counted != Some(self.damaged_frames) {
            lines.push(format!("{} records were damaged, {counted:?} counted", self.damaged_frames));
        }
        reckoning.problems.extend(lines);
        reckoning.problems.extend(self.what_stays_wrong(dropped > 0).await);
        let missing: HashSet<&String> = book.findings.lost.iter().chain(&book.expected).collect();
        let kept = outcome.received.iter().filter(|(path, _)| !missing.contains(path));
        self.kept.extend(kept.map(|(path, receipt)| (path.clone(), receipt.clone())));
        self.begin_anew().await;
        (outcome, reckoning)
    }

    /// What `/readyz` says for long after everything is well again; that records were dropped it says for ever.
    async fn what_stays_wrong(&self, dropped: bool) -> Option<String> {
        let is_well = |text: &str| {
            text == "ready\n"
                || (dropped && text.starts_with("degraded\ndrops:") && text.lines().count() == 2)
        };
        let started = Instant::now();
        loop {
            match self.program.ask("/readyz").await {
                Some(text) if is_well(&text) => return None,
                answer if started.elapsed() > PATIENCE => return Some(format!("/readyz: {answer:?}")),
                _ => self.pass(100).await,
            }
        }
    }

    /// What belongs to a round alone goes with it.
    async fn begin_anew(&mut self) {
        if self.is_poisoned {
            database::take_odd(self).await;
        }
        self.dropped = 0;
        self.damaged.clear();
        self.damaged_frames = 0;
    }

    async fn book(
        &self,
        name: &str,
        received: &HashMap<String, Receipt>,
        told: &HashSet<String>,
    ) -> Option<Book> {
        let client = self.connect().await?;
        let is_expected = |path: &String, receipt: &Receipt| {
            self.damaged.contains(path) || (self.is_poisoned && receipt.status == 203)
        };
        let (away, here): (HashMap<_, _>, HashMap<_, _>) = received
            .iter()
            .map(|(path, receipt)| (path.clone(), receipt.clone()))
            .partition(|(path, receipt)| is_expected(path, receipt));
        let findings = compare(&client, name, &here).await.ok()?;
        let not_there = compare(&client, name, &away).await.ok()?.lost;
        let stored_all_the_same = away.len() - not_there.len();
        let quarantine = quarantined(&client, name).await?;
        let odd: HashSet<String> =
            away.keys().filter(|path| !self.damaged.contains(*path)).cloned().collect();
        let pattern = format!("api-{name}%");
        let orders = "SELECT order_id FROM order_entries WHERE order_id LIKE $1";
        let orders = client.query(orders, &[&pattern]).await.ok()?;
        let stored: HashSet<String> = orders.iter().map(|row| row.get(0)).collect();
        Some(Book {
            findings,
            expected: not_there,
            stored_all_the_same,
            not_set_aside: odd.iter().filter(|path| !quarantine.contains(path)).count(),
            wrongly_set_aside: quarantine
                .iter()
                .filter(|path| !(self.is_poisoned && path.contains("/odd/")))
                .count(),
            quarantined: quarantine.len() as u64,
            told_missing: told.difference(&stored).cloned().collect(),
        })
    }

    /// Compares all rounds once more, and the sums with their parts.
    pub(super) async fn reckon_all(&mut self) -> Vec<String> {
        let Some(client) = self.connect().await else { return vec!["the database does not answer".into()] };
        let findings = compare(&client, "r", &self.kept).await.unwrap();
        let mut problems = Vec::new();
        if !findings.lost.is_empty() || !findings.doubled.is_empty() || !findings.wrong.is_empty() {
            problems.push(format!("after all rounds: {findings:?}"));
        }
        let sums = "SELECT (SELECT coalesce(sum(page_views), 0)::bigint FROM sessions),
            (SELECT count(*) FROM events JOIN action_kinds k USING (kind_id) WHERE k.name = 'page_view')";
        let row = client.query_one(sums, &[]).await.unwrap();
        let (of_sessions, of_events): (i64, i64) = (row.get(0), row.get(1));
        if of_sessions != of_events {
            problems.push(format!("sessions have {of_sessions} page views, there are {of_events}"));
        }
        problems
    }

    /// Leaves the journal beside log and configuration, and says where.
    pub(super) fn keep(&self) -> String {
        let copied = self.files.join("journals");
        let journal = &self.program.settings().journal;
        if !journal.starts_with(&self.files) {
            let _ = Command::new("cp").arg("-r").arg(journal).arg(&copied).status();
        }
        self.files.display().to_string()
    }

    /// Takes everything away.
    pub(super) async fn clear(mut self) {
        self.end_program().await;
        let _ = std::fs::remove_dir_all(&self.files);
    }
}

impl Drop for Stand {
    fn drop(&mut self) {
        if std::thread::panicking() {
            println!("kept in {}", self.keep());
        }
    }
}

/// What the database has of a round.
struct Book {
    findings: Findings,
    /// What was received and should not be there, and is not.
    expected: Vec<String>,
    stored_all_the_same: usize,
    not_set_aside: usize,
    wrongly_set_aside: usize,
    quarantined: u64,
    told_missing: Vec<String>,
}

impl Book {
    fn is_settled(&self, dropped: u64) -> bool {
        self.findings.lost.len() as u64 == dropped && self.not_set_aside == 0 && self.told_missing.is_empty()
    }

    fn problems(&self, dropped: u64) -> Vec<String> {
        let mut lines = Vec::new();
        let mut note = |is_wrong: bool, line: String| lines.extend(is_wrong.then_some(line));
        let Findings { lost, doubled, wrong } = &self.findings;
        note(
            lost.len() as u64 != dropped,
            format!("{} lost, {dropped} admitted: {}", lost.len(), some(lost)),
        );
        note(!doubled.is_empty(), format!("doubled: {}", some(doubled)));
        note(!wrong.is_empty(), format!("wrong: {}", some(wrong)));
        note(!self.told_missing.is_empty(), format!("orders lost: {}", some(&self.told_missing)));
        let set_aside = [self.stored_all_the_same, self.not_set_aside, self.wrongly_set_aside];
        note(
            set_aside != [0; 3],
            format!("stored although damaged or refused, not set aside, wrongly set aside: {set_aside:?}"),
        );
        lines
    }
}

/// The first of them, and how many there are.
fn some(lines: &[String]) -> String {
    format!("{} of {}", lines.iter().take(8).map(String::as_str).collect::<Vec<_>>().join(", "), lines.len())
}

/// Paths of the pages of a round in `quarantine`; what is no page by its own name.
async fn quarantined(client: &Client, name: &str) -> Option<Vec<String>> {
    let rows = client.query("SELECT payload FROM quarantine", &[]).await.ok()?;
    let path = |row: &tokio_postgres::Row| match Record::decode(row.get::<_, &[u8]>(0)) {
        Ok(Record::Hit(hit)) => hit.path.to_string(),
        other => format!("/{name}/{other:?}"),
    };
    let below = format!("/{name}/");
    Some(rows.iter().map(path).filter(|path| path.starts_with(&below)).collect())
}

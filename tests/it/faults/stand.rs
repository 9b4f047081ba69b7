//! Where a round takes place: a shop, visitors, the real program, a Postgres of its own and the link to it, a disk for the
//! journal; and the reckoning at a round's end.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, NoTls};

use super::disk::WIDE;
use super::reckoning::{Book, Reckoning, Spoilt, reckon_all};
use super::teller::Teller;
use super::{database, kinds::Kind};
use crate::harness::disk::Disk;
use crate::harness::link::Link;
use crate::harness::load::{self, Load, Outcome, Receipt};
use crate::harness::postgres::{Database, DedicatedPostgres};
use crate::harness::program::{Program, Settings};
use crate::harness::{Upstream, eventually, skip};

/// Longest time until the visitors are answered.
pub(super) const PATIENCE: Duration = Duration::from_secs(60);
/// Longest time in which nothing more is shipped, before all is: what Postgres refuses is found by halving, again and again.
const SHIPPING_MAY_TAKE: Duration = Duration::from_secs(120);
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
    /// In this round.
    pub(super) spoilt: Spoilt,
    /// What must be in the database, of all rounds.
    kept: HashMap<String, Receipt>,
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
        let mut settings = Settings::new(shop.address(), link.url(), &files);
        if let Some(disk) = &disk {
            settings.journal = disk.path().join("journal");
        }
        settings.journal_bytes = WIDE;
        let mut program = Program::with(settings);
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
            spoilt: Spoilt::default(),
            kept: HashMap::new(),
        };
        let ready = || async { (stand.program.ask("/readyz").await?.1 == "ready\n").then_some(()) };
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
        let (orders, refused) = self.teller.take().expect("a teller").stop().await;
        let (mut missing, mut shipped_at) = (usize::MAX, Instant::now());
        let (book, dropped) = loop {
            let book = self.book(name, &outcome, &orders).await;
            let dropped = self.dropped + self.program.counter("hits_dropped").await.unwrap_or(0);
            if let Some(now_missing) = book.as_ref().map(Book::missing)
                && now_missing < missing
            {
                (missing, shipped_at) = (now_missing, Instant::now());
            }
            let is_over = shipped_at.elapsed() > SHIPPING_MAY_TAKE;
            match book {
                Some(book) if book.is_settled(dropped) || is_over => break (book, dropped),
                Some(_) => {}
                None => assert!(!is_over, "the database does not answer"),
            }
            self.pass(50).await;
        };
        let mut reckoning = book.reckon(dropped);
        reckoning.hits = outcome.received.len() as u64;
        reckoning.admitted += self.spoilt.records;
        reckoning.problems.extend(refused);
        let (damaged, counted) = (self.spoilt.records, self.program.counter("journal_frames_damaged").await);
        if damaged > 0 && counted != Some(damaged) {
            reckoning.problems.push(format!("{damaged} records were damaged, {counted:?} counted"));
        }
        reckoning.problems.extend(self.what_stays_wrong(dropped > 0).await);
        let kept = outcome.received.iter().filter(|(path, _)| book.has(path));
        self.kept.extend(kept.map(|(path, receipt)| (path.clone(), receipt.clone())));
        if self.spoilt.odd {
            database::take_odd(self).await;
        }
        self.spoilt = Spoilt::default();
        self.dropped = 0;
        (outcome, reckoning)
    }

    async fn book(&self, name: &str, outcome: &Outcome, orders: &HashSet<String>) -> Option<Book> {
        let client = self.connect().await?;
        Book::read(&client, name, &outcome.received, orders, &self.spoilt).await.ok()
    }

    /// What `/readyz` says for long after everything is well again; that records were dropped it says for ever.
    async fn what_stays_wrong(&self, dropped: bool) -> Option<String> {
        // A warning of what an earlier round's poison left in quarantine is right.
        let is_well = |text: &str| {
            let mut lines = text.lines().filter(|line| !line.starts_with("warning: quarantine:"));
            match lines.next() {
                Some("ready") => lines.next().is_none(),
                Some("degraded") => {
                    dropped
                        && lines.next().is_some_and(|line| line.starts_with("drops:"))
                        && lines.next().is_none()
                }
                _ => false,
            }
        };
        let started = Instant::now();
        loop {
            match self.program.ask("/readyz").await {
                Some((_, text)) if is_well(&text) => return None,
                answer if started.elapsed() > PATIENCE => return Some(format!("/readyz: {answer:?}")),
                _ => self.pass(100).await,
            }
        }
    }

    /// Compares all rounds once more.
    pub(super) async fn reckon_all(&self) -> Vec<String> {
        let client = self.connect().await.expect("the database answers");
        reckon_all(&client, &self.kept).await.unwrap()
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

//! `journal`: what waits in the journal or is kept there, and what of it was set aside.

use std::io::Write;
use std::path::{Path, PathBuf};

use anyhow::Context;
use clap::{Args as ClapArgs, Subcommand};
use serde_json::json;
use uuid::Uuid;

use crate::config::{self, Config};
use crate::hit::Record;
use crate::journal::Position;
use crate::journal::directory::run_directories;
use crate::journal::reader::{ReadError, Reader, segment_path, segments};
use crate::ship::enrich::address::truncated;
use crate::ship::{self, Replayed, ShipSettings, checkpoints};

/// Bytes read at once.
const CHUNK_BYTES: usize = 4 << 20;

/// Which of them.
#[derive(Debug, ClapArgs)]
pub(super) struct Args {
    #[command(subcommand)]
    pub(super) action: Action,
}

/// What is shown of the journal.
#[derive(Debug, Subcommand)]
pub(super) enum Action {
    /// List journals and segments: sizes, and how far each has been shipped
    List,
    /// Print the records as JSON lines
    Dump,
    /// Bring records that could not be stored (table quarantine) to the database again, when the cause is gone
    Replay,
}

/// Does what the action says.
pub(super) fn run(config: &Path, args: &Args) -> anyhow::Result<()> {
    let config = config::load(config)?;
    let dir = &config.journal.dir;
    let journals = run_directories(dir).with_context(|| format!("cannot read {}", dir.display()))?;
    match args.action {
        Action::List => super::in_office(list(&config, &journals)),
        Action::Dump => dump(&journals),
        Action::Replay => super::in_office(replay(&config)),
    }
}

async fn replay(config: &Config) -> anyhow::Result<()> {
    let (store, _cluster) = super::database(config).await?;
    super::must_be_current(&store).await?;
    let Replayed { stored, refused, past_retention } =
        ship::replay(&store, ShipSettings::from(config)).await?;
    println!("{stored} records that had been set aside are stored");
    if past_retention > 0 {
        println!("{past_retention} are of a time that is not kept any more, and gone");
    }
    anyhow::ensure!(
        refused == 0,
        "{refused} cannot be stored; the table quarantine has them and the reasons"
    );
    Ok(())
}

/// One line a segment. Without the database what is shipped is not known.
async fn list(config: &Config, journals: &[(Uuid, PathBuf)]) -> anyhow::Result<()> {
    let uuids: Vec<Uuid> = journals.iter().map(|(uuid, _)| *uuid).collect();
    let checkpoints = match super::database(config).await {
        Ok((store, _cluster)) => checkpoints(&store, &uuids).await.map_err(anyhow::Error::from),
        Err(error) => Err(error),
    };
    if let Err(error) = &checkpoints {
        eprintln!("what is shipped is not known: {error:#}");
    }
    let mut unread = Unread::default();
    for (journal, path) in journals {
        for number in unread.unless(segments(path)).unwrap_or_default() {
            let path = segment_path(path, number);
            let metadata = std::fs::metadata(&path).map_err(|source| ReadError::Io { path, source });
            let Some(bytes) = unread.unless(metadata).map(|metadata| metadata.len()) else { continue };
            let state =
                match checkpoints.as_ref().map(|known| known.get(journal).copied().unwrap_or_default()) {
                    Err(_) => "unknown".to_owned(),
                    Ok(position) if number < position.segment => "shipped".to_owned(),
                    Ok(position) if number > position.segment => "waits".to_owned(),
                    Ok(position) => format!("shipped up to byte {}", position.offset),
                };
            println!("{journal}  segment {number}  {bytes} bytes  {state}");
        }
    }
    unread.end()
}

/// What could not be read: it keeps nobody from seeing the rest.
#[derive(Default)]
struct Unread(usize);

impl Unread {
    /// What was read; what was not is said.
    fn unless<T>(&mut self, read: Result<T, ReadError>) -> Option<T> {
        read.inspect_err(|error| {
            eprintln!("{error}");
            self.0 += 1;
        })
        .ok()
    }

    fn end(self) -> anyhow::Result<()> {
        anyhow::ensure!(self.0 == 0, "not all could be read");
        Ok(())
    }
}

/// Every record as a line of JSON with its place; addresses are masked.
fn dump(journals: &[(Uuid, PathBuf)]) -> anyhow::Result<()> {
    let mut out = std::io::stdout().lock();
    let mut unread = Unread::default();
    for (journal, path) in journals {
        let last = unread.unless(segments(path)).unwrap_or_default().last().copied().unwrap_or(0);
        let mut reader = Reader::new(path, Position::default());
        loop {
            let Some(chunk) = unread.unless(reader.read(None, CHUNK_BYTES)) else {
                // The next segment may be better.
                let next = reader.position().segment + 1;
                if next > last {
                    break;
                }
                reader = Reader::new(path, Position { segment: next, offset: 0 });
                continue;
            };
            if chunk.is_empty() {
                break;
            }
            for (position, payload) in &chunk.frames {
                let place =
                    json!({"journal": journal, "segment": position.segment, "offset": position.offset});
                let record = match Record::decode(payload) {
                    Ok(Record::Hit(mut hit)) => {
                        hit.client_address = hit.client_address.map(truncated);
                        json!({"kind": "hit", "at": place, "record": hit})
                    }
                    Ok(Record::Action(fact)) => json!({"kind": "action", "at": place, "record": fact}),
                    Ok(Record::Spend(fact)) => json!({"kind": "spend", "at": place, "record": fact}),
                    Ok(Record::Order(fact)) => json!({"kind": "order", "at": place, "record": fact}),
                    Ok(Record::Erasure(erasure)) => {
                        json!({"kind": "erasure", "at": place, "record": erasure})
                    }
                    Ok(Record::BotCount(count)) => json!({"kind": "bot_count", "at": place, "record": count}),
                    Err(error) => json!({"kind": "unreadable", "at": place, "error": error.to_string()}),
                };
                writeln!(out, "{record}")?;
            }
        }
    }
    unread.end()
}

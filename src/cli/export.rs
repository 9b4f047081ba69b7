//! `export`: everything that is stored of a person, as JSON on standard output (GDPR, articles 15 and 20).

use std::io::Write as _;
use std::path::Path;

use tokio::sync::mpsc;

pub(super) use super::forget::Args;
use super::forget::subject;
use crate::config;
use crate::ship::export::Export;

/// Pieces that may wait to be printed.
const PIECES: usize = 4;

/// Prints it.
pub(super) fn run(config: &Path, args: &Args) -> anyhow::Result<()> {
    let config = config::load(config)?;
    let subject = subject(&config, args)?;
    super::in_office(async {
        let (store, _cluster) = super::database(&config).await?;
        super::must_be_current(&store).await?;
        let mut client = store.office().await?;
        let transaction = Export::begin(&mut client).await?;
        let export = Export::of(&transaction, &subject).await?;
        let (out, mut pieces) = mpsc::channel::<bytes::Bytes>(PIECES);
        let printed = tokio::task::spawn_blocking(move || {
            let mut stdout = std::io::stdout().lock();
            while let Some(piece) = pieces.blocking_recv() {
                stdout.write_all(&piece)?;
            }
            stdout.flush()
        });
        export.send(&transaction, &out).await?;
        drop(out);
        Ok(printed.await??)
    })
}

//! The mix as it comes: hits are handed to the journal at an even pace and shipped in the small batches of every day, and
//! not, as a backlog, in the largest. What a page view takes then, each session written again with most of its views.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::sync::oneshot;
use utm_dispatcher::journal::frame::{FORMAT, append};
use utm_dispatcher::journal::writer::Batch;

use crate::Arguments;
use crate::cluster::{Databases, sizes};
use crate::mix::{VIEWS_A_SESSION, Window};
use crate::rounds::{bytes_a_view, print_bytes};
use crate::shipping::Shipping;

/// Page views a second: ten times what the mix says, so that a minute is enough.
const PACE: u64 = 5_000;
const TICK: Duration = Duration::from_millis(20);
/// How long what came last may take.
const LONGEST: Duration = Duration::from_secs(120);

/// Measures, prints and answers the figures.
pub(crate) async fn measure(databases: &Databases, arguments: &Arguments) -> anyhow::Result<Value> {
    let known = databases.visitors(arguments.live).await?;
    let begin_ms = databases.next_hour_ms().await?;
    let sessions = arguments.live / VIEWS_A_SESSION;
    let window = Window { begin_ms, sessions, mix: arguments.mix, known: &known };
    databases.make_room(begin_ms, window.end_ms()).await?;
    let client = databases.shipped.office().await?;
    let before = sizes(&client).await?;
    let journals = tempfile::tempdir()?;
    let shipping = Shipping::start(journals.path(), databases.shipped.clone())?;
    let mut ticks = tokio::time::interval(TICK);
    let mut hits = window.hits().peekable();
    while hits.peek().is_some() {
        ticks.tick().await;
        let mut frames = Vec::new();
        for hit in hits.by_ref().take((PACE * TICK.as_millis() as u64 / 1000) as usize) {
            append(&hit, &mut frames)?;
        }
        let (ack, _) = oneshot::channel();
        shipping.batches.send(Batch { frames, durable: false, format: FORMAT, ack })?;
    }
    let records = sessions * VIEWS_A_SESSION;
    let deadline = Instant::now() + LONGEST;
    while shipping.metrics.records_shipped.get() < records {
        anyhow::ensure!(Instant::now() < deadline, "not all that came was shipped");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    shipping.end().await?;
    let bytes = bytes_a_view(&before, &sizes(&client).await?, records as f64);
    println!("\n{records} page views as they come, {PACE} a second");
    let total = print_bytes(&bytes);
    Ok(json!({"page_views": records, "a_second": PACE, "bytes_a_view": bytes, "total_bytes_a_view": total}))
}

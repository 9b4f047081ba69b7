//! Everything that operators do to a running program, at once and under load: reloads, an upstream's server killed and
//! started again, the end. `./dev churn` is the long form.

use std::time::{Duration, Instant};

use crate::harness::load::{self, Load, Outcome, page};
use crate::harness::program::Program;
use crate::harness::{Upstream, free_address, postgres};
use crate::outages::nothing_is_lost_or_doubled;

/// The most that the end may take: `drain_timeout`, and the last batch.
const END: Duration = Duration::from_secs(30);

async fn churn(time: Duration) {
    let database = postgres::database().await;
    let shop = load::shop().await;
    let mut second = Some(Upstream::start_at(free_address(), page).await);
    let address = second.as_ref().unwrap().address();
    let files = tempfile::tempdir().unwrap();
    let mut program = Program::new(shop.address(), &database.url, files.path());
    program.edit(|text| {
        let one = format!("servers = [\"http://{}\"]", shop.address());
        text.replace(&one, &format!("servers = [\"http://{}\", \"http://{address}\"]", shop.address()))
    });
    program.start().await;
    let kept = Load::start(program.proxy, 8, "visit", 0, Duration::from_millis(10));
    let (begun, mut reloads, mut kills) = (Instant::now(), 0, 0);
    while begun.elapsed() < time {
        program.edit(|text| {
            let text = text.split("\n# churn").next().unwrap().to_owned();
            let path = ["/a", "/b"][reloads % 2];
            format!("{text}\n# churn\n[[route]]\npath = \"{path}\"\nupstream = \"shop\"\n")
        });
        program.reload().await;
        reloads += 1;
        if reloads % 5 == 2 {
            second.take().unwrap().kill();
            kills += 1;
        }
        if second.is_none() && reloads % 5 == 4 {
            second = Some(Upstream::start_at(address, page).await);
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
    let ended_at = Instant::now();
    let status = program.terminate().await;
    let end = ended_at.elapsed();
    let outcome = kept.stop().await;
    println!(
        "{reloads} reloads, {kills} kills of a server, {} answers in {:?}; {} failed, {} closed before a request; the end \
         took {end:?}",
        outcome.received.len(),
        time,
        outcome.failures.len(),
        outcome.cut
    );
    assert!(outcome.failures.is_empty(), "{:?}", outcome.failures);
    assert!(status.success() && end < END, "{status} after {end:?}: {}", program.log());
    assert_eq!(program.log().matches("configuration reloaded").count(), reloads);
    program.start().await;
    nothing_is_lost_or_doubled(&Outcome { cut: 0, ..outcome }, &database).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn reloads_a_killed_server_and_the_end_fail_no_request() {
    churn(Duration::from_secs(8)).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "a minute; ./dev churn"]
async fn a_minute_of_churn_fails_no_request() {
    churn(Duration::from_secs(60)).await;
}

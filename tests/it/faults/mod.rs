//! Trials: accidents of every kind, one or two at once, by the hundred, while visitors are served by the real program
//! before a real Postgres. At the end everything is shipped, and what the visitors were given is held against the
//! database: nothing lost, nothing twice, no request failed, but for what the program itself admits.
//!
//! `./dev faults` runs many rounds; `./dev test` one of each kind. A round is made from the seed and its number alone.

mod clock;
mod database;
mod disk;
mod kinds;
mod process;
mod reckoning;
mod rounds;
mod segments;
mod stand;
mod summary;
mod teller;

use std::time::Duration;

use rounds::Plan;

#[tokio::test(flavor = "multi_thread")]
async fn no_accident_loses_or_doubles_what_was_answered() {
    let plan = Plan {
        rounds: kinds::ALL.len() as u64,
        first: 0,
        seed: rand::random(),
        limit: Duration::from_secs(300),
    };
    assert!(rounds::run(plan).await, "a promise is broken; what was kept says how");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "takes minutes; ./dev faults runs it"]
async fn hundreds_of_accidents_lose_and_double_nothing() {
    let plan = Plan::from_environment();
    assert!(rounds::run(plan).await, "a promise is broken; what was kept says how");
}

//! Reads user agents that are in the database already, within a budget of time, so that a flood of fresh ones holds
//! nothing up: 0.3 ms each, where a page view takes 0.03.
//!
//! Rule: the columns are a function of the texts alone, so it does not show who filled them in, or when. The table is the
//! list of what is to be done; one that was refused by the cap is not in it, and never read.

use std::time::{Duration, Instant};

use deadpool_postgres::Client;
use tokio_postgres::types::Type;

use super::ShipError;
use super::columns::send;
use super::enrich::Agent;

/// How long a turn reads, between two batches. The first ever also reads the tables, up to a second.
const BUDGET: Duration = Duration::from_millis(50);
/// How many are looked up for a turn.
const TURN: usize = 500;

/// Reads some; says whether there may be more.
pub(super) async fn read_some(client: &Client) -> Result<bool, ShipError> {
    let limit = [(&i64::try_from(TURN).unwrap_or(i64::MAX) as _, Type::INT8)];
    let unread = client.query_typed(include_str!("sql/unread_agents.sql"), &limit).await?;
    let unread: Vec<_> = unread.iter().map(|row| (row.get(0), row.get(1), row.get(2))).collect();
    let found = unread.len();
    let read = tokio::task::spawn_blocking(move || read_within(unread, BUDGET)).await?;
    send!(client, "read_agents", read, |(id, agent)| {
        INT8_ARRAY: id, TEXT_ARRAY: agent.device_type,
        TEXT_ARRAY: &agent.device_brand, TEXT_ARRAY: &agent.device_model,
        TEXT_ARRAY: &agent.os_name, TEXT_ARRAY: &agent.os_version,
        TEXT_ARRAY: &agent.browser_name, TEXT_ARRAY: &agent.browser_version,
    })?;
    Ok(found == TURN || read.len() < found)
}

/// At least one, if there is any.
fn read_within(unread: Vec<(i64, String, String)>, budget: Duration) -> Vec<(i64, Agent)> {
    let begun = Instant::now();
    let mut read = Vec::new();
    for (id, user_agent, client_hints) in unread {
        if !read.is_empty() && begun.elapsed() >= budget {
            break;
        }
        read.push((id, Agent::of(&user_agent, &client_hints)));
    }
    read
}

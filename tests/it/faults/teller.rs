//! The shop's back office, which tells the API about orders and keeps what was taken.

use std::collections::HashSet;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

/// Between two orders.
const PAUSE: Duration = Duration::from_millis(100);

/// Tells until it is stopped.
pub(super) struct Teller {
    shared: Arc<Shared>,
    ends: CancellationToken,
    task: tokio::task::JoinHandle<()>,
}

struct Shared {
    stats: Mutex<SocketAddr>,
    taken: Mutex<HashSet<String>>,
    refused: Mutex<Vec<String>>,
}

impl Teller {
    pub(super) fn start(stats: SocketAddr, name: &str) -> Self {
        let shared =
            Arc::new(Shared { stats: Mutex::new(stats), taken: Mutex::default(), refused: Mutex::default() });
        let ends = CancellationToken::new();
        let task = tokio::spawn(tell_on(Arc::clone(&shared), name.to_owned(), ends.clone()));
        Self { shared, ends, task }
    }

    pub(super) fn go_to(&self, stats: SocketAddr) {
        *self.shared.stats.lock().unwrap() = stats;
    }

    /// The orders that were taken, and those that were refused for good.
    pub(super) async fn stop(self) -> (HashSet<String>, Vec<String>) {
        self.ends.cancel();
        self.task.await.unwrap();
        let taken = std::mem::take(&mut *self.shared.taken.lock().unwrap());
        (taken, std::mem::take(&mut *self.shared.refused.lock().unwrap()))
    }
}

/// What is under way at the end is given up: nobody knows what became of it.
async fn tell_on(shared: Arc<Shared>, name: String, ends: CancellationToken) {
    let client = reqwest::Client::builder().no_proxy().build().unwrap();
    let mut under_way = JoinSet::new();
    for number in 0_u64.. {
        if ends.run_until_cancelled(tokio::time::sleep(PAUSE)).await.is_none() {
            return;
        }
        under_way.spawn(tell(client.clone(), Arc::clone(&shared), format!("api-{name}-{number}")));
        while under_way.try_join_next().is_some() {}
    }
}

async fn tell(client: reqwest::Client, shared: Arc<Shared>, order: String) {
    let stats = *shared.stats.lock().unwrap();
    let orders = json!([{"order_id": order, "status": "placed", "value": "50.00", "currency": "UAH"}]);
    let Ok(answer) = client.post(format!("http://{stats}/api/v1/orders")).json(&orders).send().await else {
        return;
    };
    let status = answer.status();
    let Ok(told) = answer.json::<Value>().await else { return };
    match told["results"][0]["outcome"].as_str() {
        Some("recorded" | "accepted" | "duplicate") => shared.taken.lock().unwrap().insert(order),
        // 503: the journal does not take it, and it may be told again.
        _ if status == 503 => return,
        _ => return shared.refused.lock().unwrap().push(format!("order {order}: {status} {told}")),
    };
}

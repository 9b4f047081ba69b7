//! What the tests stand on.

pub mod link;
pub mod postgres;

use std::time::Duration;

use tokio::time::Instant;

/// Asks again and again until `question` gives an answer; panics with `what` when it does not in time.
pub async fn eventually<T, F>(what: &str, patience: Duration, mut question: impl FnMut() -> F) -> T
where
    F: Future<Output = Option<T>>,
{
    let deadline = Instant::now() + patience;
    loop {
        if let Some(answer) = question().await {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what}: not within {patience:?}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

/// Says why a test cannot run here; where nothing may be left out (`UTM_DISPATCHER_NO_SKIP`), fails instead.
pub fn skip(reason: &str) {
    assert!(std::env::var_os("UTM_DISPATCHER_NO_SKIP").is_none(), "this test must not be left out: {reason}");
    println!("SKIPPED: {reason}");
}

//! The salt of the day, from which cookieless ids are made: random, replaced at midnight UTC, kept nowhere.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use rand::TryRng;
use rand::rngs::SysRng;
use tokio_util::sync::CancellationToken;

use crate::clock::unix_ms;

const DAY_MS: u64 = 86_400_000;

/// Today's salt. Clones share it.
#[derive(Debug, Clone)]
pub struct Salts(Arc<ArcSwap<[u8; 16]>>);

impl Salts {
    /// A fresh salt. Fails when the system has no random bytes.
    pub fn new() -> std::io::Result<Self> {
        Ok(Self(Arc::new(ArcSwap::from_pointee(random()?))))
    }

    /// Today's.
    pub fn today(&self) -> arc_swap::Guard<Arc<[u8; 16]>> {
        self.0.load()
    }

    /// Replaces the salt at each midnight until `shutdown`.
    pub async fn replace_daily(self, shutdown: CancellationToken) {
        loop {
            let until_midnight = Duration::from_millis(DAY_MS - unix_ms() % DAY_MS);
            if shutdown.run_until_cancelled(tokio::time::sleep(until_midnight)).await.is_none() {
                return;
            }
            match random() {
                Ok(salt) => self.0.store(Arc::new(salt)),
                Err(error) => tracing::error!(%error, "no random bytes for a new salt; today's is kept"),
            }
        }
    }
}

fn random() -> std::io::Result<[u8; 16]> {
    let mut salt = [0; 16];
    SysRng.try_fill_bytes(&mut salt).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(salt)
}

//! Maintenance: everybody but a few is answered 503 instead of the shop, by the configuration or while a file is there.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::channel;
use std::time::Duration;

use ipnet::IpNet;

use crate::config;

/// Time between two looks at the file.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// Whether the shop is closed, and to whom. Clones share what is known of the file.
#[derive(Debug, Clone)]
pub struct Maintenance {
    is_on: bool,
    file_is_there: Arc<AtomicBool>,
    allow: Vec<IpNet>,
    /// What `Retry-After` says, whole seconds.
    pub retry_after: Duration,
}

impl Maintenance {
    /// Looks whether the file is there. A thread of its own goes on looking, as long as there is a clone: a disk that
    /// hangs holds nothing else up.
    pub fn watch(config: &config::Maintenance) -> Self {
        let file_is_there = Arc::new(AtomicBool::new(false));
        if let Some(file) = config.flag_file.clone() {
            let told = Arc::downgrade(&file_is_there);
            let (looked, first_look) = channel();
            let look = move || {
                while let Some(file_is_there) = told.upgrade() {
                    note(&file_is_there, &file);
                    drop(file_is_there);
                    // Nobody listens after the first time.
                    let _ = looked.send(());
                    std::thread::sleep(LOOK_EVERY);
                }
            };
            match std::thread::Builder::new().name("maintenance".to_owned()).spawn(look) {
                // A disk that hangs does not keep the shop from opening.
                Ok(_) => _ = first_look.recv_timeout(LOOK_EVERY),
                Err(error) => tracing::error!(%error, "maintenance: nobody looks for the file"),
            }
        }
        let (is_on, retry_after) = (config.on, config.retry_after);
        Maintenance { is_on, file_is_there, allow: config.allow.clone(), retry_after }
    }

    /// Whether this client finds the shop closed.
    pub fn is_closed_to(&self, client: IpAddr) -> bool {
        (self.is_on || self.file_is_there.load(Ordering::Relaxed))
            && !self.allow.iter().any(|network| network.contains(&client))
    }
}

fn note(file_is_there: &AtomicBool, file: &Path) {
    let is_there = file.exists();
    if file_is_there.swap(is_there, Ordering::Relaxed) != is_there {
        let file = file.display();
        if is_there {
            tracing::warn!(%file, "maintenance: the shop is closed while this file is there");
        } else {
            tracing::info!(%file, "maintenance: the shop is open again");
        }
    }
}

//! The salts of days, from which cookieless ids are made. Random; those of the database, which all its proxies share,
//! where it answers, else local ones. None outlives two days.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use rand::TryRng;
use rand::rngs::SysRng;

const DAY_MS: u64 = 86_400_000;
/// How long a salt is kept.
pub const KEEP: Duration = Duration::from_secs(2 * 86_400);
/// Days that are remembered, should a clock jump about.
const MOST_DAYS: usize = 8;

/// A salt.
pub type Salt = [u8; 16];

/// The salts of a few days. Clones share them.
#[derive(Clone)]
pub struct Salts(Arc<ArcSwap<Vec<DaySalt>>>);

#[derive(Clone, Copy)]
struct DaySalt {
    /// Days since 1970, UTC.
    day: u64,
    salt: Salt,
    taken: Instant,
}

impl Salts {
    /// None yet. Fails when the system has no random bytes.
    pub fn new() -> std::io::Result<Self> {
        let first = DaySalt { day: 0, salt: random()?, taken: Instant::now() };
        Ok(Self(Arc::new(ArcSwap::from_pointee(vec![first]))))
    }

    /// The salt of the UTC day of a moment. The first hit of a day for which the database gave none makes one.
    pub fn of(&self, unix_ms: u64) -> Salt {
        let day = unix_ms / DAY_MS;
        match self.0.load().iter().find(|known| known.day == day) {
            Some(known) => known.salt,
            None => self.make(day),
        }
    }

    /// Salts of the database, by days since 1970: they replace local ones.
    pub fn share(&self, salts: &[(u64, Salt)]) {
        let taken = Instant::now();
        self.0.rcu(|known| {
            let shared = salts.iter().map(|(day, salt)| DaySalt { day: *day, salt: *salt, taken });
            let is_shared = |day| salts.iter().any(|(shared, _)| *shared == day);
            let local = known.iter().filter(|known| !is_shared(known.day) && known.taken.elapsed() < KEEP);
            let mut all: Vec<DaySalt> = shared.chain(local.copied()).collect();
            all.truncate(MOST_DAYS + salts.len());
            all
        });
    }

    fn make(&self, day: u64) -> Salt {
        let fresh = random();
        self.0.rcu(|known| {
            let mut all: Vec<DaySalt> =
                known.iter().filter(|known| known.taken.elapsed() < KEEP).copied().collect();
            if !all.iter().any(|known| known.day == day) {
                // Without random bytes the newest that there is goes on; a first one there was at the start.
                let salt = fresh.as_ref().ok().copied().or(known.last().map(|known| known.salt));
                all.extend(salt.map(|salt| DaySalt { day, salt, taken: Instant::now() }));
            }
            let surplus = all.len().saturating_sub(MOST_DAYS);
            all.drain(..surplus);
            all
        });
        // Whoever came first has made it for all.
        self.0.load().iter().find(|known| known.day == day).map_or([0; 16], |known| known.salt)
    }
}

impl std::fmt::Debug for Salts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let days: Vec<u64> = self.0.load().iter().map(|known| known.day).collect();
        f.debug_struct("Salts").field("days", &days).finish_non_exhaustive()
    }
}

/// Sixteen random bytes.
pub fn random() -> std::io::Result<Salt> {
    let mut salt = [0; 16];
    SysRng.try_fill_bytes(&mut salt).map_err(|error| std::io::Error::other(error.to_string()))?;
    Ok(salt)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_day_has_one_salt_and_the_database_s_counts() {
        let salts = Salts::new().unwrap();
        let (monday, tuesday) = (20_000 * DAY_MS, 20_001 * DAY_MS);
        let local = salts.of(monday);
        assert_eq!(salts.clone().of(monday + DAY_MS - 1), local);
        assert_ne!(salts.of(tuesday), local);
        assert_eq!(salts.of(monday), local, "the day before is still known");
        salts.share(&[(20_001, [1; 16]), (20_002, [2; 16])]);
        assert_eq!((salts.of(monday), salts.of(tuesday)), (local, [1; 16]));
        assert!(!format!("{salts:?}").contains("salt:"));
    }

    #[test]
    fn threads_that_begin_a_day_together_agree() {
        let salts = Salts::new().unwrap();
        let of_day: Vec<Salt> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| salts.of(20_000 * DAY_MS))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(of_day.iter().all(|salt| *salt == of_day[0] && *salt != [0; 16]));
    }

    #[test]
    fn a_clock_that_jumps_about_fills_no_memory() {
        let salts = Salts::new().unwrap();
        for day in 0..100 {
            salts.of(day * DAY_MS);
        }
        assert!(salts.0.load().len() <= MOST_DAYS);
    }
}

//! How many connections each client has open, over all workers; touched when a connection begins and when it ends.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

/// So many that workers hardly ever meet.
const SHARDS: usize = 64;

/// The table of open connections by client.
#[derive(Debug)]
pub(super) struct Seats {
    limit: Option<usize>,
    /// Keyed with a secret: whoever chooses addresses shall not choose the shard.
    hasher: RandomState,
    shards: [Mutex<HashMap<u64, usize>>; SHARDS],
}

/// One connection of a client; it is counted until this is dropped.
#[derive(Debug)]
pub(super) struct Seat {
    taken: Option<(Arc<Seats>, u64)>,
}

impl Seats {
    /// With `limit` connections for each client; without one nothing is counted.
    pub(super) fn new(limit: Option<usize>) -> Arc<Self> {
        let shards = std::array::from_fn(|_| Mutex::default());
        Arc::new(Seats { limit, hasher: RandomState::new(), shards })
    }

    /// Counts a connection; none when the client has too many. Proxies in front, `is_trusted`, may have any number:
    /// all clients come by them.
    pub(super) fn take_seat(self: &Arc<Self>, address: IpAddr, is_trusted: bool) -> Option<Seat> {
        let Some(limit) = self.limit.filter(|_| !is_trusted) else { return Some(Seat { taken: None }) };
        let client = client(address);
        let mut shard = self.shard(client).lock().unwrap_or_else(PoisonError::into_inner);
        let open = shard.entry(client).or_insert(0);
        if *open >= limit {
            return None;
        }
        *open += 1;
        Some(Seat { taken: Some((Arc::clone(self), client)) })
    }

    fn shard(&self, client: u64) -> &Mutex<HashMap<u64, usize>> {
        let hash = self.hasher.hash_one(client);
        &self.shards[usize::try_from(hash % SHARDS as u64).unwrap_or(0)]
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let Some((seats, client)) = self.taken.take() else { return };
        let mut shard = seats.shard(client).lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(open) = shard.get_mut(&client) {
            *open -= 1;
            if *open == 0 {
                shard.remove(&client);
            }
        }
    }
}

/// An IPv4 address, or the network of an IPv6 address that one client has (/64).
fn client(address: IpAddr) -> u64 {
    match address.to_canonical() {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        // No network of clients begins with 32 zeros.
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_has_its_seats_and_gives_them_back() {
        let seats = Seats::new(Some(2));
        let seat = |address: &str, trusted| seats.take_seat(address.parse().unwrap(), trusted);
        let first = seat("192.0.2.1", false).unwrap();
        let _second = seat("::ffff:192.0.2.1", false).unwrap();
        assert!(seat("192.0.2.1", false).is_none());
        assert!(seat("192.0.2.1", true).is_some());
        let _other = seat("192.0.2.2", false).unwrap();
        drop(first);
        let third = seat("192.0.2.1", false).unwrap();
        assert!(seat("192.0.2.1", false).is_none());
        drop(third);

        let _network = (seat("2001:db8::1", false).unwrap(), seat("2001:db8::2", false).unwrap());
        assert!(seat("2001:db8::3", false).is_none());
        assert!(seat("2001:db8:0:1::3", false).is_some());
    }

    #[test]
    fn nothing_is_kept_of_those_who_have_gone() {
        let seats = Seats::new(Some(1));
        for last in 0..100 {
            assert!(seats.take_seat(IpAddr::from([10, 0, 0, last]), false).is_some());
        }
        assert!(seats.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }
}

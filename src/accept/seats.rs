//! How many connections each client has open, over all workers; touched when a connection begins and when it ends.

use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use crate::forward::Peer;

/// So many that workers hardly ever meet.
const SHARDS: usize = 64;

/// The table of open connections by client.
#[derive(Debug)]
pub(super) struct Seats {
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
    /// An empty table.
    pub(super) fn new() -> Arc<Self> {
        let shards = std::array::from_fn(|_| Mutex::default());
        Arc::new(Seats { hasher: RandomState::new(), shards })
    }

    /// Counts a connection; none when the client has `limit` already. Without a limit nothing is counted. Trusted proxies
    /// in front may have any number: all clients come by them.
    pub(super) fn take_seat(self: &Arc<Self>, peer: &Peer, limit: Option<usize>) -> Option<Seat> {
        let Some(limit) = limit.filter(|_| !peer.trusted) else { return Some(Seat { taken: None }) };
        let client = client(peer.address);
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
    match address {
        IpAddr::V4(address) => u64::from(address.to_bits()),
        // No network of clients begins with 32 zeros.
        IpAddr::V6(address) => u64::try_from(address.to_bits() >> 64).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seat(seats: &Arc<Seats>, address: &str) -> Option<Seat> {
        seats.take_seat(&Peer::new(address.parse().unwrap(), &[], false), Some(2))
    }

    #[test]
    fn a_client_has_its_seats_and_gives_them_back() {
        let seats = &Seats::new();
        let first = seat(seats, "192.0.2.1").unwrap();
        let _second = seat(seats, "::ffff:192.0.2.1").unwrap();
        assert!(seat(seats, "192.0.2.1").is_none());
        let trusted = Peer::new("192.0.2.1".parse().unwrap(), &["192.0.2.0/24".parse().unwrap()], false);
        assert!(seats.take_seat(&trusted, Some(2)).is_some());
        let _other = seat(seats, "192.0.2.2").unwrap();
        drop(first);
        let third = seat(seats, "192.0.2.1").unwrap();
        assert!(seat(seats, "192.0.2.1").is_none());
        drop(third);

        let _network = (seat(seats, "2001:db8::1").unwrap(), seat(seats, "2001:db8::2").unwrap());
        assert!(seat(seats, "2001:db8::3").is_none());
        assert!(seat(seats, "2001:db8:0:1::3").is_some());
    }

    #[test]
    fn nothing_is_kept_of_those_who_have_gone() {
        let seats = Seats::new();
        for last in 0..100 {
            assert!(seat(&seats, &format!("10.0.0.{last}")).is_some());
        }
        assert!(seats.shards.iter().all(|shard| shard.lock().unwrap().is_empty()));
    }
}

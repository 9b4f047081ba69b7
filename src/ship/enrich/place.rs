//! Country and city of an address, from an optional MaxMind file.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::{Duration, Instant, SystemTime};

use maxminddb::{Reader, geoip2};

use super::address;
use crate::hit::Place;

/// How often the file's date is looked at.
const RECHECK: Duration = Duration::from_secs(60);

/// The geo file, read again when it changes.
#[derive(Debug)]
pub struct Places {
    path: Option<PathBuf>,
    opened: Mutex<Opened>,
}

#[derive(Debug, Default)]
struct Opened {
    reader: Option<Reader<Vec<u8>>>,
    modified: Option<SystemTime>,
    checked: Option<Instant>,
}

impl Places {
    /// Opens nothing yet; without a path all places are unknown.
    pub fn new(path: Option<PathBuf>) -> Self {
        Places { path, opened: Mutex::default() }
    }

    /// Where the whole address is; none when it is not a public one, or not known.
    pub fn look_up(&self, address: IpAddr) -> Option<Place> {
        let path = self.path.as_ref()?;
        if !address::is_global(address) {
            return None;
        }
        let mut opened = self.opened.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        opened.refresh(path);
        read(opened.reader.as_ref()?, address.to_canonical())
    }
}

impl Opened {
    fn refresh(&mut self, path: &PathBuf) {
        if self.checked.is_some_and(|checked| checked.elapsed() < RECHECK) {
            return;
        }
        self.checked = Some(Instant::now());
        let modified = std::fs::metadata(path).and_then(|metadata| metadata.modified()).ok();
        if modified.is_some() && modified == self.modified {
            return;
        }
        match Reader::open_readfile(path) {
            Ok(reader) => self.reader = Some(reader),
            Err(error) => tracing::warn!(%error, path = %path.display(), "geo file cannot be read"),
        }
        self.modified = modified;
    }
}

fn read(reader: &Reader<Vec<u8>>, address: IpAddr) -> Option<Place> {
    let city: geoip2::City<'_> = reader.lookup(address).ok()?.decode().ok()??;
    let text = |value: Option<&str>| value.map(str::to_owned);
    let place = Place {
        country: text(city.country.iso_code),
        country_name: text(city.country.names.english),
        region: text(city.subdivisions.first().and_then(|subdivision| subdivision.names.english)),
        city: text(city.city.names.english),
        timezone: text(city.location.time_zone),
    };
    (place.country.is_some() || place.timezone.is_some()).then_some(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Places that are made up (`data/make-test-places.py`).
    const TEST_PLACES: &[u8] = include_bytes!("../data/test-places.mmdb");

    fn ip(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn addresses_of_the_public_internet_have_a_place() {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("geo.mmdb");
        std::fs::write(&path, TEST_PLACES).unwrap();
        let places = Places::new(Some(path));
        let kyiv = places.look_up(ip("5.5.5.77")).unwrap();
        assert_eq!(
            (
                kyiv.country.as_deref(),
                kyiv.country_name.as_deref(),
                kyiv.region.as_deref(),
                kyiv.city.as_deref()
            ),
            (Some("UA"), Some("Ukraine"), Some("Kyiv City"), Some("Kyiv"))
        );
        assert_eq!(kyiv.timezone.as_deref(), Some("Europe/Kyiv"));
        assert_eq!(places.look_up(ip("::ffff:5.5.5.77")), Some(kyiv), "an address of IPv4 in IPv6");
        let germany = places.look_up(ip("5.5.6.1")).unwrap();
        assert_eq!((germany.country.as_deref(), germany.city), (Some("DE"), None));
        assert_eq!(places.look_up(ip("2a01:100::1")).unwrap().city.as_deref(), Some("Warsaw"));
        assert_eq!(places.look_up(ip("8.8.8.8")), None);
        assert_eq!(places.look_up(ip("10.1.2.3")), None, "though the file has it");
    }

    #[test]
    fn a_file_that_is_replaced_is_read_again_and_a_broken_one_is_not() {
        let files = tempfile::tempdir().unwrap();
        let path = files.path().join("geo.mmdb");
        let places = Places::new(Some(path.clone()));
        let at = |seconds| SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let replace = |bytes: &[u8], seconds| {
            std::fs::write(&path, bytes).unwrap();
            std::fs::File::options().write(true).open(&path).unwrap().set_modified(at(seconds)).unwrap();
            places.opened.lock().unwrap().checked = None;
        };
        assert_eq!(places.look_up(ip("5.5.5.5")), None);
        replace(TEST_PLACES, 1_000_000);
        assert!(places.look_up(ip("5.5.5.5")).is_some());
        replace(b"no database", 1_000_060);
        assert!(places.look_up(ip("5.5.5.5")).is_some(), "what was read before is kept");
    }

    #[test]
    fn a_missing_file_is_no_error() {
        let places = Places::new(Some("/nonexistent/geo.mmdb".into()));
        assert_eq!(places.look_up("8.8.8.8".parse().unwrap()), None);
    }
}

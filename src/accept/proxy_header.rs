//! The PROXY protocol, versions 1 and 2: who is at the other end of a load balancer that passes bytes on.
//!
//! <https://www.haproxy.org/download/2.9/doc/proxy-protocol.txt>. [`parse`] is pure; [`read`] takes not a byte more than
//! the header off the socket, because what follows may be TLS.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

const SIGNATURE: &[u8; 12] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of the second version before addresses.
const FIXED_BYTES: usize = 16;
/// Most bytes of the first version, with the line end.
const MAX_LINE_BYTES: usize = 107;
/// Most bytes taken of the second version; addresses need 52, the rest are fields that are skipped.
const MAX_BYTES: usize = 4096;

/// What the beginning of a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Parsed {
    /// Not all of the header is there.
    Incomplete,
    /// A header of `length` bytes, and who is at the other end; none when the load balancer itself is.
    Header {
        /// Bytes of the header.
        length: usize,
        /// The client's address.
        client: Option<IpAddr>,
    },
}

/// Why it is no header.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("malformed PROXY header")]
pub struct Malformed;

/// Reads a header at the beginning of `bytes`.
///
/// # Errors
///
/// When no bytes that could follow would make it one.
pub fn parse(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let common = bytes.len().min(SIGNATURE.len());
    if bytes[..common] == SIGNATURE[..common] {
        return parse_binary(bytes);
    }
    parse_line(bytes)
}

fn parse_binary(bytes: &[u8]) -> Result<Parsed, Malformed> {
    let Some(fixed) = bytes.get(..FIXED_BYTES) else { return Ok(Parsed::Incomplete) };
    let (command, family) = (fixed[12], fixed[13]);
    let length = FIXED_BYTES + usize::from(u16::from_be_bytes([fixed[14], fixed[15]]));
    if command >> 4 != 2 || command & 0xF > 1 || length > MAX_BYTES {
        return Err(Malformed);
    }
    let Some(rest) = bytes.get(FIXED_BYTES..length) else { return Ok(Parsed::Incomplete) };
    let is_local = command & 0xF == 0;
    let client = match family {
        _ if is_local => None,
        0x11 => {
            let address: [u8; 4] =
                rest.get(..4).and_then(|octets| octets.try_into().ok()).ok_or(Malformed)?;
            if rest.len() < 12 {
                return Err(Malformed);
            }
            Some(IpAddr::from(address))
        }
        0x21 => {
            let address: [u8; 16] =
                rest.get(..16).and_then(|octets| octets.try_into().ok()).ok_or(Malformed)?;
            if rest.len() < 36 {
                return Err(Malformed);
            }
            Some(IpAddr::from(address))
        }
        // Unspecified, datagrams and Unix sockets: nothing that would be a client's address.
        0x00 | 0x12 | 0x22 | 0x31 | 0x32 => None,
        _ => return Err(Malformed),
    };
    Ok(Parsed::Header { length, client })
}

fn parse_line(bytes: &[u8]) -> Result<Parsed, Malformed> {
    const BEGIN: &[u8] = b"PROXY ";
    let common = bytes.len().min(BEGIN.len());
    if bytes[..common] != BEGIN[..common] {
        return Err(Malformed);
    }
    let Some(end) = bytes.windows(2).take(MAX_LINE_BYTES - 1).position(|pair| pair == b"\r\n") else {
        return if bytes.len() < MAX_LINE_BYTES { Ok(Parsed::Incomplete) } else { Err(Malformed) };
    };
    let length = end + 2;
    let line = std::str::from_utf8(bytes.get(BEGIN.len()..end).ok_or(Malformed)?).map_err(|_| Malformed)?;
    let mut words = line.split(' ');
    let client = match words.next() {
        // Whatever follows is to be ignored.
        Some("UNKNOWN") => return Ok(Parsed::Header { length, client: None }),
        Some("TCP4") => addresses::<Ipv4Addr>(&mut words)?.into(),
        Some("TCP6") => addresses::<Ipv6Addr>(&mut words)?.into(),
        _ => return Err(Malformed),
    };
    Ok(Parsed::Header { length, client: Some(client) })
}

/// The first of two addresses, behind which are two ports and nothing else.
fn addresses<'a, A: std::str::FromStr>(words: &mut impl Iterator<Item = &'a str>) -> Result<A, Malformed> {
    let mut address = || words.next().and_then(|word| word.parse::<A>().ok()).ok_or(Malformed);
    let (client, _server) = (address()?, address()?);
    for _ in 0..2 {
        let port = words.next().ok_or(Malformed)?;
        if !port.bytes().all(|byte| byte.is_ascii_digit()) || port.parse::<u16>().is_err() {
            return Err(Malformed);
        }
    }
    if words.next().is_some() { Err(Malformed) } else { Ok(client) }
}

/// Takes the header off the socket and answers the client's address; none when the load balancer is the client.
///
/// # Errors
///
/// When it is malformed, or the connection ends within it.
pub(super) async fn read(tcp: &mut TcpStream) -> io::Result<Option<IpAddr>> {
    let mut header = Vec::with_capacity(MAX_LINE_BYTES);
    let mut coming = [0; 256];
    loop {
        let count = tcp.peek(&mut coming).await?;
        if count == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let known = header.len();
        header.extend_from_slice(&coming[..count]);
        let parsed = parse(&header).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        let own = match parsed {
            Parsed::Incomplete => count,
            Parsed::Header { length, .. } => length - known,
        };
        tcp.read_exact(&mut coming[..own]).await?;
        if let Parsed::Header { client, .. } = parsed {
            return Ok(client);
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn client(header: &[u8]) -> Result<Option<String>, Malformed> {
        match parse(header)? {
            Parsed::Header { length, client } => {
                assert_eq!(length, header.len());
                Ok(client.map(|client| client.to_string()))
            }
            Parsed::Incomplete => panic!("incomplete: {header:?}"),
        }
    }

    fn binary(command: u8, family: u8, rest: &[u8]) -> Vec<u8> {
        let length = u16::try_from(rest.len()).unwrap().to_be_bytes();
        [SIGNATURE, &[command, family][..], &length, rest].concat()
    }

    #[test]
    fn both_versions_tell_the_client() {
        let line = |text: &str| client(format!("PROXY {text}\r\n").as_bytes());
        assert_eq!(line("TCP4 192.0.2.1 192.0.2.2 4711 443"), Ok(Some("192.0.2.1".to_owned())));
        assert_eq!(line("TCP6 2001:db8::1 ::1 1 2"), Ok(Some("2001:db8::1".to_owned())));
        assert_eq!(line("UNKNOWN"), Ok(None));
        assert_eq!(line("UNKNOWN ffff::1 x y"), Ok(None));
        let v4 = [192, 0, 2, 1, 192, 0, 2, 2, 0, 1, 0, 2];
        assert_eq!(client(&binary(0x21, 0x11, &v4)), Ok(Some("192.0.2.1".to_owned())));
        let with_fields = [&v4[..], &[0x04, 0, 3, 1, 2, 3]].concat();
        assert_eq!(client(&binary(0x21, 0x11, &with_fields)), Ok(Some("192.0.2.1".to_owned())));
        let v6 = [[0x20; 16].as_slice(), &[0; 20]].concat();
        assert_eq!(
            client(&binary(0x21, 0x21, &v6)),
            Ok(Some("2020:2020:2020:2020:2020:2020:2020:2020".to_owned()))
        );
        assert_eq!(client(&binary(0x20, 0x00, &[])), Ok(None));
        assert_eq!(client(&binary(0x20, 0x11, &v4)), Ok(None), "LOCAL");
        assert_eq!(client(&binary(0x21, 0x31, &[0; 216])), Ok(None), "a Unix socket");
    }

    #[test]
    fn what_is_no_header_is_refused() {
        for line in [
            "GET / HTTP/1.1\r\n",
            "PROXY\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 65536\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 +1 2\r\n",
            "PROXY TCP4 192.0.2.1 192.0.2.2 1 2 3\r\n",
            "PROXY TCP4 ::1 ::1 1 2\r\n",
            "PROXY  TCP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n",
            "\r\nPROXY UNKNOWN\r\n",
        ] {
            assert_eq!(parse(line.as_bytes()), Err(Malformed), "{line}");
        }
        assert_eq!(parse(&[b"PROXY UNKNOWN ", [b'x'; 200].as_slice()].concat()), Err(Malformed), "too long");
        assert_eq!(parse(&binary(0x11, 0x11, &[0; 12])), Err(Malformed), "another version");
        assert_eq!(parse(&binary(0x22, 0x11, &[0; 12])), Err(Malformed), "another command");
        assert_eq!(parse(&binary(0x21, 0x11, &[0; 11])), Err(Malformed), "too short for its addresses");
        assert_eq!(parse(&binary(0x21, 0x21, &[0; 35])), Err(Malformed), "too short for its addresses");
        assert_eq!(parse(&binary(0x21, 0x41, &[0; 12])), Err(Malformed), "another family");
        assert_eq!(parse(&binary(0x21, 0x11, &[0; 5000])), Err(Malformed), "too long");
    }

    proptest! {
        #[test]
        fn any_bytes_are_taken_and_a_header_lies_within_them(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            if let Ok(Parsed::Header { length, .. }) = parse(&bytes) {
                prop_assert!(length <= bytes.len());
            }
        }

        #[test]
        fn a_header_is_the_same_whatever_follows_and_incomplete_before_its_end(
            is_binary in any::<bool>(),
            address in any::<[u8; 4]>(),
            follows in proptest::collection::vec(any::<u8>(), 0..40),
        ) {
            let [a, b, c, d] = address;
            let header = if is_binary {
                binary(0x21, 0x11, &[a, b, c, d, 1, 1, 1, 1, 0, 1, 0, 2, 0x20, 0, 1, 9])
            } else {
                format!("PROXY TCP4 {a}.{b}.{c}.{d} 1.1.1.1 1 2\r\n").into_bytes()
            };
            let want = Parsed::Header { length: header.len(), client: Some(IpAddr::from(address)) };
            prop_assert_eq!(parse(&[header.clone(), follows].concat()), Ok(want));
            for end in 0..header.len() {
                prop_assert_eq!(parse(&header[..end]), Ok(Parsed::Incomplete), "{} bytes", end);
            }
        }
    }
}

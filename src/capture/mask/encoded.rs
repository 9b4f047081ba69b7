//! What is percent-encoded once or more often, read as what it stands for in the end: `%40`, `%2540` and `%25%34%30` are
//! all an `@`. What no decoder would read so is not one.

/// How often something may be encoded within its own escape (`%4%30` is once).
const DEPTH: usize = 4;

/// Where `wanted` first begins and ends. Takes time as the text is long: an escape is read once.
pub(super) fn find(text: &[u8], wanted: u8) -> Option<(usize, usize)> {
    let (of_percent, of_wanted) = (b'2', HEXADECIMAL[usize::from(wanted >> 4)]);
    let mut place = 0;
    loop {
        place += memchr::memchr2(wanted, b'%', &text[place..])?;
        place += match &text[place..] {
            [byte, ..] if *byte == wanted => return Some((place, place + 1)),
            // Most of what is encoded is other letters.
            [b'%', next, ..] if [b'%', of_percent, of_wanted].contains(next) => {
                let (byte, length) = decoded(&text[place..])?;
                if byte == wanted {
                    return Some((place, place + length));
                }
                length
            }
            _ => 1,
        };
    }
}

const HEXADECIMAL: &[u8; 16] = b"0123456789abcdef";

/// The byte that the text begins with, decoded as often as it goes, and how long it is written.
pub(super) fn decoded(text: &[u8]) -> Option<(u8, usize)> {
    decode(text, DEPTH)
}

fn decode(text: &[u8], depth: usize) -> Option<(u8, usize)> {
    let (mut byte, mut length) = (*text.first()?, 1);
    while byte == b'%' && depth > 0 {
        let digit = |at: usize| {
            let (digit, length) = decode(text.get(at..)?, depth - 1)?;
            Some((char::from(digit).to_digit(16)?, length))
        };
        let Some((high, of_high)) = digit(length) else { break };
        let Some((low, of_low)) = digit(length + of_high) else { break };
        byte = u8::try_from(high << 4 | low).ok()?;
        length += of_high + of_low;
    }
    Some((byte, length))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn an_at_sign_is_one_however_it_is_written() {
        for text in
            ["@", "%40", "%2540", "%252540", "%25252540", "%25%34%30", "%4%30", "%%34%30", "%25%32%35%34%30"]
        {
            assert_eq!(find(text.as_bytes(), b'@'), Some((0, text.len())), "{text}");
            let among = format!("%D0%B0%2541%25{text}40");
            assert_eq!(find(among.as_bytes(), b'@').map(|(_, end)| end), Some(among.len() - 2), "{text}");
        }
        for text in ["", "a", "%", "%4", "%41", "%25", "%2541", "%zz", "%D0%B0", "4040"] {
            assert_eq!(find(text.as_bytes(), b'@'), None, "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_encoded_any_number_of_times_is_read(times in 0..6_usize, is_whole in proptest::collection::vec(any::<bool>(), 6)) {
            let mut text = "@".to_owned();
            for whole in is_whole.into_iter().take(times) {
                let escaped = |byte: u8| if whole || byte == b'%' || byte == b'@' { format!("%{byte:02X}") } else { char::from(byte).to_string() };
                if text.len() < 200 {
                    text = text.bytes().map(escaped).collect();
                }
            }
            prop_assume!(text.len() < 30 || times < 4);
            prop_assert_eq!(find(text.as_bytes(), b'@'), Some((0, text.len())), "{}", text);
        }

        #[test]
        fn no_bytes_make_it_fail(text in proptest::collection::vec(prop_oneof![Just(b'%'), Just(b'2'), Just(b'5'), any::<u8>()], 0..60)) {
            prop_assert!(decoded(&text).is_none_or(|(_, length)| length <= text.len()));
        }
    }
}

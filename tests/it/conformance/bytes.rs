//! Bytes as cases write them.

/// The bytes that a text stands for.
pub(super) fn decode(text: &str, shop: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut rest = text;
    while let Some(at) = rest.find(['\\', '\n']) {
        bytes.extend(&rest.as_bytes()[..at]);
        let escape = rest[at..].strip_prefix('\\').unwrap_or("\n");
        let (length, byte) = match escape.as_bytes()[0] {
            b'\n' => {
                rest = &rest[at + 1..];
                continue;
            }
            b'r' => (1, b'\r'),
            b'n' => (1, b'\n'),
            b't' => (1, b'\t'),
            b'0' => (1, 0),
            b'\\' => (1, b'\\'),
            b'x' => (3, u8::from_str_radix(&escape[1..3], 16).unwrap()),
            b'{' => {
                let end = escape.find('}').unwrap();
                match escape[1..end].rsplit_once('*') {
                    Some((part, count)) => bytes.extend(decode(part, shop).repeat(count.parse().unwrap())),
                    None => bytes.extend(shop.as_bytes()),
                }
                rest = &escape[end + 1..];
                continue;
            }
            _ => panic!("unknown escape: {escape}"),
        };
        bytes.push(byte);
        rest = &escape[length..];
    }
    bytes.extend(rest.as_bytes());
    bytes
}

/// Bytes of a text in which every byte is a character.
pub(super) fn of_latin_1(text: &str) -> Vec<u8> {
    text.chars().map(|byte| u8::try_from(u32::from(byte)).unwrap()).collect()
}

/// Bytes as one can read them, long ones shortened.
pub(super) fn shown(bytes: &[u8]) -> String {
    let text = bytes.escape_ascii().to_string();
    if text.len() > 1000 { format!("{}… ({} bytes)", &text[..400], bytes.len()) } else { text }
}

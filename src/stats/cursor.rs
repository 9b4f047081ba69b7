//! Cursors of lists: opaque text that says where a page ended.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use uuid::Uuid;

use crate::stats::params::ParameterError;

/// The last session given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionCursor {
    /// When it began, to the microsecond, as the database has it.
    pub(crate) started_at: Timestamp,
    /// Its id.
    pub(crate) session_id: Uuid,
}

impl SessionCursor {
    /// As text.
    pub(crate) fn encode(self) -> String {
        let mut bytes = [0; 24];
        bytes[..8].copy_from_slice(&self.started_at.as_microsecond().to_be_bytes());
        bytes[8..].copy_from_slice(self.session_id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// From text.
    pub(crate) fn decode(text: &str) -> Result<SessionCursor, ParameterError> {
        let bytes: [u8; 24] = decode(text)?;
        let (time, id) = bytes.split_at(8);
        let microseconds = i64::from_be_bytes(time.try_into().map_err(|_| wrong())?);
        let started_at = Timestamp::from_microsecond(microseconds).map_err(|_| wrong())?;
        // Times that the database does not have cannot have been given.
        if !(0..=32_503_680_000).contains(&started_at.as_second()) {
            return Err(wrong());
        }
        Ok(SessionCursor { started_at, session_id: Uuid::from_slice(id).map_err(|_| wrong())? })
    }
}

/// The last order given.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OrderCursor {
    /// When it was placed, to the microsecond.
    pub(crate) placed_at: Timestamp,
    pub(crate) site_id: i32,
    pub(crate) order_id: String,
}

impl OrderCursor {
    /// As text.
    pub(crate) fn encode(&self) -> String {
        let mut bytes = self.placed_at.as_microsecond().to_be_bytes().to_vec();
        bytes.extend(self.site_id.to_be_bytes());
        bytes.extend(self.order_id.as_bytes());
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// From text.
    pub(crate) fn decode(text: &str) -> Result<OrderCursor, ParameterError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| wrong())?;
        let (time, rest) = bytes.split_first_chunk().ok_or_else(wrong)?;
        let (site, order) = rest.split_first_chunk().ok_or_else(wrong)?;
        let placed_at = Timestamp::from_microsecond(i64::from_be_bytes(*time)).map_err(|_| wrong())?;
        let order_id = std::str::from_utf8(order).map_err(|_| wrong())?.to_owned();
        // What the database does not have cannot have been given.
        if !(0..=32_503_680_000).contains(&placed_at.as_second()) || order_id.contains('\0') {
            return Err(wrong());
        }
        Ok(OrderCursor { placed_at, site_id: i32::from_be_bytes(*site), order_id })
    }
}

/// The cursor of a ranked list: how many rows were given.
pub(crate) fn encode_rank(rows: u32) -> String {
    URL_SAFE_NO_PAD.encode(rows.to_be_bytes())
}

/// From the text of [`encode_rank`].
pub(crate) fn decode_rank(text: &str) -> Result<u32, ParameterError> {
    decode(text).map(u32::from_be_bytes)
}

fn decode<const BYTES: usize>(text: &str) -> Result<[u8; BYTES], ParameterError> {
    URL_SAFE_NO_PAD.decode(text).ok().and_then(|bytes| bytes.try_into().ok()).ok_or_else(wrong)
}

fn wrong() -> ParameterError {
    ParameterError::new("cursor", "expected a next_cursor of an answer to the same question")
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn cursors_come_back_as_they_were(microseconds in 0_i64..4_102_444_800_000_000, id: [u8; 16], rows: u32) {
            let started_at = Timestamp::from_microsecond(microseconds).unwrap();
            let cursor = SessionCursor { started_at, session_id: Uuid::from_bytes(id) };
            prop_assert_eq!(SessionCursor::decode(&cursor.encode()), Ok(cursor));
            prop_assert_eq!(decode_rank(&encode_rank(rows)), Ok(rows));
            let site_id = rows.cast_signed();
            let cursor = OrderCursor { placed_at: started_at, site_id, order_id: format!("№ {rows}") };
            prop_assert_eq!(OrderCursor::decode(&cursor.encode()), Ok(cursor));
        }

        #[test]
        fn any_text_is_a_cursor_or_refused(text in "[-_0-9A-Za-z=]{0,40}") {
            let _ = (SessionCursor::decode(&text), OrderCursor::decode(&text), decode_rank(&text));
        }
    }
}

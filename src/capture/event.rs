//! The response field `X-Utm-Event`, by which a shop tells what just happened.
//!
//! `X-Utm-Event: purchase; order_id=1042; value=1499.00; currency=UAH` — the type of the action, then pairs whose values
//! are percent-encoded. Several lines are several actions. Names: `order_id`, `order_number`, `value`, `currency`,
//! `product_id`, `product_name`, `reference`; all others are properties, and so is a value that is none (an order's below
//! zero). In names of products and properties, what identifies people is masked ([`super::mask`]).

use std::borrow::Cow;

use rust_decimal::Decimal;

use super::evidence::clean;
use super::mask;
use crate::action::is_kind;
use crate::hit::{Action, Way};

/// The action whose properties people typed.
const SEARCH: &str = "search";
/// The action that is an order.
const PURCHASE: &str = "purchase";
/// Most properties of an action.
const PROPERTIES: usize = 50;

/// Reads one line; none when it names no action.
pub fn read(line: &[u8]) -> Option<Action<'_>> {
    let mut parts = line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let kind = std::str::from_utf8(parts.next()?).ok()?.to_ascii_lowercase();
    if !is_kind(&kind) {
        return None;
    }
    let mut action = Action::new(kind, Way::Header);
    for part in parts {
        let Some(at) = memchr::memchr(b'=', part) else { continue };
        let (name, value) = (clean(part[..at].trim_ascii()).0, value_of(part[at + 1..].trim_ascii()));
        if !name.is_empty() && !value.is_empty() {
            set(&mut action, name, value);
        }
    }
    leave_debts(&mut action);
    Some(action)
}

/// What was ordered costs nothing or something: an order's value below zero is a property.
pub(super) fn leave_debts(action: &mut Action<'_>) {
    let is_order = action.order_id.is_some() || action.kind == PURCHASE;
    if let Some(value) = action.value.filter(|value| is_order && *value < Decimal::ZERO) {
        action.value = None;
        action.properties.push(("value".into(), value.to_string().into()));
    }
}

/// A value percent-decoded; a `+` is a plus here, since this is no form.
pub(super) fn value_of(raw: &[u8]) -> Cow<'_, str> {
    if memchr::memchr(b'+', raw).is_none() {
        return clean(raw).0;
    }
    let escaped: Vec<u8> =
        raw.iter().flat_map(|byte| if *byte == b'+' { b"%2B".to_vec() } else { vec![*byte] }).collect();
    Cow::Owned(clean(&escaped).0.into_owned())
}

fn set<'a>(action: &mut Action<'a>, name: Cow<'a, str>, value: Cow<'a, str>) {
    match name.as_ref() {
        "order_id" => action.order_id = Some(value),
        "order_number" => action.order_number = Some(value),
        "reference" if matches!(action.kind.as_ref(), "purchase" | "payment") => {
            action.reference = Some(value)
        }
        "product_id" => action.product_id = Some(value),
        "product_name" => action.product_name = Some(mask::emails(value)),
        "value" if let Some(amount) = amount_of(&value) => action.value = Some(amount),
        "currency" if is_currency(&value) => action.currency = Some(Cow::Owned(value.to_ascii_uppercase())),
        _ => add_property(action, name, value),
    }
}

/// Adds a property, if there are not too many; what identifies people is masked.
pub(super) fn add_property<'a>(action: &mut Action<'a>, name: Cow<'a, str>, value: Cow<'a, str>) {
    if action.properties.len() < PROPERTIES {
        let value = masked_property(&action.kind, value);
        action.properties.push((name, value));
    }
}

/// The value of a property of such an action without what identifies people.
pub fn masked_property<'a>(kind: &str, value: Cow<'a, str>) -> Cow<'a, str> {
    if kind == SEARCH { mask::search(value) } else { mask::text(value) }
}

/// An amount of money: a plain decimal number below 10¹² with at most four decimals.
pub fn amount_of(text: &str) -> Option<Decimal> {
    let amount = Decimal::from_str_exact(text).ok()?.normalize();
    (amount.abs() < Decimal::from(1_000_000_000_000_i64) && amount.scale() <= 4).then_some(amount)
}

/// Whether a text looks like an ISO 4217 code.
pub fn is_currency(text: &str) -> bool {
    text.len() == 3 && text.bytes().all(|byte| byte.is_ascii_alphabetic())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_purchase_is_read() {
        let action = read(
            b"purchase; order_id=A%2F10+2; value=1499.00; currency=uah; coupon=%D0%BB%D1%96%D1%82%D0%BE",
        )
        .unwrap();
        assert_eq!(action.kind, "purchase");
        assert_eq!(action.order_id.as_deref(), Some("A/10+2"));
        assert_eq!(action.value, Some(Decimal::from(1499)));
        assert_eq!(action.currency.as_deref(), Some("UAH"));
        assert_eq!(action.properties, [("coupon".into(), "літо".into())]);
    }

    #[test]
    fn what_is_odd_is_kept_as_a_property_and_what_names_nothing_is_none() {
        let action = read(b"Add_To_Cart;value=1,5;currency=euro;;=x;y;product_id= 7 ").unwrap();
        assert_eq!((action.kind.as_ref(), action.value), ("add_to_cart", None));
        assert_eq!(action.product_id.as_deref(), Some("7"));
        assert_eq!(action.properties, [("value".into(), "1,5".into()), ("currency".into(), "euro".into())]);
        for line in [&b"purchase; value=-5; order_id=7"[..], b"lead; order_id=7; value=-5"] {
            let action = read(line).unwrap();
            assert_eq!((action.value, action.properties), (None, vec![("value".into(), "-5".into())]));
        }
        assert_eq!(read(b"remove_from_cart; value=-5").unwrap().value, Some(Decimal::from(-5)));
        for line in ["", ";a=b", "two words", "тип", "a=b"] {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn properties_name_nobody() {
        let property =
            |line: &'static str| read(line.as_bytes()).unwrap().properties[0].1.clone().into_owned();
        assert_eq!(property("search; query=shoes%20anna@example.com"), "shoes {email}");
        assert_eq!(property("search; query=380671234567"), "{phone}");
        assert_eq!(property("lead; note=call+380671234567"), "call{phone}");
        assert_eq!(property("lead; campaign=120210000000"), "120210000000");
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_fail(line in proptest::collection::vec(any::<u8>(), 0..100)) {
            let _ = read(&line);
            let _ = read(&[b"purchase;value=".as_slice(), &line].concat());
        }
    }
}

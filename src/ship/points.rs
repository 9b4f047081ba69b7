//! What an action is worth. An order's own points are kept with the order, once, however often it was seen.

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// Most that one action may earn; the column is a smallint.
const MOST: i16 = 30_000;

/// Points of an action. Lead and purchase earn one more per full 100 of their value; where the action names an
/// order, that bonus, and all of a purchase's points, are the order's.
pub fn of_action(kind: &str, value: Option<Decimal>, names_order: bool) -> i16 {
    let base = match kind {
        "page_view" | "click" => 1,
        "search" => 2,
        "product_view" => 3,
        "add_to_cart" => 10,
        "remove_from_cart" => -5,
        "initiate_checkout" => 20,
        "lead" => 50,
        "purchase" if names_order => 0,
        "purchase" => 100,
        _ => 0,
    };
    let bonus = match kind {
        "lead" | "purchase" if !names_order => {
            let hundreds = value.unwrap_or_default() / Decimal::ONE_HUNDRED;
            hundreds.floor().max(Decimal::ZERO).to_i16().unwrap_or(MOST)
        }
        _ => 0,
    };
    MOST.min(bonus.saturating_add(base))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lead_and_purchase_earn_more_with_their_value() {
        assert_eq!(of_action("purchase", Some(Decimal::new(149_900, 2)), false), 114);
        assert_eq!(of_action("purchase", Some(Decimal::new(149_900, 2)), true), 0);
        assert_eq!(of_action("lead", Some(Decimal::new(199, 0)), false), 51);
        assert_eq!(of_action("lead", Some(Decimal::new(-500, 0)), true), 50);
        assert_eq!(of_action("purchase", Some(Decimal::MAX), false), MOST);
        assert_eq!(of_action("remove_from_cart", None, false), -5);
        assert_eq!(of_action("wishlist", None, false), 0);
    }
}

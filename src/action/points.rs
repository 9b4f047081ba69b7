//! What an action is worth. An order's own points are kept with the order, once, however often it was seen.

use std::collections::BTreeMap;

use rust_decimal::Decimal;
use rust_decimal::prelude::ToPrimitive;

/// Most that one action may earn; the column is a smallint.
const MOST: i16 = 30_000;

/// Types with a meaning of their own, and their points where the configuration says nothing else; others are counted
/// under their name, and earn nothing.
pub const KNOWN_KINDS: [(&str, i16); 13] = [
    ("page_view", 1),
    ("product_view", 3),
    ("add_to_cart", 10),
    ("remove_from_cart", -5),
    ("initiate_checkout", 20),
    ("lead", 50),
    ("purchase", 100),
    ("payment", 0),
    ("search", 2),
    ("click", 1),
    ("scroll", 0),
    ("time_on_page", 0),
    ("registration", 0),
];

/// Points by type of action.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Points(BTreeMap<String, i16>);

impl Default for Points {
    fn default() -> Self {
        Self(KNOWN_KINDS.iter().map(|(kind, points)| ((*kind).to_owned(), *points)).collect())
    }
}

impl Points {
    /// Gives a type of action other points.
    pub fn set(&mut self, kind: String, points: i16) {
        self.0.insert(kind, points);
    }

    /// All types that earn or cost something, and those that are known.
    pub fn iter(&self) -> impl Iterator<Item = (&str, i16)> {
        self.0.iter().map(|(kind, points)| (kind.as_str(), *points))
    }

    /// Points of a type, whatever the value.
    pub fn of(&self, kind: &str) -> i16 {
        self.0.get(kind).copied().unwrap_or(0)
    }

    /// Points of an action. Lead and purchase earn one more per full 100 of their value; where the action names an
    /// order, that bonus, and all of a purchase's points, are the order's.
    pub fn of_action(&self, kind: &str, value: Option<Decimal>, names_order: bool) -> i16 {
        let base = if kind == "purchase" && names_order { 0 } else { self.of(kind) };
        let bonus = match kind {
            "lead" | "purchase" if !names_order => {
                let hundreds = value.unwrap_or_default() / Decimal::ONE_HUNDRED;
                hundreds.floor().max(Decimal::ZERO).to_i16().unwrap_or(MOST)
            }
            _ => 0,
        };
        MOST.min(bonus.saturating_add(base))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lead_and_purchase_earn_more_with_their_value() {
        let points = Points::default();
        let of = |kind, value, names_order| points.of_action(kind, value, names_order);
        assert_eq!(of("purchase", Some(Decimal::new(149_900, 2)), false), 114);
        assert_eq!(of("purchase", Some(Decimal::new(149_900, 2)), true), 0);
        assert_eq!(of("lead", Some(Decimal::new(199, 0)), false), 51);
        assert_eq!(of("lead", Some(Decimal::new(-500, 0)), true), 50);
        assert_eq!(of("purchase", Some(Decimal::MAX), false), MOST);
        assert_eq!(of("remove_from_cart", None, false), -5);
        assert_eq!(of("wishlist", None, false), 0);
    }

    #[test]
    fn own_points_take_the_place_of_those_known() {
        let mut points = Points::default();
        points.set("lead".to_owned(), -3);
        points.set("wishlist".to_owned(), 4);
        assert_eq!(points.of_action("lead", Some(Decimal::new(250, 0)), false), -1);
        assert_eq!(points.of_action("wishlist", Some(Decimal::new(250, 0)), false), 4);
    }
}

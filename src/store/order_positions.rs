//! What was bought with each order of a day, by its positions, packed: those of one product are one. Products are places in a list of
//! those that the day has, each with its site and name; a product that has several names stands there with each.
//!
//! Numbers are as exact as positions tell them.

use std::collections::HashMap;

use super::columns::{Damaged, measured, pack, pack_wide, part, unpack, unpack_wide};
use super::order_shares::Shares;

/// Digits of a number, and those of them behind the point, at most: more are cut off there, and no rounding to minor units looks at them.
const MOST_DIGITS: usize = 36;
const MOST_SCALE: usize = 30;
/// In the place of digits behind the point.
const UNKNOWN: i64 = -1;

/// A decimal number: a whole number of its last digit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Amount {
    /// The whole number.
    pub number: i128,
    /// Digits behind the point.
    pub scale: u32,
}

/// What an order has of a product.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    /// Its place in [`Orders::products`](super::order_columns::Orders::products).
    pub product: usize,
    /// Pieces.
    pub quantity: Amount,
    /// What all of them cost; none where no price is known.
    pub amount: Option<Amount>,
}

/// A product as positions name it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Product {
    /// The id of its site.
    pub site: i64,
    /// The shop's id of it.
    pub id: String,
    /// What it is called there.
    pub name: Option<String>,
}

/// What the orders of a day have.
#[derive(Debug, Clone, Default)]
pub(super) struct Positions {
    shares: Shares,
    positions: Vec<Position>,
    products: Vec<Product>,
    known: HashMap<Product, usize>,
}

impl Amount {
    /// What Postgres writes of a number that is none below zero.
    fn parse(text: &str) -> Amount {
        let (whole, digits) = text.split_once('.').unwrap_or((text, ""));
        let digits = &digits[..digits.len().min(MOST_DIGITS.saturating_sub(whole.len())).min(MOST_SCALE)];
        let number = whole.bytes().chain(digits.bytes()).filter(u8::is_ascii_digit);
        let number = number
            .fold(0_i128, |number, digit| number.saturating_mul(10).saturating_add(i128::from(digit - b'0')));
        Amount { number, scale: u32::try_from(digits.len()).unwrap_or(0) }
    }
}

impl Positions {
    /// Adds what the next order has: products, and of each the decimal text of pieces and of what they cost.
    pub(super) fn push<'a>(&mut self, positions: impl Iterator<Item = (Product, &'a str, Option<&'a str>)>) {
        let before = self.positions.len();
        for (product, quantity, amount) in positions {
            let product = self.place_of(product);
            let (quantity, amount) = (Amount::parse(quantity), amount.map(Amount::parse));
            self.positions.push(Position { product, quantity, amount });
        }
        self.shares.push(self.positions.len() - before);
    }

    fn place_of(&mut self, product: Product) -> usize {
        *self.known.entry(product).or_insert_with_key(|product| {
            self.products.push(product.clone());
            self.products.len() - 1
        })
    }

    /// Those that positions name.
    pub(super) fn products(&self) -> &[Product] {
        &self.products
    }

    /// What an order has.
    pub(super) fn of(&self, order: usize) -> &[Position] {
        self.positions.get(self.shares.of(order)).unwrap_or_default()
    }

    /// Columns with their lengths in front: how many each order has, the places of products, pieces and their digits behind the
    /// point, what they cost and its digits; then the sites of products.
    pub(super) fn packed(&self) -> Vec<u8> {
        let (mut places, mut quantities, mut digits) = (Vec::new(), Vec::new(), Vec::new());
        let (mut amounts, mut digits_of_amounts) = (Vec::new(), Vec::new());
        for position in &self.positions {
            places.push(position.product as i64);
            quantities.push(position.quantity.number);
            digits.push(i64::from(position.quantity.scale));
            amounts.push(position.amount.map_or(0, |amount| amount.number));
            digits_of_amounts.push(position.amount.map_or(UNKNOWN, |amount| i64::from(amount.scale)));
        }
        let columns = [
            pack(&self.shares.counts),
            pack(&places),
            pack_wide(&quantities),
            pack(&digits),
            pack_wide(&amounts),
            pack(&digits_of_amounts),
        ];
        let sites: Vec<i64> = self.products.iter().map(|product| product.site).collect();
        columns.into_iter().flat_map(measured).chain(pack(&sites)).collect()
    }

    /// Of the names of products there are as many as ids.
    pub(super) fn unpack(
        bytes: &[u8],
        ids: Vec<String>,
        names: Vec<Option<String>>,
        orders: usize,
    ) -> Result<Positions, Damaged> {
        let (counts, rest) = part(bytes)?;
        let (products, rest) = part(rest)?;
        let (quantities, rest) = part(rest)?;
        let (digits, rest) = part(rest)?;
        let (amounts, rest) = part(rest)?;
        let (digits_of_amounts, sites) = part(rest)?;
        let shares = Shares::unpack(counts, orders)?;
        let (products, sites) = (unpack(products, shares.all())?, unpack(sites, ids.len())?);
        let (quantities, digits) = (unpack_wide(quantities, shares.all())?, unpack(digits, shares.all())?);
        let amounts = unpack_wide(amounts, shares.all())?;
        let digits_of_amounts = unpack(digits_of_amounts, shares.all())?;
        if ids.len() != names.len() {
            return Err(Damaged);
        }
        let amount = |number: i128, digits: i64| {
            let digits =
                usize::try_from(digits).ok().filter(|digits| *digits <= MOST_SCALE).ok_or(Damaged)?;
            Ok(Amount { number, scale: u32::try_from(digits).map_err(|_| Damaged)? })
        };
        let position = |place: usize| {
            let product = usize::try_from(products[place]).ok().filter(|product| *product < ids.len());
            let amount_of = digits_of_amounts[place];
            Ok(Position {
                product: product.ok_or(Damaged)?,
                quantity: amount(quantities[place], digits[place])?,
                amount: (amount_of != UNKNOWN).then(|| amount(amounts[place], amount_of)).transpose()?,
            })
        };
        let positions = (0..shares.all()).map(position).collect::<Result<Vec<_>, Damaged>>()?;
        let products = sites.into_iter().zip(ids).zip(names);
        let products = products.map(|((site, id), name)| Product { site, id, name }).collect();
        Ok(Positions { shares, positions, products, known: HashMap::new() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn numbers_are_as_exact_as_they_are_told() {
        let told = |text| (Amount::parse(text).number, Amount::parse(text).scale);
        assert_eq!(
            [told("0"), told("12"), told("1.50"), told("0.000001")],
            [(0, 0), (12, 0), (150, 2), (1, 6)]
        );
        let long = "999999999999999999999999999.123456789012345678901234";
        assert_eq!(told(long), (999_999_999_999_999_999_999_999_999_123_456_789, 9));
        assert_eq!(told(&format!("0.{}", "1".repeat(40))).1, 30);
    }

    fn product() -> impl Strategy<Value = Product> {
        let name = prop::option::of(prop::sample::select(vec!["", "Boots", "Чоботи"]));
        (0i64..3, prop::sample::select(vec!["", "a", "b", "ї"]), name).prop_map(|(site, id, name)| Product {
            site,
            id: id.to_owned(),
            name: name.map(str::to_owned),
        })
    }

    fn number() -> impl Strategy<Value = String> {
        (prop_oneof![0u64..300_000, any::<u64>()], prop::option::of("[0-9]{1,16}"))
            .prop_map(|(whole, rest)| rest.map_or(whole.to_string(), |rest| format!("{whole}.{rest}")))
    }

    type Told = Vec<(Product, String, Option<String>)>;

    fn packed(orders: &[Told]) -> Positions {
        let mut positions = Positions::default();
        for order in orders {
            positions.push(
                order.iter().map(|(product, quantity, amount)| {
                    (product.clone(), quantity.as_str(), amount.as_deref())
                }),
            );
        }
        positions
    }

    fn text(amount: Amount) -> String {
        let digits = amount.scale as usize;
        let number = format!("{:0>1$}", amount.number, digits + 1);
        let (whole, rest) = number.split_at(number.len() - digits);
        if rest.is_empty() { whole.to_owned() } else { format!("{whole}.{rest}") }
    }

    fn lists(positions: &Positions) -> (Vec<String>, Vec<Option<String>>) {
        positions.products.iter().map(|product| (product.id.clone(), product.name.clone())).unzip()
    }

    proptest! {
        #[test]
        fn positions_come_back(
            orders in prop::collection::vec(
                prop::collection::vec((product(), number(), prop::option::of(number())), 0..4), 0..20),
        ) {
            let positions = packed(&orders);
            let (ids, names) = lists(&positions);
            let read = Positions::unpack(&positions.packed(), ids, names, orders.len()).unwrap();
            let told = |position: &Position| {
                (read.products()[position.product].clone(), text(position.quantity), position.amount.map(text))
            };
            let told: Vec<Told> = (0..orders.len()).map(|order| read.of(order).iter().map(told).collect()).collect();
            prop_assert_eq!(told, orders);
        }

        #[test]
        fn damaged_bytes_are_read_or_refused(
            orders in prop::collection::vec(
                prop::collection::vec((product(), number(), prop::option::of(number())), 0..4), 0..6),
            damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..3),
            cut in prop::option::of(any::<prop::sample::Index>()),
        ) {
            let positions = packed(&orders);
            let mut bytes = positions.packed();
            for (place, byte) in damage {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            if let Some(cut) = cut {
                bytes.truncate(cut.index(bytes.len()));
            }
            let (ids, names) = lists(&positions);
            if let Ok(read) = Positions::unpack(&bytes, ids, names, orders.len()) {
                for order in 0..orders.len() {
                    for position in read.of(order) {
                        prop_assert!(position.product < read.products().len());
                    }
                }
            }
        }

        #[test]
        fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..80), count in 0usize..9) {
            let (ids, names) = (vec![String::new(); count], vec![None; count]);
            if let Ok(read) = Positions::unpack(&bytes, ids, names, count) {
                prop_assert_eq!((0..count).map(|order| read.of(order).len()).sum::<usize>(), read.positions.len());
            }
        }
    }
}

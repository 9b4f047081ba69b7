//! What the sample shop sells.

/// A product.
#[derive(Debug)]
pub(super) struct Product {
    /// Its number in URLs.
    pub(super) id: u32,
    pub(super) name: &'static str,
    /// In whole hryvnias.
    pub(super) price: u32,
    pub(super) picture: &'static str,
    pub(super) text: &'static str,
}

/// ISO 4217 code of all prices.
pub(super) const CURRENCY: &str = "UAH";

/// The range, ids from 1 without gaps.
pub(super) const PRODUCTS: [Product; 12] = [
    product(1, "Clay teapot", 1499, "🫖", "Holds four cups and keeps them warm."),
    product(2, "Tea bowl, blue glaze", 420, "🍵", "Every one has its own shade."),
    product(3, "Coffee mug", 380, "☕", "Thick walls, a handle for cold hands."),
    product(4, "Dinner plate", 560, "🍽️", "Twenty-six centimetres of matt white."),
    product(5, "Soup bowl with lid", 690, "🥣", "From the oven straight to the table."),
    product(6, "Milk jug", 450, "🥛", "Pours without a drop going astray."),
    product(7, "Flower vase", 980, "🏺", "Tall and narrow, for three good stems."),
    product(8, "Honey pot", 520, "🍯", "With a wooden dipper."),
    product(9, "Candle holder", 310, "🕯️", "Throws leaf-shaped shadows."),
    product(10, "Herb planter", 740, "🪴", "A saucer is included, basil is not."),
    product(11, "Salt and pepper pair", 360, "🧂", "Two birds that pour."),
    product(12, "Large serving dish", 2150, "🥘", "For the day when everybody comes."),
];

const fn product(
    id: u32,
    name: &'static str,
    price: u32,
    picture: &'static str,
    text: &'static str,
) -> Product {
    Product { id, name, price, picture, text }
}

/// The product of this number.
pub(super) fn find(id: u32) -> Option<&'static Product> {
    PRODUCTS.iter().find(|product| product.id == id)
}

/// "1499.00"
pub(super) fn money(hryvnias: u32) -> String {
    format!("{hryvnias}.00")
}

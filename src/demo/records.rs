//! Parts of the records that the past is made of.

use std::borrow::Cow;

use rust_decimal::Decimal;
use serde_json::{Value, json};

use super::goods::{CURRENCY, Product};
use crate::hit::{Action, CustomerKeyKind, OrderEntryKind, OrderFact, Record, Way};

/// The site of a configuration without routes.
pub(super) const SITE: &str = "default";

/// What the shop told about an order, at the time when it happened.
pub(super) fn told(
    order: &str,
    kind: OrderEntryKind,
    at_ms: u64,
    value: Option<Decimal>,
    goods: &[&Product],
    customer: [u8; 16],
) -> Record<'static> {
    Record::Order(Box::new(OrderFact {
        site: SITE.to_owned(),
        order_id: order.to_owned(),
        kind,
        reference: String::new(),
        way: Way::Api,
        at_ms,
        value,
        currency: value.map(|_| CURRENCY.to_owned()),
        order_number: None,
        session_id: None,
        visitor_id: None,
        click_ids: Vec::new(),
        customer: vec![(CustomerKeyKind::Phone, customer)],
        items: Some(positions(goods)),
        properties: None,
        received_ms: at_ms,
        receipt: None,
    }))
}

/// What was bought, one of each, as the API takes it.
fn positions(goods: &[&Product]) -> String {
    let position = |product: &&Product| {
        let price = total(&[product]).to_string();
        json!({"product_id": product.id.to_string(), "name": product.name, "quantity": 1, "price": price})
    };
    Value::Array(goods.iter().map(position).collect()).to_string()
}

pub(super) fn action(kind: &'static str, product: Option<&Product>) -> Action<'static> {
    Action {
        product_id: product.map(|product| product.id.to_string().into()),
        product_name: product.map(|product| product.name.into()),
        ..Action::new(kind, Way::Header)
    }
}

pub(super) fn priced(kind: &'static str, value: Decimal, order_id: Option<String>) -> Action<'static> {
    let mut action = action(kind, None);
    (action.value, action.currency) = (Some(value), Some(CURRENCY.into()));
    action.order_id = order_id.map(Cow::Owned);
    action
}

pub(super) fn total(goods: &[&Product]) -> Decimal {
    Decimal::new(goods.iter().map(|product| i64::from(product.price) * 100).sum(), 2)
}

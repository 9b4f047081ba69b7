//! A line of `X-Utm-Event` is an action that comes back from the journal as it went in, or nothing.

#![no_main]

use libfuzzer_sys::fuzz_target;
use utm_dispatcher::capture::event;
use utm_dispatcher::hit::{Hit, Record};
use utm_dispatcher::journal::frame;

fuzz_target!(|line: &[u8]| {
    let Some(action) = event::read(line) else { return };
    assert!(!action.kind.is_empty() && action.kind.len() <= 50);
    assert!(action.kind.bytes().all(|byte| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'_')));
    assert!(action.value.is_none_or(|value| value.scale() <= 4));
    assert!(action.currency.as_ref().is_none_or(|code| code.len() == 3));
    assert!(action.properties.len() <= 50);
    let own = [&action.order_id, &action.order_number, &action.product_id, &action.product_name];
    for value in own.into_iter().flatten().chain(action.properties.iter().map(|(_, value)| value)) {
        assert!(!value.is_empty() && value.chars().count() <= 512 && !value.contains(char::is_control));
    }

    let record = Record::Hit(Box::new(Hit { actions: vec![action], ..Hit::default() }));
    let mut journal = Vec::new();
    frame::append(&record, &mut journal).unwrap();
    let payload = frame::payloads(&journal).next().unwrap();
    assert_eq!(Record::decode(payload).unwrap(), record);
});

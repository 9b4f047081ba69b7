//! What a query says of where somebody came from is capped, clean, and comes back from the journal as it went in.

#![no_main]

use libfuzzer_sys::fuzz_target;
use utm_dispatcher::capture::evidence::{Evidence, Referrer};
use utm_dispatcher::capture::query::NamePatterns;
use utm_dispatcher::capture::registry::{Kind, Registry};
use utm_dispatcher::hit::{Hit, Record};
use utm_dispatcher::journal::frame;

fuzz_target!(|data: &[u8]| {
    // The first line is the query, the rest the `Referer` field.
    let line_end = data.iter().position(|byte| *byte == b'\n').unwrap_or(data.len());
    let (query, referrer) = data.split_at(line_end);
    let registry = Registry::new();
    let evidence = Evidence::read(query, &registry, &NamePatterns::default(), true);
    // What is personal may be left out, and changes nothing else.
    let nameless = Evidence::read(query, &registry, &NamePatterns::default(), false);
    assert_eq!((nameless.campaign_hash, nameless.is_empty()), (evidence.campaign_hash, evidence.is_empty()));
    let (tells_nothing, campaign_hash, click_hash) =
        (evidence.tells_nothing(), evidence.campaign_hash, evidence.click_hash);
    assert!(!evidence.is_new_to(campaign_hash, click_hash));
    let referrer = Referrer::read(referrer.trim_ascii());
    let has_referrer = referrer.is_some();

    let touch = evidence.touch(referrer);
    assert_eq!(touch.is_some(), !tells_nothing || has_referrer);
    let Some(touch) = touch else { return };
    let fields = [&touch.source, &touch.medium, &touch.campaign, &touch.content, &touch.term, &touch.id];
    let values = fields.into_iter().flatten().chain(touch.parameters.iter().map(|(_, value)| value));
    for value in values {
        assert!(!value.is_empty() && value.chars().count() <= 512 && !value.contains(char::is_control));
        assert_eq!(value.trim(), value.as_ref());
    }
    for (name, value) in &touch.click_ids {
        let is_sign = registry.find(name.as_bytes()).unwrap().kind == Kind::Sign;
        assert_eq!(value.is_empty(), is_sign, "what names a person has no value");
        assert!(value.len() <= 4096 && !value.contains(char::is_control));
    }
    assert!(touch.click_ids.is_sorted_by(|(one, _), (other, _)| one < other), "sorted, each name once");

    let record = Record::Hit(Box::new(Hit { touch: Some(touch), ..Hit::default() }));
    let mut journal = Vec::new();
    frame::append(&record, &mut journal).unwrap();
    let payload = frame::payloads(&journal).next().unwrap();
    assert_eq!(Record::decode(payload).unwrap(), record);
});

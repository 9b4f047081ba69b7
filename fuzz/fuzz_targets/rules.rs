//! Templates, sources and conditions of rules are read or refused; what is read is shown as it reads back.

#![no_main]

use libfuzzer_sys::fuzz_target;
use utm_dispatcher::action::{Condition, Source, Template};

fuzz_target!(|input: (&str, &str)| {
    let (text, path) = input;
    if let Ok(template) = Template::parse(text) {
        assert_eq!(Template::parse(&template.to_string()).as_ref(), Ok(&template));
        for (_, value) in template.captures(path).into_iter().flatten() {
            assert!(!value.is_empty() && path.contains(value));
        }
    }
    if let Ok(source) = text.parse::<Source>() {
        assert_eq!(source.to_string().parse(), Ok(source));
    }
    if let Ok(condition) = text.parse::<Condition>() {
        assert_eq!(condition.to_string().parse(), Ok(condition.clone()));
        assert_ne!(condition.holds(None), Condition { is_not: !condition.is_not, ..condition }.holds(None));
    }
});

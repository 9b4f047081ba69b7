//! Orders that rules see, beside what the shop says of them.

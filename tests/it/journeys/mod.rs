//! Who came, from where, and which orders it earned: people before a shop, told in the words of [`stage`].
//!
//! A journey is a few lines of what somebody does and the story that the reports then tell, word for word. One file a
//! subject; a new one needs its line here and nothing else. `wire` has what goes over the wire, byte by byte.

mod stage;

mod basics;
mod groups;
mod identity;
mod left_out;
mod origins;
mod privacy;
mod redirects;
mod sessions;
mod values;
mod wire;

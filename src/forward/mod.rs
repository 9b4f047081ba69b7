//! The way to the shop and back: upstream connections, header fields, bodies.

//! Who came, from where, and what it means: pure functions of a request and its response.

//! Which upstream and site a request is for.

"""A small shop on Django Oscar, as its own documentation sets one up, that tells utm-dispatcher of its orders."""

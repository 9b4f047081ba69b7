//! Taking connections: one listening socket a worker.

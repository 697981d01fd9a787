//! The deterministic driver: a virtual clock and an in-memory network.

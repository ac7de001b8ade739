//! What tests stand on: a clock moved by hand and a store that fails on demand.

//! Stores that each break one promise.

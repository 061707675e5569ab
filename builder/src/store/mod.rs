//! Every download by its SHA-256.

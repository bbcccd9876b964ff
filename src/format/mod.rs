//! The log format: bytes in, bytes out; no I/O.

pub(crate) mod checksum;

//! state

pub(crate) mod runset;

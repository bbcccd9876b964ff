//! What a fetch asks for.

use crate::state::{Capacity, Precedence};
use std::time::Duration;

/// How long a fetch waits when there is nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    None,
    UpTo(Duration),
    Forever,
}

/// Who holds the messages: a caller by a lease with a deadline, or a runner for as long as it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holder {
    Caller,
    Runner,
}

/// One fetch.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ask {
    pub(crate) capacity: Capacity,
    pub(crate) patience: Patience,
    pub(crate) holder: Holder,
    pub(crate) precedence: Precedence,
}

//! What one open ask of a live execution waits for.

use tokio::task::AbortHandle;

use crate::journal::{Answer, Millis};

/// What one open ask waits for.
pub(super) enum Wait {
    /// Its effect has not been started.
    New,
    /// A model, asked by this host.
    Model(AbortHandle),
    /// A decision; and a time after which there will be none.
    Decision {
        name: String,
        until: Option<Millis>,
    },
    /// The end of another execution.
    Call {
        child: String,
    },
    Sleep {
        until: Millis,
    },
    /// Nothing: the answer is known.
    Known(Answer),
}

impl Wait {
    /// The time that it waits for at the longest.
    pub(super) fn until(&self) -> Option<Millis> {
        match self {
            Self::Sleep { until } => Some(*until),
            Self::Decision { until, .. } => *until,
            Self::New | Self::Model(_) | Self::Call { .. } | Self::Known(_) => None,
        }
    }
}

//! What a Countersign agent is written with.
//!
//! An agent is a module of `async` functions. Whatever a function awaits here may take days and outlive the process:
//! the host keeps every answer, and runs the function again from its start to where it was.
//!
//! ```no_run
//! use countersign_sdk::{agent, data};
//!
//! #[data]
//! struct Outcome {
//!     status: String,
//! }
//!
//! #[agent(name = "content-pipeline", version = "1.0.0")]
//! mod content_pipeline {
//!     use super::Outcome;
//!     use countersign_sdk::{Error, ai, call, json, pause};
//!     use std::time::Duration;
//!
//!     /// Writes a post and publishes it once an editor agrees.
//!     #[function]
//!     async fn publish(brief: String) -> Result<Outcome, Error> {
//!         let draft = ai().system("You are a copywriter.").user(brief).text().await?;
//!         let review = pause("draft").payload(&draft).expires_in(Duration::from_secs(3600)).await?;
//!         if review.approved() {
//!             call::<()>("publisher.publish", &json!({ "content": draft })).await?;
//!         }
//!         Ok(Outcome { status: review.decision })
//!     }
//! }
//! # fn main() {}
//! ```
//!
//! # Replay
//!
//! What a function asks must follow from its input and the answers so far, and from nothing else. Clocks, random
//! numbers and `HashMap` are safe: the host makes them the same on every replay. What `println!` and [`note!`] write
//! goes to the execution's log, once.
//!
//! # Several at once
//!
//! Every ask is an [`Ask`], a future that fits into [`join!`], [`try_join!`], [`select_biased!`], [`timeout`],
//! [`futures::future::select`] and [`futures::stream::FuturesUnordered`] as it is. Dropping one gives it up: its pause
//! is closed, its call cancelled. ([`select!`] works, too; but it asks in an order that is chosen by chance, which makes
//! tests harder.) One thing does not work: to wait for something that no ask will ever wake, such as an empty channel.
//! The execution fails then as `stuck`.
//!
//! # Errors
//!
//! Asks fail with [`AiError`], [`PauseError`] and [`CallError`], each of which `?` turns into an [`Error`], which is a
//! code and a message. A rejection is no error: it is a [`Review`] like any other.
//!
//! # Tests
//!
//! [`testing`] (not on Wasm) runs a function in memory, with the answers that a test gives.
//!
//! # Bounds
//!
//! They are the host's, and stand at the fields they bound in [`ApprovalRequest`] and [`Prompt`]. A JSON document,
//! be it an input, a result or a payload, has at most 1 MiB.

#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

// Lets the attributes' output, which names this crate, be used in this crate's own tests.
extern crate self as countersign_sdk;

mod ai;
mod ask;
pub mod bindings;
mod call;
mod error;
mod execution;
mod json;
mod pause;
mod review;
mod schema;
mod stage;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

#[doc(hidden)]
pub mod macro_support;

#[cfg(target_family = "wasm")]
use bindings::countersign::agent::host;
#[cfg(not(target_family = "wasm"))]
use testing::host;

pub use ai::{Ai, ai};
pub use ask::Ask;
pub use bindings::countersign::agent::types::{
    AiError, ApprovalRequest, Completion, Escalation, Message, PauseError, Prompt, Role, Usage,
};
pub use call::{CallError, call};
pub use countersign_sdk_macros::{agent, data};
pub use error::Error;
pub use execution::{Elapsed, execution_id, sleep, timeout};
pub use pause::{Pause, pause, review_link, wait_for_resume};
pub use review::{Review, Vote};
pub use stage::Stage;

pub use futures;
pub use futures::{join, select, select_biased, try_join};
pub use schemars::{self, JsonSchema};
pub use serde::{self, Deserialize, Serialize};
pub use serde_json::{self, Value, json};

/// Writes a line to the execution's log, as `println!` does. A test finds it in its trace.
///
/// ```no_run
/// countersign_sdk::note!("{} of {} are sent", 3, 5);
/// ```
#[macro_export]
macro_rules! note {
    ($($line:tt)+) => {
        $crate::macro_support::note(::std::format_args!($($line)+))
    };
}

//! Countersign: a durable host for WebAssembly agents that wait for people. ARCHITECTURE.md tells the way of one
//! execution; the modules below are in the order in which to read them.
#![deny(unsafe_code)]

pub mod execution; // what an execution is called, and which states it may move between
pub mod journal; // what it asked and was told
pub mod json; // what counts as a JSON document
pub mod decision; // what a reviewer may decide, and whether a decision fits
pub mod approval; // how several people decide, and what is done while they are waited for
pub mod schema; // what a JSON Schema may be, and what satisfies it
pub mod signature; // how a webhook proves who sent it
pub mod master_key; // how the database keeps the secrets that sign webhooks
pub mod link; // how a reviewer is let in without a key
pub mod notification; // what others are told
pub mod address; // where a host may send notifications
pub mod limits; // what one execution, and one tenant, may use
pub mod bucket; // how often something may be done
pub mod peer; // who is at the other end of a connection
pub mod api_key; // how a caller proves who it is, and what it may do
pub mod audit; // who did what, and whether the log of it was changed
pub mod db; // the rows: the only place with SQL
pub mod strangers; // who has not proved who he is, and how often
pub mod http; // clients write rows here …
pub mod web; // … as do reviewers, on the pages of their links …
pub mod worker; // … and workers act on them here
pub mod timekeeper; // … and this keeps the times of pauses
pub mod dialer; // requests to places that tenants choose
pub mod outbox; // … and this tells others of what happened
pub mod guest; // one component, one instance, one slice at a time: the only place with wasmtime
pub mod effects; // what an ask does outside the sandbox
pub mod trial; // an execution in memory, for `countersign try` and `replay`
pub mod serve; // all of it together, from configuration to the end
pub mod config; // every setting, and what the data directory holds
pub mod cli; // the command line

mod crash; // where a test may have the host die
mod metrics; // what a host counts
mod tally; // how many of something each tenant has
mod trust; // what was looked up just now
mod rate; // how often something may happen in a second
mod random; // random bytes from the operating system

pub use serve::{create_host_key, rekey_secrets, serve};

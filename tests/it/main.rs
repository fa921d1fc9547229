//! End-to-end tests: HTTP in; HTTP, the journal or an external ledger out.

mod command;
mod api;
mod bad_input;
mod contract;
mod agentfield;
mod decisions;
mod approvals;
mod links;
mod secrets;
mod tenants;
mod audit;
mod resume;
mod invariants;
mod replay;
mod crash;
mod races;
mod leases;
mod notifications;
mod canaries;
mod cancel;
mod time;
mod trials;
mod projects;
mod dev;
mod languages;

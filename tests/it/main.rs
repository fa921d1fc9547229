//! End-to-end tests: HTTP in; HTTP, the journal or an external ledger out.

mod resume;

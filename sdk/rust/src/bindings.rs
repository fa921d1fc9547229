//! The contract with the host, as it is generated from `wit/`.
//!
//! The rest of this crate is a nicer form of it. An agent that needs what that form does not give may call
//! [`countersign::agent::host`] itself, or implement [`Guest`] instead of using [`agent`](crate::agent).

#![allow(missing_docs, clippy::all, unreachable_pub, reason = "generated")]

wit_bindgen::generate!({
    path: "wit",
    world: "agent",
    pub_export_macro: true,
    default_bindings_module: "::countersign_sdk::bindings",
    runtime_path: "::countersign_sdk::macro_support::wit_bindgen::rt",
    additional_derives: [Clone, PartialEq],
    additional_type_attributes: {
        "countersign:agent/types@0.1.0/approval-request": [#[derive(Default)]],
        "countersign:agent/types@0.1.0/prompt": [#[derive(Default)]],
    },
});

impl Default for countersign::agent::types::RejectionRule {
    fn default() -> Self {
        Self::First
    }
}

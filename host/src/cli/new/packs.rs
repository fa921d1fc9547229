//! The templates, the SDKs and the contract as they were when this host was built: `build.rs` packs them.

include!(concat!(env!("OUT_DIR"), "/packs.rs"));

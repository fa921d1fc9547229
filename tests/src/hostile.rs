//! Hostile guests: those of `guest-examples/hostile`, made into components as a toolchain would.

pub mod load;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Mutex;

use wit_component::{ComponentEncoder, StringEncoding, embed_component_metadata};
use wit_parser::Resolve;

use crate::build::root;

fn folder() -> PathBuf {
    root().join("guest-examples/hostile")
}

fn read(path: &str) -> String {
    let path = folder().join(path);
    std::fs::read_to_string(&path).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// The component of a guest of `guest-examples/hostile/runs`.
pub fn hostile(name: &str) -> Vec<u8> {
    static MADE: Mutex<BTreeMap<String, Vec<u8>>> = Mutex::new(BTreeMap::new());
    let made = MADE.lock().expect("no panic under this lock").get(name).cloned();
    made.unwrap_or_else(|| {
        let component = agent(&read(&format!("runs/{name}.wat")));
        MADE.lock().expect("no panic under this lock").insert(name.to_owned(), component.clone());
        component
    })
}

/// The component of a guest, whose core module has these fields; what it needs and does not export itself is from
/// `frame`.
pub fn agent(fields: &str) -> Vec<u8> {
    encoded(fields, StringEncoding::UTF8)
}

/// The same, with texts in this encoding.
pub fn encoded(fields: &str, encoding: StringEncoding) -> Vec<u8> {
    let mut module = format!("(module {}", read("frame/imports.wat"));
    for part in ["memory", "cabi_realloc", "describe"] {
        if !fields.contains(&format!("(export \"{part}\")")) {
            module += &read(&format!("frame/{part}.wat"));
        }
    }
    module += &read("frame/returns.wat");
    module += fields;
    module.push(')');
    let mut module = wat::parse_str(&module).unwrap_or_else(|why| panic!("{why}"));
    let mut wit = Resolve::default();
    wit.push_dir(root().join("wit")).expect("the contract");
    let package = wit.push_source("wit.wit", &read("wit.wit")).expect("what guests import");
    let world = wit.select_world(&[package], Some("guest")).expect("the world of hostile guests");
    embed_component_metadata(&mut module, &wit, world, encoding).expect("metadata of the world");
    let encoder = ComponentEncoder::default().module(&module).expect("a core module");
    encoder.validate(false).encode().unwrap_or_else(|why| panic!("{why:#}"))
}

/// The ids of sections of a component.
pub const MODULE: u8 = 1;
pub const COMPONENT: u8 = 4;
pub const TYPES: u8 = 7;

/// A component with one more section at its end.
pub fn with_section(component: &[u8], id: u8, content: &[u8]) -> Vec<u8> {
    let mut length = content.len();
    let mut whole = component.to_vec();
    whole.push(id);
    loop {
        let low = (length & 0x7f) as u8;
        length >>= 7;
        whole.push(if length == 0 { low } else { low | 0x80 });
        if length == 0 {
            break;
        }
    }
    whole.extend_from_slice(content);
    whole
}

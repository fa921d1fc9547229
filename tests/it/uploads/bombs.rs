//! Small components that are much work, or much memory, to compile.

use countersign_tests::build::guest;
use serde_json::json;

use super::{Shared, upload};

/// A component with the two exports of an agent, and a module with these functions, which nobody calls.
fn beside(functions: &str) -> Vec<u8> {
    let text = format!(
        r#"(component
            (core module {functions})
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "describe") (canon lift (core func $i "f")))
            (func (export "run") (canon lift (core func $i "f"))))"#
    );
    wat::parse_str(&text).unwrap_or_else(|why| panic!("{why}"))
}

/// A function of so many branches, after each of which one of so many variables has one of two values.
pub(super) fn phi(branches: usize, variables: usize) -> Vec<u8> {
    let branch = |n: usize| {
        let variable = n % variables + 1;
        format!("(if (local.get 0) (then (local.set {variable} (i32.add (local.get {variable}) (i32.const 1)))))")
    };
    let branches: String = (0..branches).map(branch).collect();
    let uses: String = (1..=variables).map(|variable| format!("(drop (local.get {variable}))")).collect();
    beside(&format!("(func (param i32) (local {}) {branches} {uses})", "i32 ".repeat(variables)))
}

/// Ten instances of ten instances and so on: 600 bytes for ten million.
fn nested() -> Vec<u8> {
    let mut text = "(component (core module $m)
        (component $c0 (core module $m) (core instance (instantiate $m)))"
        .to_owned();
    for level in 1..=7 {
        let ten = "(instance (instantiate $x))".repeat(10);
        text += &format!("(component $c{level} (alias outer 1 {} (component $x)) {ten})", level - 1);
    }
    wat::parse_str(text + "(instance (instantiate $c7)))").expect("it is well formed")
}

#[tokio::test]
async fn a_bomb_is_refused_or_stopped_while_other_tenants_go_on() {
    let shared = Shared::new().await;
    shared.other.deploy("testbed", guest("testbed")).await;
    let locals = format!("(func (local {}))", "i32 ".repeat(2_000)).repeat(260);
    let many = format!("(func (local {}))", "i32 ".repeat(50_000)).repeat(20);
    let refused: [(&str, Vec<u8>, &str); 6] = [
        ("ten million instances", nested(), "too_many_instances"),
        ("520,000 locals", beside(&locals), "too_many_locals"),
        ("functions of 50,000 locals", beside(&many), "too_many_locals"),
        ("a function of 2 MB", beside(&format!("(func {})", "nop ".repeat(2 << 20))), "function_too_large"),
        ("100,000 functions", beside(&"(func)".repeat(100_000)), "too_many_functions"),
        ("branches of branches", phi(20_000, 2_000), "compile_limit"),
    ];
    let bombs = async {
        for (what, bomb, code) in refused {
            let reply = upload(&shared.one, "bomb", bomb).await;
            assert_eq!((reply.status, reply.code(), reply.blame()), (422, code, "guest"), "{what}: {}", reply.body);
        }
    };
    let neighbour = async {
        for n in 0..20 {
            let id = shared.other.start("testbed.echo", &json!(n)).await;
            assert_eq!(shared.other.finished(&id).await["result"], n);
        }
        upload(&shared.other, "second", super::unique(guest("publisher"))).await.expect(201);
    };
    tokio::join!(bombs, neighbour);
    assert!(shared.charged("default").await > 0.5, "what was stopped is charged");
    assert_eq!(shared.one.get("/v1/agents").await.expect(200)["items"], json!([]));
    shared.host.assert_unharmed();
}

#[tokio::test]
async fn types_in_types_without_end_do_not_overflow_the_hosts_stack() {
    let shared = Shared::new().await;
    let depth = 1_000_000;
    let section = [&[1][..], &[0x42, 1, 1].repeat(depth), &[0x42, 0]].concat();
    let mut wasm = b"\0asm\x0d\0\x01\0\x07".to_vec();
    let mut length = section.len();
    while length > 0x7f {
        wasm.push(u8::try_from(length & 0x7f).unwrap() | 0x80);
        length >>= 7;
    }
    wasm.push(u8::try_from(length).unwrap());
    wasm.extend(section);
    let reply = upload(&shared.one, "deep", wasm).await;
    assert_eq!((reply.status, reply.code()), (422, "component_too_deep"), "{}", reply.body);
    shared.one.deploy("testbed", guest("testbed")).await;
    shared.host.assert_unharmed();
}

//! Uploads that are no agents.

use countersign_tests::Reply;
use countersign_tests::api::send;
use countersign_tests::build::guest;
use reqwest::Method;
use serde_json::json;

use super::{Victim, assert_refused};

/// What the binary form of a component says; `text` is in WebAssembly's text format.
fn wasm(text: &str) -> Vec<u8> {
    wat::parse_str(text).unwrap_or_else(|why| panic!("{text}: {why}"))
}

/// A component with the two exports, of types that are not those of the contract.
fn with_exports(rest: &str) -> String {
    format!(
        r#"(component {rest}
            (core module $m (func (export "f")))
            (core instance $i (instantiate $m))
            (func (export "describe") (canon lift (core func $i "f")))
            (func (export "run") (canon lift (core func $i "f"))))"#
    )
}

async fn upload(victim: &Victim, wasm: Vec<u8>) -> Reply {
    send(victim.api.request(Method::PUT, "/v1/agents/victim").body(wasm)).await
}

/// What is wrong, the bytes, and a part of the message; which has another code than `invalid_component`, if it is given.
type Case = (&'static str, Vec<u8>, &'static str);

/// The code by which a message is told.
fn code(why: &str) -> &'static str {
    let codes = [
        ("`describe` failed", "describe_failed"),
        ("bytes of memory", "memory_too_large"),
        ("elements of tables", "table_too_large"),
        ("instances; instantiate fewer", "too_many_instances"),
        ("deep; compose", "component_too_deep"),
        ("does not give", "forbidden_import"),
        ("which no world of ours has", "forbidden_export"),
        ("does not take", "forbidden_feature"),
    ];
    codes.iter().find(|(part, _)| why.contains(part)).map_or("invalid_component", |(_, code)| code)
}

fn no_components() -> Vec<Case> {
    let good = guest("testbed");
    let text = b"(component)".to_vec();
    vec![
        ("nothing", vec![], "not WebAssembly"),
        ("one byte", vec![0], "not WebAssembly"),
        ("only the magic number", b"\0asm".to_vec(), "component"),
        ("text", text, "not WebAssembly"),
        ("a program", b"\x7fELF\x02\x01\x01\0".to_vec(), "not WebAssembly"),
        ("a compressed file", b"\x1f\x8b\x08\0\0\0\0\0".to_vec(), "not WebAssembly"),
        ("32 MiB of zeros", vec![0; 32 << 20], "not WebAssembly"),
        ("a core module", wasm("(module)"), "core module"),
        ("a core module with functions", wasm(r#"(module (func (export "run")))"#), "core module"),
        ("an unknown version", b"\0asm\xff\0\x01\0".to_vec(), "not a valid component"),
        ("the first section only", good[..12].to_vec(), "not a valid component"),
        ("a hundredth", good[..good.len() / 100].to_vec(), "not a valid component"),
        ("a half", good[..good.len() / 2].to_vec(), "not a valid component"),
        ("all but the last byte", good[..good.len() - 1].to_vec(), "not a valid component"),
        ("a byte more", [&good[..], &[0]].concat(), "not a valid component"),
        ("trailing garbage", [&good[..], b"garbage"].concat(), "not a valid component"),
        ("two in one", [&good[..], &good[..]].concat(), "not a valid component"),
    ]
}

fn instances(text: &str) -> String {
    format!("(component (core module $m) {text})")
}

/// Ten instances of ten instances and so on: a few hundred bytes for a number with `levels` zeros.
fn bomb(levels: usize) -> String {
    let mut text = instances("(component $c0 (core module $m) (core instance (instantiate $m)))");
    text.pop();
    for level in 1..=levels {
        let ten = "(instance (instantiate $x))".repeat(10);
        text += &format!("(component $c{level} (alias outer 1 {} (component $x)) {ten})", level - 1);
    }
    text + &format!("(instance (instantiate $c{levels})))")
}

fn no_agents() -> Vec<Case> {
    let import = |name: &str| wasm(&format!(r#"(component (import "{name}" (instance)))"#));
    vec![
        ("an empty component", wasm("(component)"), "does not export describe"),
        ("HTTP", import("wasi:http/outgoing-handler@0.2.0"), "wasi:http/outgoing-handler@0.2.0"),
        ("sockets", import("wasi:sockets/tcp@0.2.0"), "wasi:sockets/tcp@0.2.0"),
        ("a later WASI", import("wasi:cli/stdout@0.3.0"), "wasi:cli/stdout@0.3.0"),
        ("a later contract", import("countersign:agent/host@9.0.0"), "countersign:agent/host@9.0.0"),
        ("somebody else's host", import("other:agent/host@0.1.0"), "other:agent/host@0.1.0"),
        ("exports of other types", wasm(&with_exports("")), "does not fit the contract"),
        (
            "an import of another type",
            wasm(&with_exports(
                r#"(import "countersign:agent/host@0.1.0" (instance (export "execution-id" (func (result u32)))))"#,
            )),
            "does not fit the contract",
        ),
        (
            "an import that the interface has not",
            wasm(&with_exports(r#"(import "countersign:agent/host@0.1.0" (instance (export "root" (func))))"#)),
            "does not fit the contract",
        ),
        (
            "an export that is no function",
            wasm(r#"(component (component $c) (export "describe" (component $c)))"#),
            "does not export describe",
        ),
        (
            "an interface too many",
            wasm(&with_exports(r#"(instance $i) (export "wasi:http/incoming-handler@0.2.0" (instance $i))"#)),
            "exports wasi:http/incoming-handler@0.2.0",
        ),
        ("an agent that uses std::net and std::fs", guest("smuggler"), "look for std::net"),
        ("deep nesting", wasm(&format!("{}{}", "(component ".repeat(6), ")".repeat(6))), "deep; compose"),
        ("257 instances", wasm(&instances(&"(core instance (instantiate $m))".repeat(257))), "instances"),
        ("ten billion instances", wasm(&bomb(10)), "256 instances"),
        (
            "an imported component",
            wasm(r#"(component (component (import "c" (component $c)) (instance (instantiate $c))))"#),
            "an imported component",
        ),
        ("a stream", wasm("(component (type (stream u8)))"), "`stream`"),
        ("a future", wasm("(component (type (future u8)))"), "`future`"),
        ("64-bit memory", wasm("(component (core module (memory i64 1)))"), "which this host does not take"),
        ("shared memory", wasm("(component (core module (memory 1 1 shared)))"), "which this host does not take"),
        ("garbage collection", wasm("(component (core module (type (struct))))"), "which this host does not take"),
        ("exceptions", wasm("(component (core module (tag)))"), "which this host does not take"),
        ("tail calls", wasm(&with_exports("(core module (func return_call 0))")), "which this host does not take"),
        ("a body that is not valid", wasm(&with_exports("(core module (func (result i32)))")), "not a valid component"),
        (
            "UTF-16",
            wasm(
                r#"(component (core module $m (memory (export "m") 1) (func (export "r") (param i32 i32 i32 i32) (result i32)
                    unreachable) (func (export "f") (param i32 i32))) (core instance $i (instantiate $m))
                    (func (export "describe") (param "s" string)
                        (canon lift (core func $i "f") string-encoding=utf16 (memory $i "m") (realloc (func $i "r")))))"#,
            ),
            "encoding other than UTF-8",
        ),
    ]
}

/// The canonical form of `describe` and `run`, without what they do. `core` is in the module that they are lifted from.
fn skeleton(core: &str) -> String {
    format!(
        r#"(component
            (type $f (record (field "name" string) (field "description" (option string))
                             (field "input-schema" (option string)) (field "output-schema" (option string))))
            (type $m (record (field "name" string) (field "version" string) (field "functions" (list $f))))
            (import "countersign:agent/types@0.1.0" (instance $types
                (type $f (record (field "name" string) (field "description" (option string))
                                 (field "input-schema" (option string)) (field "output-schema" (option string))))
                (export "function" (type $function (eq $f)))
                (type $m (record (field "name" string) (field "version" string) (field "functions" (list $function))))
                (export "manifest" (type $manifest (eq $m)))))
            (alias export $types "manifest" (type $manifest))
            (core module $m {core})
            (core instance $i (instantiate $m))
            (alias core export $i "memory" (core memory $memory))
            (func (export "describe") (result $manifest)
                (canon lift (core func $i "describe") (memory $memory)))
            (func (export "run") (param "function" string) (param "input" string) (result (result string (error string)))
                (canon lift (core func $i "run") (memory $memory) (realloc (func $i "realloc")))))"#
    )
}

/// Components that fit the contract, until `describe` is called.
fn bad_behaviour() -> Vec<Case> {
    let functions = r#"(func (export "run") (param i32 i32 i32 i32) (result i32) unreachable)
                       (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)"#;
    let describing = |memory: &str, body: &str| {
        wasm(&skeleton(&format!(
            r#"(memory (export "memory") {memory}) {functions} (func (export "describe") (result i32) {body})"#
        )))
    };
    let with = |more: &str| {
        wasm(&skeleton(&format!(
            r#"(memory (export "memory") 1) {functions} {more} (func (export "describe") (result i32) unreachable)"#
        )))
    };
    vec![
        ("a trap", describing("1", "unreachable"), "`describe` failed"),
        ("a division by zero", describing("1", "i32.const 1 i32.const 0 i32.div_s"), "`describe` failed"),
        ("a result out of bounds", describing("1", "i32.const 0x7ffffffc"), "`describe` failed"),
        ("a result that is not aligned", describing("1", "i32.const 3"), "`describe` failed"),
        ("a manifest without functions", describing("1", "i32.const 0"), "0 functions"),
        (
            "a manifest with a name out of bounds",
            describing("1", "i32.const 4 i32.const -1 i32.store i32.const 0"),
            "`describe` failed",
        ),
        (
            "a manifest with four billion functions",
            describing("1", "i32.const 20 i32.const -1 i32.store i32.const 0"),
            "`describe` failed",
        ),
        ("4 GiB of memory", describing("65536", "i32.const 0"), "bytes of memory"),
        ("a large table", with("(table 10000000 funcref)"), "elements of tables"),
        ("a trap at the start", with("(func $s unreachable) (start $s)"), "`describe` failed"),
        ("bottomless recursion at the start", with("(func $s call $s) (start $s)"), "`describe` failed"),
    ]
}

#[tokio::test]
async fn an_upload_that_is_no_agent_is_refused_and_told_why() {
    let victim = Victim::new().await;
    for (what, wasm, why) in [no_components(), no_agents(), bad_behaviour()].concat() {
        let reply = upload(&victim, wasm).await;
        assert_refused(&reply, 422, code(reply.message()), what);
        let message = reply.body["error"]["message"].as_str().unwrap();
        assert!(message.contains(why), "{what}: {message}");
    }
    let reply = victim.api.get("/v1/agents/victim").await;
    assert_refused(&reply, 404, "agent_not_found", "nothing was deployed");
    assert_eq!(victim.api.get("/v1/agents").await.expect(200)["items"].as_array().unwrap().len(), 1);
    victim.assert_unharmed().await;
}

#[tokio::test]
async fn a_component_that_never_stops_describing_itself_is_stopped() {
    let victim = Victim::new().await;
    let core = r#"(memory (export "memory") 1) (func $s (loop br 0)) (start $s)
        (func (export "run") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "realloc") (param i32 i32 i32 i32) (result i32) unreachable)
        (func (export "describe") (result i32) unreachable)"#;
    let endless = upload(&victim, wasm(&skeleton(core)));
    let others = async {
        for n in 0..10 {
            let id = victim.api.start("testbed.echo", &json!(n)).await;
            assert_eq!(victim.api.finished(&id).await["result"], n, "others go on meanwhile");
        }
    };
    let (reply, ()) = tokio::join!(endless, others);
    assert_refused(&reply, 422, "describe_failed", "an endless start");
    assert!(reply.body["error"]["message"].as_str().unwrap().contains("computed for more than"), "{}", reply.body);
    victim.assert_unharmed().await;
}

#[tokio::test]
async fn an_upload_that_is_too_large_or_encoded_is_refused() {
    let victim = Victim::new().await;
    for size in [(32 << 20) + 1, 33 << 20] {
        let reply = upload(&victim, vec![0; size]).await;
        assert_refused(&reply, 413, "too_large", &format!("{size} bytes"));
    }
    // Without a length beforehand.
    let chunks = (0..33).map(|_| Ok::<_, std::io::Error>(vec![0; 1 << 20]));
    let body = reqwest::Body::wrap_stream(futures::stream::iter(chunks));
    let reply = send(victim.api.request(Method::PUT, "/v1/agents/victim").body(body)).await;
    assert_refused(&reply, 413, "too_large", "33 MiB in chunks");
    for encoding in ["gzip", "br", "zstd", "deflate", "gzip, gzip", "identity, gzip", ""] {
        let request = victim.api.request(Method::PUT, "/v1/agents/victim").header("content-encoding", encoding);
        let reply = send(request.body(guest("testbed"))).await;
        assert_refused(&reply, 415, "unsupported_media_type", encoding);
    }
    let request = victim.api.request(Method::PUT, "/v1/agents/victim").header("content-type", "multipart/form-data");
    assert_refused(&send(request.body("--x")).await, 415, "unsupported_media_type", "a form");
    let request = victim.api.request(Method::PUT, "/v1/agents/same").header("content-encoding", "identity");
    send(request.body(guest("testbed"))).await.expect(201);
    victim.assert_unharmed().await;
}

#[tokio::test]
async fn an_agent_needs_a_good_name() {
    let victim = Victim::new().await;
    let long = "a".repeat(65);
    for name in [
        "A",
        "Agent",
        "1a",
        "-a",
        "_a",
        "a.b",
        "a%20b",
        "a%2Fb",
        "a%00",
        "%00",
        "a%0A",
        "%C3%A4",
        "a+b",
        "%F0%9F%A6%80",
        "a:b",
        &long,
    ] {
        let path = format!("/v1/agents/{name}");
        let reply = send(victim.api.request(Method::PUT, &path).body(guest("testbed"))).await;
        assert_refused(&reply, 400, "invalid_request", name);
        for path in [path.clone(), format!("{path}/versions")] {
            assert_refused(&victim.api.get(&path).await, 404, "agent_not_found", &path);
        }
        let path = format!("{path}/versions/1/activate");
        assert_refused(&victim.api.post(&path, &json!(null)).await, 404, "agent_not_found", &path);
    }
    let longest = "a".repeat(64);
    victim.api.deploy(&longest, guest("testbed")).await;
    victim.host.assert_unharmed();
}

#[tokio::test]
async fn a_component_with_bits_flipped_is_refused_or_another_one() {
    let victim = Victim::new().await;
    let good = guest("publisher");
    for n in 0..48_usize {
        let mut bad = good.clone();
        // Every few places of the head, where the structure is, and some of the rest.
        let place = if n < 32 { 8 + n * 5 } else { (n * 104_729) % good.len() };
        bad[place] ^= 1 << (n % 8);
        let reply = upload(&victim, bad).await;
        if !matches!(reply.status, 200 | 201) {
            assert_refused(&reply, 422, reply.code(), &format!("bit {} of byte {place}", n % 8));
        }
    }
    victim.assert_unharmed().await;
}

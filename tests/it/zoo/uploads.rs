//! Guests that are not let in: each with the code that says why.

use countersign_tests::hostile::{self, COMPONENT, MODULE, TYPES, agent, encoded, hostile, with_section};
use countersign_tests::until;
use serde_json::{Value, json};
use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataSection, EntityType, Function, FunctionSection, ImportSection,
    MemorySection, MemoryType, Module, TypeSection, ValType,
};
use wit_component::StringEncoding;

use super::Zoo;

/// What it is, the bytes, and the code that refuses it.
type Case = (&'static str, Vec<u8>, &'static str);

/// An agent that is good but for a module that it holds.
fn holding(module: &[u8]) -> Vec<u8> {
    with_section(&hostile("nothing"), MODULE, module)
}

/// The same of a module, a component or a type in text form.
fn holding_text(text: &str) -> Vec<u8> {
    let bytes = wat::parse_str(text).unwrap_or_else(|why| panic!("{text:.200}: {why}"));
    with_section(&hostile("nothing"), if text.starts_with("(module") { MODULE } else { COMPONENT }, &bytes)
}

/// A module of so many functions of one body.
fn functions(count: u32, body: &Function) -> Vec<u8> {
    let (mut types, mut functions, mut code) = (TypeSection::new(), FunctionSection::new(), CodeSection::new());
    types.ty().function([], []);
    for _ in 0..count {
        functions.function(0);
        code.function(body);
    }
    let mut module = Module::new();
    module.section(&types).section(&functions).section(&code);
    module.finish()
}

fn empty() -> Function {
    let mut body = Function::new([]);
    body.instructions().end();
    body
}

fn with_locals(count: u32) -> Function {
    let mut body = Function::new([(count, ValType::I64)]);
    body.instructions().end();
    body
}

/// So many bytes, nearly, of `i32.const 1 drop`.
fn long(bytes: usize) -> Function {
    let mut body = Function::new([]);
    for _ in 0..bytes / 3 {
        body.instructions().i32_const(1).drop();
    }
    body.instructions().end();
    body
}

/// `ifs` places after each of which `locals` locals may have one of two values.
fn joins(ifs: u32, locals: u32) -> Function {
    let mut body = Function::new([(locals, ValType::I32)]);
    for n in 0..ifs {
        let mut code = body.instructions();
        code.local_get(n % locals).if_(BlockType::Empty);
        code.local_get((n + 1) % locals).local_set((n + 2) % locals).end();
    }
    body.instructions().end();
    body
}

fn imports(count: usize) -> Vec<u8> {
    let (mut types, mut imports) = (TypeSection::new(), ImportSection::new());
    types.ty().function([], []);
    for n in 0..count {
        imports.import("m", &format!("f{n}"), EntityType::Function(0));
    }
    let mut module = Module::new();
    module.section(&types).section(&imports);
    module.finish()
}

fn core_types(count: usize) -> Vec<u8> {
    let mut types = TypeSection::new();
    for _ in 0..count {
        types.ty().function([ValType::I32], []);
    }
    let mut module = Module::new();
    module.section(&types);
    module.finish()
}

fn data(bytes: usize) -> Vec<u8> {
    let (mut memories, mut data) = (MemorySection::new(), DataSection::new());
    let memory = MemoryType { minimum: 1, maximum: None, memory64: false, shared: false, page_size_log2: None };
    memories.memory(memory);
    data.active(0, &ConstExpr::i32_const(0), vec![7; bytes]);
    let mut module = Module::new();
    module.section(&memories).section(&data);
    module.finish()
}

/// So many times the component type `string`.
fn component_types(count: u32) -> Vec<u8> {
    let mut content = vec![(count & 0x7f) as u8 | 0x80, (count >> 7 & 0x7f) as u8 | 0x80, (count >> 14) as u8];
    content.resize(3 + count as usize, 0x73);
    with_section(&hostile("nothing"), TYPES, &content)
}

/// Ten instances of ten instances and so on: a few hundred bytes for a number with `levels` zeros.
fn exponential(levels: usize) -> String {
    let mut text = "(component (component $c0 (core module $m) (core instance (instantiate $m)))".to_owned();
    for level in 1..=levels {
        let ten = "(instance (instantiate $x))".repeat(10);
        text += &format!("(component $c{level} (alias outer 1 {} (component $x)) {ten})", level - 1);
    }
    text + &format!("(instance (instantiate $c{levels})))")
}

/// What takes more to compile, to instantiate or to keep than it may.
fn bombs() -> Vec<Case> {
    let core_instances =
        |count| format!("(component (core module $m) {})", "(core instance (instantiate $m))".repeat(count));
    let modules = (0..40).fold(hostile("nothing"), |wasm, _| with_section(&wasm, MODULE, b"\0asm\x01\0\0\0"));
    let memory = |pages: u32| agent(&format!("(memory (export \"memory\") {pages}) {}", RUN));
    vec![
        ("ten million instances", holding_text(&exponential(7)), "too_many_instances"),
        ("ten to the eighteenth instances", holding_text(&exponential(18)), "too_many_instances"),
        ("500 core instances", holding_text(&core_instances(500)), "too_many_instances"),
        (
            "components in components",
            holding_text(&format!("{}{}", "(component ".repeat(8), ")".repeat(8))),
            "component_too_deep",
        ),
        (
            "50,000 locals in each of 1,000 functions",
            holding(&functions(1_000, &with_locals(50_000))),
            "too_many_locals",
        ),
        ("3,000 locals in one function", holding(&functions(1, &with_locals(3_000))), "too_many_locals"),
        ("1,500 locals in each of 1,000 functions", holding(&functions(1_000, &with_locals(1_500))), "too_many_locals"),
        ("a function of 7 MB", holding(&functions(1, &long(7_000_000))), "function_too_large"),
        ("100,000 functions", holding(&functions(100_000, &empty())), "too_many_functions"),
        ("100,000 component types", component_types(100_000), "too_many_types"),
        ("20,000 core types", holding(&core_types(20_000)), "too_many_types"),
        ("6,000 imports", holding(&imports(6_000)), "too_many_imports"),
        ("40 modules", modules, "too_many_modules"),
        ("25 MiB of data", holding(&data(25 << 20)), "data_too_large"),
        ("4 GiB of memory", memory(65_536), "memory_too_large"),
        ("a page more than 128 MiB", memory(2_049), "memory_too_large"),
        ("a table of ten million", agent(&format!("(table 10000000 funcref) {RUN}")), "table_too_large"),
    ]
}

const RUN: &str = r#"(func (export "run") (type $run) (call $null))"#;

/// What this host does not run.
fn features() -> Vec<Case> {
    let module = |what, fields: &str| (what, holding_text(&format!("(module {fields})")), "forbidden_feature");
    let component = |what, fields: &str| (what, holding_text(&format!("(component {fields})")), "forbidden_feature");
    vec![
        ("texts in UTF-16", encoded(RUN, StringEncoding::UTF16), "forbidden_feature"),
        ("texts in Latin-1 or UTF-16", encoded(RUN, StringEncoding::CompactUTF16), "forbidden_feature"),
        (
            "a good agent around one with texts in UTF-16",
            with_section(&hostile("nothing"), COMPONENT, &encoded(RUN, StringEncoding::UTF16)),
            "forbidden_feature",
        ),
        module("64-bit memory", "(memory i64 1)"),
        module("shared memory", "(memory 1 1 shared)"),
        module("atomics", "(memory 1 1 shared) (func (drop (i32.atomic.load (i32.const 0))))"),
        module("structs", "(type (struct (field i32)))"),
        module("arrays", "(type (array i8))"),
        module("typed function references", "(type $f (func)) (func (param (ref $f)) (call_ref $f (local.get 0)))"),
        module("exceptions", "(tag)"),
        module("tail calls", "(func $f (return_call $f))"),
        module("stack switching", "(type $f (func)) (type (cont $f))"),
        module(
            "wide arithmetic",
            "(func (param i64 i64 i64 i64) (result i64 i64) (i64.add128 (local.get 0) (local.get 1) (local.get 2) (local.get 3)))",
        ),
        module("pages of one byte", "(memory 1 (pagesize 1))"),
        component("streams", "(type (stream u8))"),
        component("futures", "(type (future u8))"),
        component("error contexts", "(type error-context)"),
        component("threads", "(core type $f (func (param i32))) (core func (canon thread.spawn-ref $f))"),
    ]
}

/// What asks for more than the contract, or for something else.
fn strangers() -> Vec<Case> {
    let import = |name: &str| {
        let text = format!(r#"(component (import "{name}" (instance)))"#);
        wat::parse_str(text).expect("a component")
    };
    let export = |name: &str| {
        let text = format!(r#"(component (instance $i) (export "{name}" (instance $i)))"#);
        let section = wat::parse_str(text).expect("a component");
        // Without its preamble it is what a good agent may have at its end.
        [&hostile("nothing")[..], &section[8..]].concat()
    };
    let describing = |body: &str| agent(&format!("{RUN} {body}"));
    let mut all = vec![
        ("an interface that it exports", export("wasi:http/incoming-handler@0.2.0"), "forbidden_export"),
        ("a core module", wat::parse_str("(module)").expect("a module"), "invalid_component"),
        ("a component that is cut off", hostile("nothing")[..1_000].to_vec(), "invalid_component"),
        ("a component with something behind it", [&hostile("nothing")[..], b"garbage"].concat(), "invalid_component"),
        ("text", b"(component)".to_vec(), "invalid_component"),
        ("a form with 10,000 parts", b"--x\r\n\r\n1\r\n".repeat(10_000), "invalid_component"),
        (
            "a describe that traps",
            describing(r#"(func (export "describe") (result i32) unreachable)"#),
            "describe_failed",
        ),
        (
            "a describe that recurses",
            describing(r#"(func $d (export "describe") (result i32) (i32.add (call $d) (i32.const 1)))"#),
            "describe_failed",
        ),
        (
            "a describe that sleeps",
            describing(r#"(func (export "describe") (result i32) (call $sleep (i64.const 1)) (i32.const 3088))"#),
            "describe_failed",
        ),
        (
            "a describe that points beyond the memory",
            describing(r#"(func (export "describe") (result i32) (i32.const -24))"#),
            "describe_failed",
        ),
        (
            "a describe that wants all memory",
            describing(
                r#"(func (export "describe") (result i32) (loop $m (br_if $m (i32.ne (memory.grow (i32.const 1)) (i32.const -1)))) unreachable)"#,
            ),
            "describe_failed",
        ),
        ("a start that traps", describing("(func $s unreachable) (start $s)"), "describe_failed"),
    ];
    for name in [
        "wasi:filesystem/types@0.2.0",
        "wasi:sockets/tcp@0.2.0",
        "wasi:http/outgoing-handler@0.2.0",
        "wasi:cli/stdout@0.3.0",
        "countersign:agent/host@9.0.0",
        "somebody:elses/host@0.1.0",
    ] {
        all.push(("an import", import(name), "forbidden_import"));
    }
    for wit in [
        r#"(import "countersign:agent/host@0.1.0" (instance (export "execution-id" (func (result u32)))))"#,
        r#"(import "countersign:agent/host-blocking@0.1.0" (instance (export "sleep" (func (param "duration-ms" string)))))"#,
        r#"(import "countersign:agent/host-blocking@0.1.0" (instance (export "root" (func))))"#,
    ] {
        let text = format!(
            r#"(component {wit} (core module $m (func (export "f"))) (core instance $i (instantiate $m))
                (func (export "describe") (canon lift (core func $i "f")))
                (func (export "run") (canon lift (core func $i "f"))))"#
        );
        all.push(("an interface of other types", wat::parse_str(text).expect("a component"), "invalid_component"));
    }
    all
}

/// Uploads all of them, one after the other, and fails unless each is refused with its code, and none is kept.
async fn refused(cases: Vec<Case>) {
    let zoo = Zoo::new().await;
    let mut wrong = vec![];
    for (what, wasm, code) in cases {
        let reply = zoo.upload("hostile", wasm).await;
        let is_told = (20..5_000).contains(&reply.message().len());
        if (reply.status, reply.code(), reply.blame(), is_told) != (422, code, "guest", true) {
            wrong.push(format!("{what} is not {code}: {} {:.500}", reply.status, reply.body.to_string()));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    assert_eq!(zoo.api.get("/v1/agents").await.expect(200)["items"], json!([]), "nothing was deployed");
    zoo.assert_free().await;
}

#[tokio::test]
async fn a_bomb_is_refused_before_it_is_compiled_and_told_which_bound_it_breaks() {
    refused(bombs()).await;
}

#[tokio::test]
async fn what_this_host_does_not_run_is_refused() {
    refused(features()).await;
}

#[tokio::test]
async fn what_does_not_fit_the_contract_is_refused() {
    refused(strangers()).await;
}

/// Within every bound, and yet much to compile.
#[tokio::test]
async fn an_upload_that_takes_long_to_compile_holds_up_nobody_else() {
    let zoo = Zoo::new().await;
    let heavy = holding(&functions(2, &joins(5_000, 1_000)));
    let done = std::sync::atomic::AtomicBool::new(false);
    let upload = async {
        let reply = zoo.upload("heavy", heavy).await;
        done.store(true, std::sync::atomic::Ordering::Relaxed);
        reply
    };
    let (reply, longest) = tokio::join!(upload, zoo.neighbours(&done));
    assert!(reply.status == 201 || reply.code() == "compile_limit", "{}", reply.body);
    assert!(longest < std::time::Duration::from_secs(5), "an execution of a neighbour took {longest:?}");
    zoo.assert_free().await;
}

/// Compiles for as long as it may, all its uploads together.
#[tokio::test]
async fn uploads_without_end_use_up_the_budget_of_their_own_tenant() {
    let zoo = Zoo::new().await;
    let host_key = zoo.host.host_api();
    let limits = json!({"compile_seconds_per_hour": 1});
    let set = host_key.request(reqwest::Method::PUT, "/v1/tenants/zoo/limits").json(&limits);
    countersign_tests::api::send(set).await.expect(200);
    let mut n = 0;
    let refused = until("its budget is used up", async || {
        n += 1;
        // Each is another component, so none is at hand.
        let wasm = with_section(&holding(&functions(1, &joins(1_000 + n, 200))), 0, b"\x01x");
        let reply = zoo.upload("heavy", wasm).await;
        (reply.status != 201).then_some(reply)
    })
    .await;
    assert_eq!((refused.status, refused.code()), (429, "quota_exceeded"), "{}", refused.body);
    assert!(refused.message().contains("compile_seconds_per_hour"), "{}", refused.body);
    let wait: u64 = refused.headers["retry-after"].to_str().expect("text").parse().expect("seconds");
    assert!((1..=3_600).contains(&wait), "{wait}");
    // Another tenant's budget is its own.
    let keepers = with_section(&holding(&functions(1, &joins(10, 10))), 0, b"\x01y");
    zoo.keeper.deploy("light", keepers).await;
    assert_eq!(zoo.keeper.run("light.run", &Value::Null).await["status"], "succeeded");
    zoo.host.assert_unharmed();
}

/// What it may keep is used up by what it has uploaded.
#[tokio::test]
async fn components_without_end_use_up_what_their_own_tenant_may_store() {
    let zoo = Zoo::new().await;
    let host_key = zoo.host.host_api();
    let set = host_key.request(reqwest::Method::PUT, "/v1/tenants/zoo/limits").json(&json!({"stored_bytes": 3 << 20}));
    countersign_tests::api::send(set).await.expect(200);
    let mut n = 0;
    let refused = until("nothing more may be stored", async || {
        n += 1;
        let wasm = with_section(&hostile("nothing"), 0, &[&[1, b'a' + n][..], &[n; 1 << 20]].concat());
        let reply = zoo.upload("large", wasm).await;
        (reply.status != 201).then_some(reply)
    })
    .await;
    assert_eq!((refused.status, refused.code()), (429, "quota_exceeded"), "{}", refused.body);
    assert!(refused.message().contains("stored_bytes"), "{}", refused.body);
    assert!((2..=5).contains(&n), "the {n}th was refused");
    zoo.keeper.deploy("light", hostile::hostile("nothing")).await;
    zoo.host.assert_unharmed();
}

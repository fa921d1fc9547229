use std::path::Path;
use std::time::Duration;

use super::*;
use crate::guest::cpu::thread_cpu;
use counts::Excess;

fn look(wasm: &[u8]) -> Result<(), Invalid> {
    check(wasm, &Limits::default())
}

/// A section of this kind, with these bytes.
fn section(id: u8, bytes: &[u8]) -> Vec<u8> {
    [&[id], &leb(bytes.len())[..], bytes].concat()
}

fn leb(mut n: usize) -> Vec<u8> {
    let mut bytes = vec![];
    loop {
        let byte = u8::try_from(n & 0x7f).unwrap();
        n >>= 7;
        if n == 0 {
            bytes.push(byte);
            return bytes;
        }
        bytes.push(byte | 0x80);
    }
}

fn component(sections: &[Vec<u8>]) -> Vec<u8> {
    [b"\0asm\x0d\0\x01\0", &sections.concat()[..]].concat()
}

fn with_module(sections: &[Vec<u8>]) -> Vec<u8> {
    component(&[section(1, &[b"\0asm\x01\0\0\0", &sections.concat()[..]].concat())])
}

fn repeated(count: usize, item: &[u8]) -> Vec<u8> {
    [leb(count), item.repeat(count)].concat()
}

/// One function type without parameters, and functions of it with these bodies.
fn functions(bodies: &[Vec<u8>]) -> Vec<u8> {
    let code: Vec<u8> = bodies.iter().flat_map(|body| [leb(body.len()), body.clone()].concat()).collect();
    with_module(&[
        section(1, &[1, 0x60, 0, 0]),
        section(3, &repeated(bodies.len(), &[0])),
        section(10, &[leb(bodies.len()), code].concat()),
    ])
}

/// A body with so many locals.
fn with_locals(count: usize) -> Vec<u8> {
    [&[1][..], &leb(count), &[0x7f, 0x0b]].concat()
}

#[test]
fn what_is_no_component_is_told_apart() {
    assert!(matches!(look(b""), Err(Invalid::NotWasm)));
    assert!(matches!(look(b"(component)"), Err(Invalid::NotWasm)));
    assert!(matches!(look(b"\0asm\x01\0\0\0"), Err(Invalid::CoreModule)));
    assert!(matches!(look(b"\0asm\x0d\0\x01"), Err(Invalid::Malformed(_))));
    assert!(matches!(look(b"\0asm\x0d\0\x01\0\xff\xff"), Err(Invalid::Malformed(_))));
    assert!(matches!(look(&component(&[])), Err(Invalid::MissingExport("describe"))));
    assert!(matches!(look(&vec![0; COMPONENT_BYTES_MAX + 1]), Err(Invalid::TooLarge(_))));
}

#[test]
fn each_excess_is_refused_by_its_name_and_what_is_at_the_bound_is_not() {
    let fits = |wasm: &[u8]| assert!(matches!(look(wasm), Err(Invalid::MissingExport(_))), "{:?}", look(wasm));
    let refused = |wasm: &[u8], excess| assert_eq!(look(wasm), Err(Invalid::TooMuch(excess)));
    let body = vec![0, 0x0b];
    fits(&functions(&vec![with_locals(2_000); 250]));
    refused(&functions(&vec![with_locals(2_000); 251]), Excess::Locals);
    refused(&functions(&[with_locals(2_001)]), Excess::FunctionLocals);
    fits(&functions(&vec![body.clone(); 50_000]));
    refused(&functions(&vec![body; 50_001]), Excess::Functions);
    let long = |bytes: usize| [&[0][..], &vec![1; bytes - 2], &[0x0b]].concat();
    fits(&functions(&[long(1 << 20)]));
    refused(&functions(&[long((1 << 20) + 1)]), Excess::FunctionBytes);
    fits(&with_module(&[section(1, &repeated(10_000, &[0x60, 0, 0]))]));
    refused(&with_module(&[section(1, &repeated(10_001, &[0x60, 0, 0]))]), Excess::Types);
    refused(&with_module(&[section(2, &repeated(5_001, b"\x01m\x01n\x03\x7f\0"))]), Excess::Imports);
    refused(&with_module(&[section(7, &repeated(10_001, b"\x01m\0\0"))]), Excess::Exports);
    refused(&with_module(&[section(6, &repeated(20_001, &[0x7f, 0, 0x41, 0, 0x0b]))]), Excess::Definitions);
    refused(&with_module(&[section(7, &vec![0; (1 << 20) + 1])]), Excess::Structure);
    refused(&with_module(&[section(11, &vec![0; (24 << 20) + 1])]), Excess::Data);
    let module = section(1, b"\0asm\x01\0\0\0");
    fits(&component(&vec![module.clone(); 32]));
    refused(&component(&vec![module; 33]), Excess::Modules);
    fits(&with_module(&[section(5, &[&[1, 0][..], &leb(2_048)].concat())]));
    refused(&with_module(&[section(5, &[&[1, 0][..], &leb(2_049)].concat())]), Excess::Memory(128 << 20));
    refused(&with_module(&[section(4, &[&[1, 0x70, 0][..], &leb(20_001)].concat())]), Excess::Tables(20_000));
}

#[test]
fn types_that_would_overflow_the_stack_of_the_parser_are_refused() {
    for kind in [0x41, 0x42] {
        let nested = |depth: usize| [&[1][..], &[kind, 1, 1].repeat(depth), &[kind, 0]].concat();
        for depth in [201, 10_000, 1_000_000] {
            assert_eq!(look(&component(&[section(7, &nested(depth))])), Err(Invalid::TooDeep), "{depth} levels");
        }
        let few = look(&component(&[section(7, &nested(3))]));
        assert!(!matches!(few, Err(Invalid::TooDeep)), "{few:?}");
    }
}

#[test]
fn every_agent_that_we_build_passes_with_room() {
    let built = Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/guests/wasm32-wasip2/guest");
    // Where guests have not been built, there is nothing to look at; `make test` builds them first.
    let Ok(folder) = std::fs::read_dir(built) else { return };
    for path in folder.flatten().map(|file| file.path()).filter(|path| path.extension().is_some_and(|e| e == "wasm")) {
        let wasm = std::fs::read(&path).unwrap();
        let looked = look(&wasm);
        if path.ends_with("smuggler.wasm") {
            assert_eq!(looked.unwrap_err().code(), "forbidden_import");
            continue;
        }
        assert_eq!(looked, Ok(()), "{}", path.display());
        assert_eq!(validate(&wasm), Ok(()), "{}", path.display());
        let mut counts = Counts::new(&Limits::default());
        for payload in Parser::new(0).parse_all(&wasm) {
            counts.add(&payload.unwrap()).unwrap();
        }
        for (what, used) in counts.used() {
            println!("{:>4.0} %  {what} of {}", used * 100.0, path.file_name().unwrap_or_default().display());
            // Of the bytes of a component, data is the largest part.
            let most = if what == "data" { 0.75 } else { 0.5 };
            assert!(used <= most, "{}: {:.0} % of {what}", path.display(), used * 100.0);
        }
    }
}

/// The slowest inputs that fit the bounds, or are refused late. Run alone, it prints how long each takes.
#[test]
fn nothing_takes_long_to_look_at() {
    let of_size = |item: &[u8], bytes: usize| repeated(bytes / item.len(), item);
    let mib = 1 << 20;
    let label = |n: usize| format!("{n:06}");
    let field = |n: usize| [&[7, b'a'][..], label(n).as_bytes(), &[0x7d]].concat();
    let record: Vec<u8> = (0..10_000).flat_map(field).collect();
    let records = [&[9][..], &[&[0x72][..], &leb(10_000), &record].concat().repeat(9)].concat();
    let import = |n: usize| [&[0, 8, b'a', b'-'][..], label(n).as_bytes(), &[0x05, 0]].concat();
    let imports: Vec<u8> = (0..5_000).flat_map(import).collect();
    // A resource, types of handles to it, and their names: all of it is made anew for each import.
    let export =
        |n: usize| [&[1, 0x69, 0][..], &[4, 0, 7, b'a'], label(n).as_bytes(), &[3, 0], &leb(2 * n + 1)].concat();
    let handles: Vec<u8> = (0..4_000).flat_map(export).collect();
    let handles = [&[1, 0x42][..], &leb(8_001), &[4, 0, 1, b'r', 3, 1], &handles].concat();
    let few: Vec<u8> = (0..900).flat_map(import).collect();
    let instance_type = [&[1, 0x42][..], &leb(9_000), &[1, 0x7f].repeat(9_000)].concat();
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("32 MiB of empty custom sections", component(&[section(0, &[0]).repeat(32 * mib / 3)])),
        ("32 MiB of tiny functions", functions(&vec![vec![0, 0x0b]; 8 * mib])),
        ("32 MiB of functions of 600 bytes", functions(&vec![[&[0][..], &[1; 600], &[0x0b]].concat(); 49_999])),
        ("32 MiB of empty locals", functions(&vec![[&leb(400)[..], &[0, 0x7f].repeat(400), &[0x0b]].concat(); 40_000])),
        ("32 MiB of code that is one function", functions(&[vec![1; 32 * mib]])),
        ("32 MiB of imports", with_module(&[section(2, &of_size(b"\x01m\x01n\x03\x7f\0", 32 * mib))])),
        ("32 MiB of types", with_module(&[section(1, &of_size(&[0x60, 0, 0], 32 * mib))])),
        ("32 MiB of exports", with_module(&[section(7, &of_size(b"\x01m\0\0", 32 * mib))])),
        (
            "24 MiB of data segments",
            with_module(&[section(5, &[1, 0, 1]), section(11, &of_size(&[1, 0], 24 * mib - 8))]),
        ),
        ("32 MiB of element segments", with_module(&[section(9, &of_size(&[1, 0, 0], 32 * mib))])),
        (
            "1 MiB of elements",
            with_module(&[
                section(1, &[1, 0x60, 0, 0]),
                section(3, &[1, 0]),
                section(9, &[&[1, 5, 0x70][..], &of_size(&[0xd2, 0, 0x0b], mib - 32)].concat()),
            ]),
        ),
        ("records", component(&[section(7, &records)])),
        ("declarations", component(&[section(7, &instance_type)])),
        ("imports of resources", component(&[section(7, &handles), section(10, &[leb(900), few].concat())])),
        (
            "imports of instances",
            component(&[
                section(7, &[&[1][..], &instance_type[1..]].concat()),
                section(10, &[leb(5_000), imports].concat()),
            ]),
        ),
    ];
    for (what, wasm) in cases {
        let began = thread_cpu();
        let looked = look(&wasm);
        let took = Duration::from_nanos(thread_cpu() - began);
        println!(
            "{:>6} ms  {what}: {}",
            took.as_millis(),
            looked.unwrap_err().to_string().chars().take(120).collect::<String>()
        );
        // Five times the bound: the code of a test is not optimised.
        assert!(took < Duration::from_secs(1), "{what} took {took:?}");
    }
}

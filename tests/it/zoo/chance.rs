//! Uploads made by chance, the same ones each time: modules and components that are valid and mean nothing, and good
//! agents with something changed.

use arbitrary::Unstructured;
use countersign_tests::Reply;
use countersign_tests::build::guest;
use countersign_tests::hostile::{COMPONENT, MODULE, hostile, with_section};
use futures::StreamExt as _;
use futures::stream;
use wasm_smith::{Component, Config, Module};

use super::Zoo;

/// How many of each kind, unless `CHANCE_UPLOADS` says otherwise.
const COUNT: u64 = 300;

/// As many are under way at once: no tenant may have more.
const AT_ONCE: usize = 2;

/// How many instructions a module may run before it traps by itself.
const FUEL: u32 = 10_000;

/// How many bytes one is made of.
const SEED_BYTES: usize = 2_048;

fn count() -> u64 {
    std::env::var("CHANCE_UPLOADS").ok().and_then(|count| count.parse().ok()).unwrap_or(COUNT)
}

/// Bytes by number: splitmix64.
fn bytes(number: u64, length: usize) -> Vec<u8> {
    let mut state = number.wrapping_mul(0x5851_f42d_4c95_7f2d);
    let mut next = || {
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (state ^ (state >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    };
    (0..length.div_ceil(8)).flat_map(|_| next().to_le_bytes()).take(length).collect()
}

/// One by chance: a component, an agent with a component in it, or an agent with a module in it that is instantiated
/// where it needs nothing.
fn made(number: u64) -> Vec<u8> {
    let seed = bytes(number, SEED_BYTES);
    let mut data = Unstructured::new(&seed);
    let config =
        Config { max_imports: if number % 6 == 2 { 0 } else { 20 }, allow_start_export: true, ..Config::default() };
    if number % 3 != 2 {
        let component = Component::new(config, &mut data).expect("bytes are all it takes").to_bytes();
        return if number.is_multiple_of(3) {
            component
        } else {
            with_section(&hostile("nothing"), COMPONENT, &component)
        };
    }
    let mut module = Module::new(config, &mut data).expect("bytes are all it takes");
    let _ = module.ensure_termination(FUEL);
    let agent = with_section(&hostile("nothing"), MODULE, &module.to_bytes());
    if number % 6 != 2 {
        return agent;
    }
    // One instance, of the module that comes after the agent's own, with no arguments.
    with_section(&agent, INSTANCES, &[1, 0, modules(&agent) - 1, 0])
}

/// The id of a section of core instances.
const INSTANCES: u8 = 2;

/// How many core modules a component has, not counting those within components in it.
fn modules(component: &[u8]) -> u8 {
    let mut depth = 0;
    let mut count = 0;
    for payload in wasmparser::Parser::new(0).parse_all(component) {
        match payload.expect("it is well-formed") {
            wasmparser::Payload::Version { .. } => depth += 1,
            wasmparser::Payload::End(_) => depth -= 1,
            wasmparser::Payload::ModuleSection { .. } if depth == 1 => count += 1,
            _ => {}
        }
    }
    count
}

/// A good agent with some of it changed, taken away, doubled, or put elsewhere.
fn changed(number: u64, good: &[u8]) -> Vec<u8> {
    let dice = bytes(!number, 64);
    let mut dice = dice.chunks_exact(8).map(|bytes| u64::from_le_bytes(bytes.try_into().expect("eight")) as usize);
    let mut roll = |below: usize| dice.next().expect("enough of them") % below;
    let mut bad = good.to_vec();
    let (at, length) = (roll(bad.len() - 64), 1 + roll(64));
    match roll(5) {
        0 => bad[at] ^= 1 << roll(8),
        1 => bad[at] = roll(256) as u8,
        2 => drop(bad.drain(at..at + length)),
        3 => {
            let piece = bad[at..at + length].to_vec();
            let place = roll(bad.len());
            bad.splice(place..place, piece);
        }
        _ => {
            let other = roll(bad.len() - 64);
            let piece = bad[at..at + length].to_vec();
            bad[other..other + length].copy_from_slice(&piece);
        }
    }
    bad
}

/// Uploads them, a few at once, and fails unless each is either taken or refused by its own fault.
async fn upload(zoo: &Zoo, count: u64, make: impl Fn(u64) -> Vec<u8>) -> usize {
    let replies: Vec<(u64, Reply)> = stream::iter(0..count)
        .map(|number| {
            let wasm = make(number);
            async move { (number, zoo.upload(&format!("a{}", number % 8), wasm).await) }
        })
        .buffer_unordered(AT_ONCE)
        .collect()
        .await;
    let mut taken = 0;
    for (number, reply) in &replies {
        match reply.status {
            200 | 201 => taken += 1,
            422 => assert_eq!(reply.blame(), "guest", "{number}: {}", reply.body),
            status => panic!("upload {number}: {status} {}", reply.body),
        }
    }
    taken
}

#[tokio::test]
async fn whatever_is_valid_and_means_nothing_is_taken_or_refused_and_the_host_lives() {
    let zoo = Zoo::new().await;
    let taken = upload(&zoo, count(), made).await;
    assert!(taken * 20 > count() as usize, "only {taken} were compiled: too few to mean anything");
    zoo.assert_free().await;
}

#[tokio::test]
async fn a_good_agent_with_something_changed_is_another_one_or_refused() {
    let zoo = Zoo::new().await;
    let good = [guest("publisher"), hostile("fan-out")];
    upload(&zoo, count() / 2, |number| changed(number, &good[(number % 2) as usize])).await;
    zoo.assert_free().await;
}

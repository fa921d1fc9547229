//! Compiled components on disk: none is loaded that was changed, and the one that was not is.
#![no_main]

use std::path::PathBuf;
use std::sync::LazyLock;

use arbitrary::Arbitrary;
use countersign::guest::{Cache, CacheKey, Engine};
use libfuzzer_sys::fuzz_target;
use sha2::{Digest as _, Sha256};
use tokio::runtime::Runtime;

#[derive(Debug, Arbitrary)]
enum Change<'a> {
    Bytes(&'a [u8]),
    Bits(Vec<(u32, u8)>),
    Cut(u32),
    Grown(&'a [u8]),
}

struct Place {
    runtime: Runtime,
    engine: Engine,
    folder: PathBuf,
    file: PathBuf,
    digest: [u8; 32],
    whole: Vec<u8>,
}

static PLACE: LazyLock<Place> = LazyLock::new(|| {
    let folder = std::env::temp_dir().join(format!("countersign-fuzz-{}", uuid::Uuid::new_v4()));
    std::fs::create_dir_all(&folder).expect("a folder");
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime");
    let engine = Engine::new().expect("an engine");
    let wasm =
        std::fs::read(concat!(env!("CARGO_MANIFEST_DIR"), "/../target/guests/wasm32-wasip2/guest/publisher.wasm"));
    let wasm = wasm.expect("`make guests` builds it");
    let digest = Sha256::digest(&wasm).into();
    let cache = Cache::new(engine.clone(), folder.clone(), CacheKey::new([7; 32]));
    runtime.block_on(cache.compile(&digest, wasm.into())).expect("it compiles");
    let file = std::fs::read_dir(&folder).expect("the folder").next().expect("a file").expect("a file").path();
    let whole = std::fs::read(&file).expect("the file");
    Place { runtime, engine, folder, file, digest, whole }
});

fuzz_target!(|change: Change<'_>| {
    let place = &*PLACE;
    let mut bytes = place.whole.clone();
    match change {
        Change::Bytes(other) => bytes = other.to_vec(),
        Change::Bits(flips) => {
            for (at, bits) in flips {
                let at = at as usize % bytes.len();
                bytes[at] ^= bits;
            }
        }
        Change::Cut(to) => bytes.truncate(to as usize % (bytes.len() + 1)),
        Change::Grown(by) => bytes.extend(by),
    }
    std::fs::write(&place.file, &bytes).expect("the file");
    // One that has nothing in memory.
    let cache = Cache::new(place.engine.clone(), place.folder.clone(), CacheKey::new([7; 32]));
    let found = place.runtime.block_on(cache.find(&place.digest)).is_some();
    assert_eq!(found, bytes == place.whole);
});

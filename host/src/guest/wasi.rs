//! WASI as a pure function: clocks that stand still within a slice, random numbers from a seed, a log. No files, no
//! sockets, no environment, no input.

use std::sync::Arc;
use std::time::Duration;

use rand_chacha::ChaCha20Rng;
use rand_chacha::rand_core::{Rng as _, SeedableRng as _};
use tokio::io::AsyncWrite;
use wasmtime::component::{HasData, Linker, ResourceTable};
use wasmtime_wasi::cli::{IsTerminal, StdoutStream, WasiCli, WasiCliView as _};
use wasmtime_wasi::clocks::{WasiClocks, WasiClocksView as _};
use wasmtime_wasi::filesystem::{WasiFilesystem, WasiFilesystemView as _};
use wasmtime_wasi::p2::bindings::{cli, clocks, filesystem, random, sockets};
use wasmtime_wasi::p2::{OutputStream, Pollable, StreamResult};
use wasmtime_wasi::random::{WasiRandom, WasiRandomView as _};
use wasmtime_wasi::sockets::{WasiSockets, WasiSocketsView as _};
use wasmtime_wasi::{HostMonotonicClock, HostWallClock, WasiCtx};

use super::Inside;
use super::asks::{Asks, Stream};

mod timers;

/// Most random bytes in one call.
const RANDOM_BYTES_MAX: u64 = 1 << 20;

/// Most bytes that a guest may write to a stream at once.
const WRITE_BYTES_MAX: usize = 64 << 10;

const NANOS_PER_MILLI: u64 = 1_000_000;

/// The surroundings of one guest.
pub(super) fn context(seed: &[u8; 32], asks: &Arc<Asks>) -> WasiCtx {
    // Separate streams of one seed: how much is drawn from one does not change the others.
    let stream = |number| {
        let mut random = ChaCha20Rng::from_seed(*seed);
        random.set_stream(number);
        random
    };
    let mut hash_seed = stream(2);
    let hash_seed = u128::from(hash_seed.next_u64()) << 64 | u128::from(hash_seed.next_u64());
    WasiCtx::builder()
        .secure_random(stream(0))
        .insecure_random(stream(1))
        .insecure_random_seed(hash_seed)
        .max_random_size(RANDOM_BYTES_MAX)
        .wall_clock(Clock(asks.clone()))
        .monotonic_clock(Clock(asks.clone()))
        .allow_tcp(false)
        .allow_udp(false)
        .allow_ip_name_lookup(false)
        .stdout(Log { asks: asks.clone(), stream: Stream::Stdout })
        .stderr(Log { asks: asks.clone(), stream: Stream::Stderr })
        .build()
}

/// Links the interfaces that `check` lets through.
///
/// `filesystem` and `sockets` are there because CPython imports them. No directory is opened, so no file ever is; and
/// no socket can be created.
pub(super) fn add_to_linker(linker: &mut Linker<Inside>) -> wasmtime::Result<()> {
    use wasmtime_wasi_io::bindings::wasi::io;

    let l = linker;
    io::error::add_to_linker::<_, HasTable>(l, |inside| &mut inside.table)?;
    io::poll::add_to_linker::<_, HasTable>(l, |inside| &mut inside.table)?;
    io::streams::add_to_linker::<_, HasTable>(l, |inside| &mut inside.table)?;
    clocks::wall_clock::add_to_linker::<_, WasiClocks>(l, |inside| inside.clocks())?;
    timers::add_to_linker(l)?;
    random::random::add_to_linker::<_, WasiRandom>(l, |inside| inside.random())?;
    random::insecure::add_to_linker::<_, WasiRandom>(l, |inside| inside.random())?;
    random::insecure_seed::add_to_linker::<_, WasiRandom>(l, |inside| inside.random())?;
    let no_network = sockets::network::LinkOptions::default();
    sockets::network::add_to_linker::<_, WasiSockets>(l, &no_network, |inside| inside.sockets())?;
    sockets::instance_network::add_to_linker::<_, WasiSockets>(l, |inside| inside.sockets())?;
    sockets::ip_name_lookup::add_to_linker::<_, WasiSockets>(l, |inside| inside.sockets())?;
    sockets::tcp::add_to_linker::<_, WasiSockets>(l, |inside| inside.sockets())?;
    sockets::tcp_create_socket::add_to_linker::<_, WasiSockets>(l, |inside| inside.sockets())?;
    sockets::udp::add_to_linker::<_, WasiSockets>(l, |inside| inside.sockets())?;
    sockets::udp_create_socket::add_to_linker::<_, WasiSockets>(l, |inside| inside.sockets())?;
    filesystem::preopens::add_to_linker::<_, WasiFilesystem>(l, |inside| inside.filesystem())?;
    filesystem::types::add_to_linker::<_, WasiFilesystem>(l, |inside| inside.filesystem())?;
    cli::exit::add_to_linker::<_, WasiCli>(l, |inside| inside.cli())?;
    cli::environment::add_to_linker::<_, WasiCli>(l, |inside| inside.cli())?;
    cli::stdin::add_to_linker::<_, WasiCli>(l, |inside| inside.cli())?;
    cli::stdout::add_to_linker::<_, WasiCli>(l, |inside| inside.cli())?;
    cli::stderr::add_to_linker::<_, WasiCli>(l, |inside| inside.cli())?;
    cli::terminal_input::add_to_linker::<_, WasiCli>(l, |inside| inside.cli())?;
    cli::terminal_output::add_to_linker::<_, WasiCli>(l, |inside| inside.cli())?;
    cli::terminal_stdin::add_to_linker::<_, WasiCli>(l, |inside| inside.cli())?;
    cli::terminal_stdout::add_to_linker::<_, WasiCli>(l, |inside| inside.cli())?;
    cli::terminal_stderr::add_to_linker::<_, WasiCli>(l, |inside| inside.cli())?;
    Ok(())
}

struct HasTable;

impl HasData for HasTable {
    type Data<'a> = &'a mut ResourceTable;
}

/// Both clocks: they show the time of the last answer, and the monotonic one counts from the start.
struct Clock(Arc<Asks>);

impl HostWallClock for Clock {
    fn resolution(&self) -> Duration {
        Duration::from_millis(1)
    }

    fn now(&self) -> Duration {
        Duration::from_millis(self.0.now())
    }
}

impl HostMonotonicClock for Clock {
    fn resolution(&self) -> u64 {
        NANOS_PER_MILLI
    }

    fn now(&self) -> u64 {
        monotonic(&self.0)
    }
}

fn monotonic(asks: &Asks) -> u64 {
    (asks.now() - asks.started()).saturating_mul(NANOS_PER_MILLI)
}

/// A guest's stdout or stderr.
struct Log {
    asks: Arc<Asks>,
    stream: Stream,
}

impl IsTerminal for Log {
    fn is_terminal(&self) -> bool {
        false
    }
}

impl StdoutStream for Log {
    fn async_stream(&self) -> Box<dyn AsyncWrite + Send + Sync> {
        // Of WASI 0.3 only, which is not linked.
        Box::new(tokio::io::sink())
    }

    fn p2_stream(&self) -> Box<dyn OutputStream> {
        Box::new(Self { asks: self.asks.clone(), stream: self.stream })
    }
}

#[wasmtime_wasi::async_trait]
impl Pollable for Log {
    async fn ready(&mut self) {}
}

impl OutputStream for Log {
    fn write(&mut self, bytes: wasmtime_wasi_io::bytes::Bytes) -> StreamResult<()> {
        self.asks.print(self.stream, &bytes);
        Ok(())
    }

    fn flush(&mut self) -> StreamResult<()> {
        Ok(())
    }

    fn check_write(&mut self) -> StreamResult<usize> {
        Ok(WRITE_BYTES_MAX)
    }
}

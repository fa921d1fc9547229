//! Connections: how many, from whom, secured by what, and for how long they may do nothing.
//!
//! A client that is slow on purpose must cost no more than one that is not there. So a connection that keeps the host
//! waiting is closed, and no address has more than its share of them.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::peer::{self, Proxies};

mod body;
mod connection;
mod malformed;
mod pulse;
mod stream;
mod tls;

pub(super) use connection::{HEAD_BYTES_MAX, HEADERS_MAX};
use pulse::Patience;
pub use tls::Tls;

/// How long to wait when no connection can be accepted, because there are no more file descriptors, or no memory.
const ACCEPT_PAUSE: Duration = Duration::from_millis(500);

/// Where and how a host is reached.
pub struct Door {
    pub listener: TcpListener,
    pub tls: Option<Tls>,
    pub proxies: Proxies,
    /// How many connections there may be at once.
    pub connections_max: usize,
    /// How many of one address that is no proxy's.
    pub per_address_max: usize,
}

/// What every connection needs.
struct House {
    router: Router,
    tls: Option<Tls>,
    proxies: Proxies,
    patience: Patience,
    stop: CancellationToken,
}

impl Door {
    /// Lets connections in until `stop`; then lets the requests that are under way end, for as long as it is polled.
    pub(super) async fn serve(self, router: Router, stop: CancellationToken) -> std::io::Result<()> {
        let Self { listener, tls, proxies, connections_max, per_address_max } = self;
        let (connections, guests) = (TaskTracker::new(), Guests::new(per_address_max));
        let room = Arc::new(Semaphore::new(connections_max));
        let patience = Patience::new();
        if let Some(tls) = tls.clone() {
            tokio::spawn(tls.keep(stop.clone()));
        }
        let house = Arc::new(House { router, tls, proxies, patience, stop: stop.clone() });
        while let Some((stream, peer, permit)) = stop.run_until_cancelled(accept(&listener, &room)).await {
            let peer = peer.ip().to_canonical();
            let Some(place) = guests.place(peer, house.proxies.trusts(peer)) else { continue };
            let served = house.clone().receive(stream, peer);
            connections.spawn(async move {
                served.await;
                drop((place, permit));
            });
        }
        drop(listener);
        connections.close();
        connections.wait().await;
        Ok(())
    }
}

/// The next connection, as soon as there is room for one.
async fn accept(listener: &TcpListener, room: &Arc<Semaphore>) -> (TcpStream, SocketAddr, OwnedSemaphorePermit) {
    if room.available_permits() == 0 && FULL.may_say() {
        tracing::warn!("no more connections are taken until one ends; COUNTERSIGN_CONNECTIONS bounds them");
    }
    let permit = room.clone().acquire_owned().await.expect("nobody closes it");
    loop {
        match listener.accept().await {
            Ok((stream, peer)) => return (stream, peer, permit),
            // What was wrong with that one connection.
            Err(error) if is_of_the_client(&error) => {}
            Err(error) => {
                tracing::warn!(%error, "no connection can be accepted; trying again");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

fn is_of_the_client(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

/// What strangers may cause to be logged, as often as they like, is logged once in a while.
struct Seldom {
    said: Mutex<Option<Instant>>,
    every: Duration,
}

static FULL: Seldom = Seldom::new(60);
static TOO_MANY: Seldom = Seldom::new(60);
static NOT_TRUSTED: Seldom = Seldom::new(3_600);

impl Seldom {
    const fn new(seconds: u64) -> Self {
        Self { said: Mutex::new(None), every: Duration::from_secs(seconds) }
    }

    fn may_say(&self) -> bool {
        let mut said = self.said.lock().unwrap_or_else(PoisonError::into_inner);
        let may = said.is_none_or(|said| said.elapsed() > self.every);
        if may {
            *said = Some(Instant::now());
        }
        may
    }
}

/// How many connections each address has.
#[derive(Clone)]
struct Guests {
    counted: Arc<Mutex<HashMap<IpAddr, usize>>>,
    max: usize,
}

/// The place of one connection, until it is dropped. None: it is not counted.
struct Place(Option<(Guests, IpAddr)>);

impl Guests {
    fn new(max: usize) -> Self {
        Self { counted: Arc::default(), max }
    }

    /// A place for a connection of this address, if it has not too many.
    fn place(&self, peer: IpAddr, is_proxy: bool) -> Option<Place> {
        if is_proxy {
            return Some(Place(None));
        }
        let counted_as = peer::counted_as(peer);
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counted.entry(counted_as).or_default();
        if *count >= self.max {
            if TOO_MANY.may_say() {
                tracing::warn!(
                    %peer, "closed a connection of an address that has too many: COUNTERSIGN_CONNECTIONS_PER_ADDRESS bounds \
                    them. If this is a reverse proxy, name it in COUNTERSIGN_TRUSTED_PROXIES"
                );
            }
            return None;
        }
        *count += 1;
        Some(Place(Some((self.clone(), counted_as))))
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let Some((guests, counted_as)) = &self.0 else { return };
        let mut counted = guests.counted.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counted.get_mut(counted_as) {
            *count -= 1;
            if *count == 0 {
                counted.remove(counted_as);
            }
        }
    }
}

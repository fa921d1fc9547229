//! The door of a host: connections, before anything is known of who comes, and what every answer says.

mod browsers;
mod floods;
mod metrics;
mod proxies;
mod slow;
mod tls;

use std::time::Duration;

use countersign_tests::{Api, Database, Host, Model, until};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// A host, and what it was started with.
struct Door {
    host: Host,
    api: Api,
    _model: Model,
    _database: Database,
}

impl Door {
    async fn new(environment: &[(&str, &str)]) -> Self {
        let (database, model) = (Database::new().await, Model::start().await);
        let host = Host::start_with(&database, &model, environment).await;
        let api = host.api();
        Self { host, api, _model: model, _database: database }
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.host.address()).await.expect("the host listens")
    }

    /// A connection on which these bytes have been sent.
    async fn sent(&self, bytes: &[u8]) -> TcpStream {
        let mut stream = self.connect().await;
        // The host may have closed it already.
        let _ = stream.write_all(bytes).await;
        stream
    }

    /// Waits until the host's log says this.
    async fn says(&self, what: &str) {
        until(what, async || self.host.log().iter().any(|line| line.contains(what)).then_some(())).await;
    }
}

/// What comes until the host closes the connection, which it must.
async fn rest(stream: &mut TcpStream) -> String {
    let mut answer = vec![];
    let read = tokio::time::timeout(Duration::from_secs(30), stream.read_to_end(&mut answer)).await;
    // It may have been reset.
    let _ = read.expect("the host closes the connection");
    String::from_utf8_lossy(&answer).into_owned()
}

//! Wants a socket and a file. No host takes it; the tests see what it is told.

use countersign_sdk::agent;

#[agent]
mod smuggler {
    use countersign_sdk::Error;

    /// Reads what a server has to say.
    #[function]
    async fn fetch(address: String) -> Result<String, Error> {
        super::read_from(&address).map_err(|why| Error::new("network", why.to_string()))
    }

    /// Reads a file.
    #[function]
    async fn read(path: String) -> Result<String, Error> {
        std::fs::read_to_string(path).map_err(|why| Error::new("file", why.to_string()))
    }
}

fn read_from(address: &str) -> std::io::Result<String> {
    use std::io::Read as _;

    let mut text = String::new();
    std::net::TcpStream::connect(address)?.read_to_string(&mut text)?;
    Ok(text)
}

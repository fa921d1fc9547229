//! A mail server that keeps what it is given: as much of SMTP as it takes to be written to.

use std::sync::{Arc, Mutex};

use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

/// One mail, as it came.
#[derive(Debug, Clone)]
pub struct Mail {
    pub from: String,
    pub to: Vec<String>,
    /// Headers and body.
    pub data: String,
}

pub struct MailServer {
    /// `smtp://…`
    pub url: String,
    mails: Arc<Mutex<Vec<Mail>>>,
}

impl MailServer {
    /// Refuses mail for addresses that begin with `nobody`, for good, and with `busy`, for now.
    pub async fn start() -> Self {
        let mails: Arc<Mutex<Vec<Mail>>> = Arc::default();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let url = format!("smtp://{}", listener.local_addr().expect("its address"));
        let kept = mails.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(talk(stream, kept.clone()));
            }
        });
        Self { url, mails }
    }

    pub fn mails(&self) -> Vec<Mail> {
        self.mails.lock().expect("no panic under this lock").clone()
    }
}

async fn talk(stream: TcpStream, mails: Arc<Mutex<Vec<Mail>>>) -> std::io::Result<()> {
    let (reader, mut writer) = stream.into_split();
    let mut lines = BufReader::new(reader).lines();
    let (mut from, mut to) = (String::new(), vec![]);
    writer.write_all(b"220 test\r\n").await?;
    while let Some(line) = lines.next_line().await? {
        let verb = line.split([' ', ':']).next().unwrap_or_default().to_ascii_uppercase();
        let address = || line.split(['<', '>']).nth(1).unwrap_or_default().to_owned();
        let answer = match verb.as_str() {
            "MAIL" => {
                (from, to) = (address(), vec![]);
                "250 ok"
            }
            "RCPT" if address().starts_with("nobody") => "550 no such user",
            "RCPT" if address().starts_with("busy") => "450 try later",
            "RCPT" => {
                to.push(address());
                "250 ok"
            }
            "DATA" => {
                writer.write_all(b"354 go on\r\n").await?;
                let mut data = String::new();
                while let Some(line) = lines.next_line().await? {
                    if line == "." {
                        break;
                    }
                    data += line.strip_prefix('.').unwrap_or(&line);
                    data.push('\n');
                }
                let mail = Mail { from: from.clone(), to: std::mem::take(&mut to), data };
                mails.lock().expect("no panic under this lock").push(mail);
                "250 kept"
            }
            "QUIT" => "221 bye",
            _ => "250 ok",
        };
        writer.write_all(format!("{answer}\r\n").as_bytes()).await?;
    }
    Ok(())
}

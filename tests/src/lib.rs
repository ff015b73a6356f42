//! How do tests start a server, and speak to it like a client?
//!
//! Servers run in the test's own process, on a port of their own, with a store in memory unless the test brings one. Nothing here sleeps: a
//! client waits for what it expects, and gives up loudly.

pub mod fleet;
pub mod instances;
pub mod logs;
pub mod person;
pub mod process;
pub mod proxy;
pub mod redis;
pub mod resp;

use bytes::Bytes;
use commonplace::access::{Access, Sandbox};
use commonplace::bus::{Alone, Bus};
use commonplace::config::Door;
use commonplace::shutdown::Tasks;
use commonplace::store::Store;
use commonplace::store::sim::SimStore;
use commonplace::{Listeners, Options, Stopped};
use futures_util::{SinkExt, StreamExt};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::{Error, Message};

/// Longer than anything a test waits for takes on a busy machine.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A server to be.
#[derive(Debug)]
pub struct Setup {
    /// Where it keeps things.
    pub store: Arc<dyn Store>,
    /// How it hears other instances.
    pub bus: Arc<dyn Bus>,
    /// Who gets in.
    pub access: Arc<dyn Access>,
    /// How it behaves.
    pub options: Options,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            store: Arc::new(SimStore::new(1)),
            bus: Arc::new(Alone),
            access: Arc::new(Sandbox),
            options: Options {
                door: Door::Sandbox,
                allow_origins: Vec::new(),
                max_connections: 10_000,
                listens_on_loopback: true,
            },
        }
    }
}

impl Setup {
    /// Starts it on a free port.
    pub async fn start(self) -> Server {
        let main = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let address = main.local_addr().expect("a bound port has an address");
        let tasks = Tasks::new();
        let listeners = Listeners { main, metrics: None };
        let running = commonplace::run(
            listeners,
            self.options,
            Arc::clone(&self.store),
            self.bus,
            None,
            self.access,
            tasks.clone(),
        );
        // Not one of the server's own tasks: it waits for them.
        let running = Tasks::new().spawn(running);
        Server { address, store: self.store, tasks, running }
    }
}

/// A running server.
#[derive(Debug)]
pub struct Server {
    /// Where it listens.
    pub address: SocketAddr,
    /// Where it keeps things.
    pub store: Arc<dyn Store>,
    /// To stop it.
    pub tasks: Tasks,
    running: JoinHandle<std::io::Result<Stopped>>,
}

/// What a request was answered.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The head, as it came.
    pub head: String,
    /// The rest.
    pub body: String,
}

impl Answer {
    /// The value of a header.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        let line = |line: &'_ str| {
            line.split_once(':').is_some_and(|(found, _)| found.eq_ignore_ascii_case(name))
        };
        self.head
            .lines()
            .find(|found| line(found))
            .and_then(|line| line.split_once(':'))
            .map(|(_, value)| value.trim())
    }
}

impl Server {
    /// The sandbox, with a store in memory.
    pub async fn start() -> Self {
        Setup::default().start().await
    }

    /// Opens a WebSocket.
    pub async fn connect(&self, path: &str) -> Client {
        match self.try_connect(path, &[]).await {
            Ok(client) => client,
            Err(answer) => panic!("{path} was refused: {answer:?}"),
        }
    }

    /// Opens a WebSocket with these headers, or says how it was refused.
    pub async fn try_connect(
        &self,
        path: &str,
        headers: &[(&'static str, &str)],
    ) -> Result<Client, Answer> {
        let mut request =
            format!("ws://{}{path}", self.address).into_client_request().expect("an address");
        for (name, value) in headers {
            request.headers_mut().insert(*name, value.parse().expect("a header value"));
        }
        let stream = TcpStream::connect(self.address).await.expect("the server listens");
        match patiently("a handshake", tokio_tungstenite::client_async(request, stream)).await {
            Ok((socket, _)) => Ok(Client { socket }),
            Err(Error::Http(response)) => {
                let head = response
                    .headers()
                    .iter()
                    .map(|(name, value)| format!("{name}: {}\n", value.to_str().unwrap_or("?")));
                let body = response
                    .body()
                    .as_deref()
                    .map(String::from_utf8_lossy)
                    .unwrap_or_default()
                    .into_owned();
                Err(Answer { status: response.status().as_u16(), head: head.collect(), body })
            }
            Err(error) => panic!("{path}: {error}"),
        }
    }

    /// Asks for a page.
    pub async fn get(&self, path: &str) -> Answer {
        self.ask(&format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n\r\n",
            self.address
        ))
        .await
    }

    /// Sends these bytes and reads until the server has nothing more to say.
    pub async fn ask(&self, request: &str) -> Answer {
        let mut stream = TcpStream::connect(self.address).await.expect("the server listens");
        stream.write_all(request.as_bytes()).await.expect("the server reads");
        let mut answer = Vec::new();
        patiently("an answer", stream.read_to_end(&mut answer)).await.expect("an answer");
        let answer = String::from_utf8_lossy(&answer);
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or(0);
        Answer { status, head: head.to_owned(), body: body.to_owned() }
    }

    /// Stops it, and says how that went.
    pub async fn stop(self) -> Stopped {
        self.tasks.stop();
        self.stopped().await
    }

    /// Waits until somebody stops it, and says how that went.
    pub async fn stopped(self) -> Stopped {
        self.running.await.expect("the server does not panic").expect("the server ends well")
    }
}

/// One WebSocket, from the client's end.
#[derive(Debug)]
pub struct Client {
    /// The socket itself.
    pub socket: WebSocketStream<TcpStream>,
}

/// What a server says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// A binary message.
    Message(Bytes),
    /// Goodbye.
    Closed {
        /// For machines.
        code: u16,
        /// For people.
        reason: String,
    },
    /// Nothing more, without a goodbye.
    Gone,
}

impl Client {
    /// Sends a binary message.
    pub async fn send(&mut self, message: impl Into<Bytes>) {
        self.socket.send(Message::Binary(message.into())).await.expect("the server reads");
    }

    /// Sends a binary message to a server that may have closed.
    pub async fn send_if_open(&mut self, message: impl Into<Bytes>) {
        // What cannot be sent is not answered either, which is what the caller looks at.
        self.socket.send(Message::Binary(message.into())).await.ok();
    }

    /// What comes next; pings are answered and passed over.
    pub async fn next(&mut self) -> Said {
        loop {
            match patiently("a message", self.socket.next()).await {
                Some(Ok(Message::Binary(message))) => return Said::Message(message),
                Some(Ok(Message::Close(frame))) => {
                    // Sends the answer, which servers wait for, and reads to the end.
                    while let Some(Ok(_)) = patiently("the end", self.socket.next()).await {}
                    let (code, reason) = frame.map_or((1005, String::new()), |frame| {
                        (frame.code.into(), frame.reason.to_string())
                    });
                    return Said::Closed { code, reason };
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return Said::Gone,
            }
        }
    }

    /// The next binary message.
    pub async fn message(&mut self) -> Bytes {
        match self.next().await {
            Said::Message(message) => message,
            other => panic!("{other:?} where a message was expected"),
        }
    }

    /// Reads until the close, and says its code and reason.
    pub async fn close_code(&mut self) -> (u16, String) {
        loop {
            match self.next().await {
                Said::Message(_) => {}
                Said::Closed { code, reason } => return (code, reason),
                Said::Gone => panic!("the socket ended without a close frame"),
            }
        }
    }
}

/// Waits, but not for ever.
pub async fn patiently<F: Future>(what: &str, future: F) -> F::Output {
    match tokio::time::timeout(PATIENCE, future).await {
        Ok(output) => output,
        Err(_) => panic!("waited {PATIENCE:?} for {what}"),
    }
}

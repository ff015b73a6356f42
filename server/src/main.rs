//! The process edge: everything else starts from `commonplace::run`.

mod operator;
mod storage;

use clap::Parser;
use commonplace::access::{Access, Sandbox, Shut};
use commonplace::config::{Cli, Command, Door, LogFormat, ServeArgs, Settings, is_loopback};
use commonplace::shutdown::Tasks;
use commonplace::store::crash::CrashMarkers;
use commonplace::store::{Durability, LogName};
use commonplace::{Listeners, Options, run};
use operator::Outcome;
use std::io::{self, IsTerminal, Write};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;
use storage::Storage;
use tokio::net::{TcpListener, TcpSocket};
use tokio::signal::unix::{SignalKind, signal};
use tracing::{error, info, warn};
use tracing_subscriber::EnvFilter;

/// The check has found damage.
const DAMAGE_FOUND: u8 = 1;

/// A mistake on the command line or in the environment (`EX_USAGE`).
const WRONG_USE: u8 = 64;

/// The address, the data folder or the Redis is not to be had (`EX_UNAVAILABLE`).
const UNAVAILABLE: u8 = 69;

/// The storage failed (`EX_IOERR`).
const STORAGE_FAILED: u8 = 74;

/// A second signal came (128 + SIGINT, as shells say it).
const INTERRUPTED: u8 = 130;

/// yrs walks documents recursively, on whatever thread applies an update. Address space only; it is not touched until it is needed.
const STACK: usize = 64 * 1024 * 1024;

/// Work on one document that takes longer than this will not end any more. The process does instead, and the document is marked.
const STUCK_AFTER: Duration = Duration::from_secs(30);

/// TCP connections that may wait to be accepted. The usual 128 would drop most of a plenary that comes back at once, and who is dropped here
/// tries again only after one, three, seven seconds.
const WAITING_AT_THE_DOOR: u32 = 4096;

/// How often somebody looks for such work.
const LOOK_EVERY: Duration = Duration::from_secs(5);

/// Blocking work that is still running when everything else has stopped.
const LEFT_BEHIND: Duration = Duration::from_secs(1);

fn main() -> ExitCode {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            let code = if error.use_stderr() { WRONG_USE } else { 0 };
            // Help that cannot be printed has nobody to read it.
            error.print().ok();
            return ExitCode::from(code);
        }
    };
    match cli.command {
        Command::Serve(args) => serve(&args),
        command => operate(command),
    }
}

/// Commands that look after what is stored. They load documents, so they need the same stack as the server's threads.
fn operate(command: Command) -> ExitCode {
    let work = move || operator::run(&command, &mut io::stdout(), &mut io::stderr());
    let outcome = std::thread::Builder::new().stack_size(STACK).spawn(work).map(JoinHandle::join);
    match outcome {
        Ok(Ok(Outcome::Done)) => ExitCode::SUCCESS,
        Ok(Ok(Outcome::Damage)) => ExitCode::from(DAMAGE_FOUND),
        Ok(Ok(Outcome::WrongUse)) => ExitCode::from(WRONG_USE),
        Ok(Ok(Outcome::Unavailable)) => ExitCode::from(UNAVAILABLE),
        Ok(Ok(Outcome::Failed) | Err(_)) | Err(_) => ExitCode::from(STORAGE_FAILED),
    }
}

fn serve(args: &ServeArgs) -> ExitCode {
    let settings = match Settings::from_args(args) {
        Ok(settings) => settings,
        Err(mistakes) => {
            say(&format!("{mistakes}\n\ncommonplace serve --help explains the options."));
            return ExitCode::from(WRONG_USE);
        }
    };
    start_logging(settings.log);
    raise_file_limit();
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .thread_stack_size(STACK)
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            say(&format!("the threads cannot be started: {error}"));
            return ExitCode::from(UNAVAILABLE);
        }
    };
    let code = runtime.block_on(Box::pin(serve_until_stopped(&settings)));
    runtime.shutdown_timeout(LEFT_BEHIND);
    ExitCode::from(code)
}

async fn serve_until_stopped(settings: &Settings) -> u8 {
    let listeners = match bind(settings) {
        Ok(listeners) => listeners,
        Err(refused) => {
            say(&refused);
            return UNAVAILABLE;
        }
    };
    let Storage { store, bus, markers, place, notes, fatal } = match storage::open(settings).await {
        Ok(storage) => storage,
        Err(refused) => {
            say(&refused.to_string());
            return UNAVAILABLE;
        }
    };
    let tasks = Tasks::new();
    let signals = match Signals::new() {
        Ok(signals) => signals,
        Err(error) => {
            say(&format!("signals cannot be heard: {error}"));
            return UNAVAILABLE;
        }
    };
    let access: Arc<dyn Access> = match settings.door {
        Door::Sandbox => Arc::new(Sandbox),
        Door::Shut => Arc::new(Shut),
    };
    for note in &notes {
        warn!("{note}");
    }
    announce(settings, &listeners, &place, store.durability());
    let server = run(
        listeners,
        Options::from(settings),
        Arc::clone(&store),
        bus,
        Some(Arc::clone(&markers)),
        access,
        tasks.clone(),
    );
    // Cancel safety: every arm but the first ends the process at once; what was acknowledged is stored.
    let ended = tokio::select! {
        ended = Box::pin(server) => ended,
        reason = fatal => {
            error!(reason, "the storage has failed; nothing more is acknowledged");
            say(&format!("the storage has failed: {reason}\nEverything that was acknowledged is safe. Look at the disk, then start again."));
            return STORAGE_FAILED;
        }
        log = stuck_work(&markers) => {
            error!(%log, "work on a document does not come to an end; the process has to be started anew");
            return STORAGE_FAILED;
        }
        () = signals.stop_on_the_first(&tasks) => {
            warn!("a second signal: stopping at once");
            return INTERRUPTED;
        }
    };
    store.close().await;
    match ended {
        Ok(_) => 0,
        Err(error) => {
            say(&format!("the server ended: {error}"));
            UNAVAILABLE
        }
    }
}

fn bind(settings: &Settings) -> Result<Listeners, String> {
    let refused = |address, error: io::Error| {
        format!(
            "{address} cannot be listened on: {error}\nIs another server running? --listen chooses another port."
        )
    };
    let main = listen(settings.listen).map_err(|error| refused(settings.listen, error))?;
    let metrics = settings
        .metrics_listen
        .map(|address| listen(address).map_err(|error| refused(address, error)))
        .transpose()?;
    Ok(Listeners { main, metrics })
}

fn listen(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = if address.is_ipv4() { TcpSocket::new_v4() } else { TcpSocket::new_v6() }?;
    // A port on which the last process has just been closed can be taken again at once.
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    socket.listen(WAITING_AT_THE_DOOR)
}

/// One line with the address to open; for people it goes where they look, for machines into the log.
fn announce(settings: &Settings, listeners: &Listeners, place: &str, durability: Durability) {
    let Ok(address) = listeners.main.local_addr() else { return };
    let door = match settings.door {
        Door::Sandbox if is_loopback(address.ip()) => "for everyone on this computer",
        Door::Sandbox => "for everyone who can reach this computer",
        Door::Shut => "for nobody: start with --open to try it out",
    };
    let host = if address.ip().is_unspecified() {
        format!("localhost:{}", address.port())
    } else {
        address.to_string()
    };
    match settings.log {
        LogFormat::Human => print(&format!(
            "Commonplace is open {door}: http://{host}  (data in {place}, saved means {durability})"
        )),
        LogFormat::Json => info!(%address, data = place, %durability, door, "serving"),
    }
}

/// SIGTERM and Ctrl-C.
struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

impl Signals {
    fn new() -> io::Result<Self> {
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
        })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }

    /// The first signal stops the server in order. Resolves with the second: whoever sends it does not want to wait.
    async fn stop_on_the_first(mut self, tasks: &Tasks) {
        self.next().await;
        tasks.stop();
        self.next().await;
    }
}

/// Resolves when work on a document does not come to an end: its thread is lost. The mark on disk tells the next process which one it was.
async fn stuck_work(markers: &CrashMarkers) -> LogName {
    loop {
        tokio::time::sleep(LOOK_EVERY).await;
        if let Some((log, running)) = markers.longest_running()
            && running > STUCK_AFTER
        {
            return log;
        }
    }
}

fn start_logging(format: LogFormat) {
    let filter = EnvFilter::try_from_default_env().unwrap_or_else(|_| EnvFilter::new("info"));
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(io::stderr)
        .with_ansi(io::stderr().is_terminal());
    match format {
        LogFormat::Human => builder.with_target(false).init(),
        LogFormat::Json => builder.json().init(),
    }
}

/// Each WebSocket is a file descriptor: takes as many as the system allows.
fn raise_file_limit() {
    use rustix::process::{Resource, getrlimit, setrlimit};
    let mut limit = getrlimit(Resource::Nofile);
    limit.current = limit.maximum;
    match setrlimit(Resource::Nofile, limit) {
        Ok(()) => info!(file_descriptors = limit.current, "raised the limit of open files"),
        Err(error) => warn!(%error, "the limit of open files stays as it is"),
    }
}

fn say(words: &str) {
    // Nobody listens, then.
    writeln!(io::stderr(), "{words}").ok();
}

fn print(words: &str) {
    // Nobody listens, then.
    writeln!(io::stdout(), "{words}").ok();
}

//! How does a server begin, and how does it end without losing anything?

use crate::access::Access;
use crate::bus::Bus;
use crate::config::{Door, Origin, Settings, is_loopback};
use crate::connection::Registry;
use crate::http::{self, UpgradeBudget};
use crate::rooms::Rooms;
use crate::shutdown::Tasks;
use crate::store::Store;
use crate::store::crash::CrashMarkers;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio::time::Instant;
use tracing::{info, warn};

/// Stopping takes no longer than this, whatever clients and storage do: supervisors kill after 30 s.
const STOP_DEADLINE: Duration = Duration::from_secs(25);

/// How much of it the rooms may take to store what they hold.
const STORE_DEADLINE: Duration = Duration::from_secs(10);

/// How often the counters are tidied.
const UPKEEP_EVERY: Duration = Duration::from_secs(5);

/// How often it is checked whether the store still answers: rights that were taken away elsewhere must not live on here.
const TOUCH_EVERY: Duration = Duration::from_secs(1);

/// The ports of a server, bound by the caller.
#[derive(Debug)]
pub struct Listeners {
    /// Clients and the web client.
    pub main: TcpListener,
    /// `/metrics` for other computers.
    pub metrics: Option<TcpListener>,
}

/// How a server behaves.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who gets in.
    pub door: Door,
    /// Other web sites whose pages may connect.
    pub allow_origins: Vec<Origin>,
    /// How many WebSockets may be open at once.
    pub max_connections: usize,
    /// Whether only programs on this computer can reach the server.
    pub listens_on_loopback: bool,
}

impl From<&Settings> for Options {
    fn from(settings: &Settings) -> Self {
        Self {
            door: settings.door,
            allow_origins: settings.allow_origins.clone(),
            max_connections: settings.max_connections,
            listens_on_loopback: is_loopback(settings.listen.ip()),
        }
    }
}

/// What every connection and every request can reach.
#[derive(Debug)]
pub(crate) struct Edge {
    pub(crate) rooms: Rooms,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) access: Arc<dyn Access>,
    pub(crate) tasks: Tasks,
    pub(crate) options: Options,
    pub(crate) registry: Arc<Registry>,
    pub(crate) budget: UpgradeBudget,
}

/// How a server ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stopped {
    /// Everything is stored, every socket closed, every task ended.
    Whole,
    /// Something took too long. What was acknowledged is stored all the same.
    Late,
}

/// Serves until `tasks` is told to stop, then stops in phases: no new connections, everything stored, clients sent away a few at a time.
pub async fn run(
    listeners: Listeners,
    options: Options,
    store: Arc<dyn Store>,
    bus: Arc<dyn Bus>,
    markers: Option<Arc<CrashMarkers>>,
    access: Arc<dyn Access>,
    tasks: Tasks,
) -> io::Result<Stopped> {
    crate::metrics::install();
    crate::metrics::durability(store.durability().to_string());
    let edge = Arc::new(Edge {
        rooms: Rooms::new(Arc::clone(&store), bus, markers, tasks.clone()),
        store,
        access,
        tasks: tasks.clone(),
        registry: Registry::new(options.max_connections),
        budget: UpgradeBudget::new(),
        options,
    });
    if let Some(listener) = listeners.metrics {
        tasks.spawn(http::listen::accept_loop(listener, http::metrics_router(), tasks.clone()));
    }
    drop(tasks.spawn_blocking(http::prepare_pages));
    tasks.spawn(upkeep(tasks.clone()));
    tasks.spawn(keep_in_touch(edge.rooms.clone(), tasks.clone()));
    let main = tasks.spawn(http::listen::accept_loop(
        listeners.main,
        http::router(Arc::clone(&edge)),
        tasks.clone(),
    ));
    main.await.map_err(io::Error::other)?;

    info!("stopping: no new connections");
    let begun = Instant::now();
    if tokio::time::timeout(STORE_DEADLINE, edge.rooms.stop()).await.is_err() {
        warn!(
            "the storage is too slow to take what is still waiting; its authors have been told nothing was saved, and keep it"
        );
    }
    info!("stopping: sending clients away");
    let rest = async {
        edge.registry.close_all().await;
        tasks.finish().await;
    };
    match tokio::time::timeout_at(begun + STOP_DEADLINE, rest).await {
        Ok(()) => {
            info!(seconds = begun.elapsed().as_secs_f32(), "stopped");
            Ok(Stopped::Whole)
        }
        Err(_) => {
            warn!("stopped with connections still open");
            Ok(Stopped::Late)
        }
    }
}

async fn upkeep(tasks: Tasks) {
    let stopping = tasks.stopping();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(UPKEEP_EVERY) => crate::metrics::upkeep(),
        }
    }
}

async fn keep_in_touch(rooms: Rooms, tasks: Tasks) {
    let stopping = tasks.stopping();
    loop {
        tokio::select! {
            () = stopping.cancelled() => return,
            () = tokio::time::sleep(TOUCH_EVERY) => rooms.part_if_out_of_touch(),
        }
    }
}

//! How does a real Redis run for a while, durable and alone?

use crate::clock::{now, pause};
use crate::machine::{Cores, cpu_of, pin};
use crate::{Outcome, server::free_address};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use tempfile::TempDir;

const START: Duration = Duration::from_secs(10);
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A Redis that writes every command to disk before it answers. Killed when dropped.
pub(super) struct Redis {
    address: SocketAddr,
    child: Child,
    _folder: TempDir,
}

impl Redis {
    pub(super) fn start(cores: Cores) -> Outcome<Self> {
        let (address, folder) = (free_address()?, TempDir::new()?);
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &address.port().to_string()]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--save", ""]);
        command.arg("--dir").arg(folder.path());
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        pin(cores.server)?;
        let child = command.spawn();
        pin(cores.load)?;
        let child = child.map_err(|error| format!("redis-server cannot be started: {error}"))?;
        let redis = Self { address, child, _folder: folder };
        let since = now();
        while TcpStream::connect(address).is_err() {
            if since.elapsed() > START {
                return Err("redis-server did not start".into());
            }
            pause(LOOK_AGAIN);
        }
        Ok(redis)
    }

    pub(super) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub(super) fn cpu(&self) -> Outcome<Duration> {
        cpu_of(i32::try_from(self.child.id())?)
    }
}

impl Drop for Redis {
    fn drop(&mut self) {
        // It may have ended by itself.
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

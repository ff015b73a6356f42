//! A wire to Redis that can be cut at the worst moment: after a request has arrived and before its answer has.

use std::sync::{Arc, Mutex};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;

/// What happens to the answer of a request that contains a text.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fate {
    /// The connection is closed instead.
    Cut,
    /// Nothing comes, for ever.
    Swallowed,
}

type Plan = Arc<Mutex<Option<(&'static [u8], Fate)>>>;

/// Passes bytes on until told otherwise. Stops when dropped.
pub(crate) struct Proxy {
    port: u16,
    plan: Plan,
    _tasks: JoinSet<()>,
}

impl Proxy {
    pub(crate) async fn start(to: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let plan = Plan::default();
        let mut tasks = JoinSet::new();
        let plans = Arc::clone(&plan);
        tasks.spawn(async move {
            let mut wires = JoinSet::new();
            while let Ok((near, _)) = listener.accept().await {
                if let Ok(far) = TcpStream::connect(("127.0.0.1", to)).await {
                    wires.spawn(carry(near, far, Arc::clone(&plans)));
                }
            }
        });
        Self { port, plan, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}/", self.port)
    }

    /// The next request with this text in it meets this fate; those after it do not.
    pub(crate) fn plan(&self, text: &'static [u8], fate: Fate) {
        *self.plan.lock().unwrap() = Some((text, fate));
    }
}

/// The fate of a request, if one is planned for it.
fn meet(plan: &Plan, request: &[u8]) -> Option<Fate> {
    let mut plan = plan.lock().unwrap();
    let (text, fate) = (*plan)?;
    let is_it = request.windows(text.len()).any(|found| found == text);
    is_it.then(|| {
        *plan = None;
        fate
    })
}

async fn carry(mut near: TcpStream, mut far: TcpStream, plan: Plan) {
    let (mut out, mut back) = (vec![0; 65536], vec![0; 65536]);
    let mut fate = None;
    loop {
        tokio::select! {
            read = near.read(&mut out) => match read {
                Ok(size) if size > 0 => {
                    fate = meet(&plan, &out[..size]).or(fate);
                    if far.write_all(&out[..size]).await.is_err() {
                        return;
                    }
                }
                _ => return,
            },
            read = far.read(&mut back) => match (read, fate) {
                (Ok(size), None) if size > 0 => {
                    if near.write_all(&back[..size]).await.is_err() {
                        return;
                    }
                }
                (Ok(size), Some(Fate::Swallowed)) if size > 0 => {}
                _ => return,
            },
        }
    }
}

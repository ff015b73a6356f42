//! How do a connection and its rooms write to one TCP socket?
//!
//! The connection reads and waits; whoever holds the outbox' lock writes.

use crate::outbox::Wire;
use std::io::{self, IoSlice};
use std::net::Shutdown;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};

/// The connection's end of a TCP socket.
#[derive(Debug)]
pub(crate) struct Tcp {
    reading: OwnedReadHalf,
    writing: Arc<OwnedWriteHalf>,
}

impl Tcp {
    pub(crate) fn new(stream: TcpStream) -> Self {
        let (reading, writing) = stream.into_split();
        Self { reading, writing: Arc::new(writing) }
    }

    /// The rooms' end.
    pub(crate) fn wire(&self) -> Arc<dyn Wire> {
        Arc::clone(&self.writing) as Arc<dyn Wire>
    }
}

impl Wire for OwnedWriteHalf {
    fn try_write(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.try_write_vectored(slices)
    }
}

impl AsyncRead for Tcp {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reading).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Tcp {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        loop {
            match self.writing.try_write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    let stream: &TcpStream = (*self.writing).as_ref();
                    ready!(stream.poll_write_ready(cx))?;
                }
                written => return Poll::Ready(written),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        let stream: &TcpStream = (*self.writing).as_ref();
        Poll::Ready(socket2::SockRef::from(stream).shutdown(Shutdown::Write))
    }
}

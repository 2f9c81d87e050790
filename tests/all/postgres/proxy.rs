//! A wire that can be cut: a proxy in between, for what happens while nobody can hear.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// A proxy on loopback.
pub(crate) struct Proxy {
    address: SocketAddr,
    open: watch::Sender<bool>,
    /// How many connections it has let through.
    through: Arc<AtomicU64>,
}

impl Proxy {
    /// Passes everything on to a port of this machine.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (open, is_open) = watch::channel(true);
        let through = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&through);
        tokio::spawn(async move {
            while let Ok((mut near, _)) = listener.accept().await {
                let (mut is_open, count) = (is_open.clone(), Arc::clone(&count));
                if !*is_open.borrow() {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(mut far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    count.fetch_add(1, Ordering::SeqCst);
                    tokio::select! {
                        _ = tokio::io::copy_bidirectional(&mut near, &mut far) => {}
                        _ = is_open.wait_for(|open| !open) => {}
                    }
                });
            }
        });
        Self { address, open, through }
    }

    /// The URL of a server, by way of this.
    pub(crate) fn url(&self, server: &str) -> String {
        let (_, database) = server.rsplit_once('/').unwrap();
        format!("postgres://flightdeck@{}/{database}", self.address)
    }

    pub(crate) fn through(&self) -> u64 {
        self.through.load(Ordering::SeqCst)
    }

    /// Cuts every connection, and lets no other through.
    pub(crate) fn cut(&self) {
        self.open.send_replace(false);
    }

    pub(crate) fn mend(&self) {
        self.open.send_replace(true);
    }
}

/// The port in a server's URL.
pub(crate) fn port_of(server: &str) -> u16 {
    let (_, rest) = server.rsplit_once(':').unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

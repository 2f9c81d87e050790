//! A wire that can be cut, hushed and held: a proxy in between, for what happens while nobody can hear.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What becomes of what is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passes {
    Everything,
    /// Connections are cut, and no other is let through.
    Nothing,
    /// Connections stay, also new ones, and not a byte gets through: a black hole.
    Silence,
    /// What is asked arrives, and no answer comes back.
    Questions,
    /// What is asked next is held back while the one who asked is cut off, and arrives when this ends.
    Late,
}

/// A proxy on loopback.
pub(crate) struct Proxy {
    address: SocketAddr,
    /// What passes, and how often everything was cut.
    passes: watch::Sender<(Passes, u64)>,
    /// How many connections it has let through.
    through: Arc<AtomicU64>,
}

impl Proxy {
    /// Passes everything on to a port of this machine.
    pub(crate) async fn to(port: u16) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (passes, passing) = watch::channel((Passes::Everything, 0));
        let through = Arc::new(AtomicU64::new(0));
        let count = Arc::clone(&through);
        tokio::spawn(async move {
            while let Ok((near, _)) = listener.accept().await {
                let (passing, count) = (passing.clone(), Arc::clone(&count));
                if passing.borrow().0 == Passes::Nothing {
                    continue;
                }
                tokio::spawn(async move {
                    let Ok(far) = TcpStream::connect(("127.0.0.1", port)).await else { return };
                    count.fetch_add(1, Ordering::SeqCst);
                    pass(near, far, passing).await;
                });
            }
        });
        Self { address, passes, through }
    }

    /// The URL of a server, by way of this.
    pub(crate) fn url(&self, server: &str) -> String {
        let (_, database) = server.rsplit_once('/').unwrap();
        format!("postgres://flightdeck@{}/{database}", self.address)
    }

    pub(crate) fn through(&self) -> u64 {
        self.through.load(Ordering::SeqCst)
    }

    pub(crate) fn passes(&self, what: Passes) {
        let cuts = |cuts| if what == Passes::Nothing { cuts + 1 } else { cuts };
        self.passes.send_modify(|passes| *passes = (what, cuts(passes.1)));
    }

    /// Cuts every connection, and lets no other through.
    pub(crate) fn cut(&self) {
        self.passes(Passes::Nothing);
    }

    pub(crate) fn mend(&self) {
        self.passes(Passes::Everything);
    }
}

/// Passes on what one connection says, as long as it may.
async fn pass(mut near: TcpStream, mut far: TcpStream, mut passing: watch::Receiver<(Passes, u64)>) {
    let (mut asked, mut answered) = (vec![0; 65_536], vec![0; 65_536]);
    let cuts = passing.borrow().1;
    loop {
        let (now, cut) = *passing.borrow_and_update();
        if cut != cuts {
            return;
        }
        tokio::select! {
            changed = passing.changed() => if changed.is_err() { return },
            read = near.read(&mut asked) => {
                let Some(asked) = read.ok().filter(|read| *read > 0).map(|read| &asked[..read]) else { return };
                match now {
                    Passes::Silence => continue,
                    Passes::Late => {
                        drop(near);
                        drop(passing.changed().await);
                        drop(far.write_all(asked).await);
                        // Long enough for the server to do what it was asked.
                        drop(tokio::time::timeout(Duration::from_secs(1), far.read(&mut answered)).await);
                        return;
                    }
                    _ => {}
                }
                if far.write_all(asked).await.is_err() {
                    return;
                }
            }
            read = far.read(&mut answered) => {
                let Some(answered) = read.ok().filter(|read| *read > 0).map(|read| &answered[..read]) else { return };
                if now == Passes::Everything && near.write_all(answered).await.is_err() {
                    return;
                }
            }
        }
    }
}

/// The port in a server's URL.
pub(crate) fn port_of(server: &str) -> u16 {
    let (_, rest) = server.rsplit_once(':').unwrap();
    rest.split('/').next().unwrap().parse().unwrap()
}

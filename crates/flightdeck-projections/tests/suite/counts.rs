//! The projection that the tests run: how often each name was counted. Its variants break in every way that one can.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::{Duration, Instant};

use flightdeck_projections::{Projection, Reads};
use flightdeck_store::Recorded;
use flightdeck_store::view::{FoldError, Key, Kind, Rows, Table};

/// What it does with a name that is called `poison`.
#[derive(Clone, Default)]
pub(crate) enum Poison {
    #[default]
    None,
    Fails,
    Panics,
    Hangs,
    /// It hangs until that is true, and counts how often it was tried.
    HangsUntil(Arc<AtomicBool>, Arc<AtomicU32>),
    /// It fails after it has changed its row.
    FailsHalfWay,
    /// It fails until that is true.
    Until(Arc<AtomicBool>),
    /// It fails, and counts how often it was tried.
    Counts(Arc<AtomicU32>),
}

#[derive(Clone)]
pub(crate) struct Counts {
    pub(crate) name: &'static str,
    pub(crate) number: u32,
    /// What one count adds: another number may count in another way.
    pub(crate) step: i64,
    pub(crate) types: &'static [&'static str],
    pub(crate) poison: Poison,
    pub(crate) gather: Option<Duration>,
}

impl Counts {
    pub(crate) fn named(name: &'static str) -> Self {
        Self { name, number: 1, step: 1, types: &["Counted"], poison: Poison::None, gather: None }
    }

    pub(crate) fn with(poison: Poison) -> Self {
        Self { poison, ..Self::named("counts") }
    }
}

fn counted(event: &Recorded) -> Result<String, FoldError> {
    Ok(serde_json::from_slice(event.data_bytes())?)
}

impl Projection for Counts {
    fn name(&self) -> &'static str {
        self.name
    }
    fn number(&self) -> u32 {
        self.number
    }
    fn reads(&self) -> Reads {
        Reads::types(self.types.iter().copied())
    }
    fn tables(&self) -> Vec<Table> {
        vec![Table::named(self.name).key("name", Kind::Text).column("count", Kind::Integer)]
    }
    fn gather(&self) -> Option<Duration> {
        self.gather
    }
    fn keys(&self, event: &Recorded) -> Result<Vec<Key>, FoldError> {
        Ok(vec![Key::of(self.name, counted(event)?)])
    }
    fn fold(&self, event: &Recorded, rows: &mut Rows<'_>) -> Result<(), FoldError> {
        let name = counted(event)?;
        let before = rows.get(self.name, name.as_str()).and_then(|row| row.integer("count")).unwrap_or(0);
        if name == "poison" {
            match &self.poison {
                Poison::None => {}
                Poison::Fails => return Err(FoldError::new("it is poison")),
                Poison::Panics => panic!("it is poison"),
                Poison::Hangs => std::thread::sleep(Duration::from_secs(3)),
                Poison::HangsUntil(good, tried) => {
                    tried.fetch_add(1, Ordering::SeqCst);
                    let end = Instant::now() + Duration::from_secs(20);
                    while !good.load(Ordering::SeqCst) && Instant::now() < end {
                        std::thread::sleep(Duration::from_millis(5));
                    }
                }
                Poison::FailsHalfWay => {
                    rows.put(self.name, [name.as_str().into(), 99.into()])?;
                    return Err(FoldError::new("it is poison"));
                }
                Poison::Until(good) if good.load(Ordering::SeqCst) => {}
                Poison::Counts(tried) => {
                    tried.fetch_add(1, Ordering::SeqCst);
                    return Err(FoldError::new("it is poison"));
                }
                Poison::Until(_) => return Err(FoldError::new("it is poison")),
            }
        }
        rows.put(self.name, [name.into(), (before + self.step).into()])
    }
}

//! `flightdeck projections`: how far the views are, building one anew, letting one wait or go on, leaving an event out.

use std::io::Write as _;
use std::sync::Arc;
use std::time::Duration;

use clap::{Args, Subcommand};
use flightdeck_core::Position;
use flightdeck_projections::{Admin, AdminError, Defined, Projection, Runner, StartError, Watcher};
use flightdeck_store::Watcher as _;
use flightdeck_store::view::{Generation, GenerationState, HaltKind, ViewError, ViewName, ViewStore as _};
use serde_json::json;

use crate::exit::{Failure, REFUSED, UNREACHABLE};
use crate::eyes::{BAD, Bar, DIM, Eyes, GOOD, NAME, ODD, number, plain, styled};
use crate::remote::Remote;
use crate::settings::Settings;
use crate::stores::{self, Writing};

#[derive(Args)]
pub(crate) struct Arguments {
    #[command(subcommand)]
    what: Option<What>,
}

#[derive(Subcommand)]
enum What {
    /// Tell how far each view is, and why one does not go on
    List,
    /// Build a view anew, beside the one in use, which it then takes the place of
    Rebuild { name: String },
    /// Let a view wait
    Pause { name: String },
    /// Let a view go on, also one that has come to a halt
    Resume { name: String },
    /// Have a view leave out the event that it has come to a halt before, for good
    Skip { name: String },
}

pub(crate) async fn run(arguments: Arguments, settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    match arguments.what {
        None | Some(What::List) => list(settings, eyes).await,
        Some(What::Rebuild { name }) => rebuild(&name, settings, eyes).await,
        Some(What::Pause { name }) => act(&name, Act::Pause, settings, eyes).await,
        Some(What::Resume { name }) => act(&name, Act::Resume, settings, eyes).await,
        Some(What::Skip { name }) => act(&name, Act::Skip, settings, eyes).await,
    }
}

/// How a generation stands, in a word.
fn word(state: &GenerationState, head: i64) -> &'static str {
    match (&state.halt, state) {
        (Some(halt), _) => halt.kind.as_str(),
        // Whoever runs it will say so.
        (None, state) if state.checkpoint.position.get() > head => HaltKind::Diverged.as_str(),
        (None, GenerationState { paused: true, .. }) => "paused",
        (None, GenerationState { serving: true, .. }) => "serving",
        (None, GenerationState { ready: true, .. }) => "ready",
        (None, _) => "building",
    }
}

async fn list(settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let (store, views) = stores::read_views(settings).await?;
    let (head, all) = Admin::new(store, views).list().await?;
    let head = head.position().get();
    let mut out = eyes.out();
    for state in &all {
        let at = state.checkpoint.position.get();
        if eyes.json {
            let halt = state.halt.as_ref().map(|halt| {
                json!({
                    "kind": halt.kind.as_str(), "position": halt.position.get(),
                    "eventId": halt.event.map(|event| event.to_string()), "error": halt.error,
                })
            });
            let skips: Vec<i64> = state.skips.iter().map(|position| position.get()).collect();
            let line = json!({
                "projection": state.of.view.as_str(), "number": state.of.number, "build": state.of.build,
                "state": word(state, head), "ready": state.ready, "serving": state.serving, "paused": state.paused,
                "position": at, "head": head, "lag": head - at, "halt": halt, "skips": skips,
                "running": state.holder.is_some(),
            });
            writeln!(out, "{line}")?;
            continue;
        }
        let word = word(state, head);
        let style = match word {
            "serving" | "ready" => GOOD,
            "building" | "paused" => ODD,
            _ => BAD,
        };
        let of = format!("{}.{}", state.of.number, state.of.build);
        let lag = match head - at {
            0 => "at the head".to_owned(),
            lag if lag < 0 => format!("{} ahead of the log", number(lag.unsigned_abs())),
            lag => format!("{} behind", number(lag.unsigned_abs())),
        };
        let name = format!("{:<20}", state.of.view.as_str());
        let word = format!("{word:<14}");
        let at = format!("position {}", number(at.unsigned_abs()));
        writeln!(out, "{} {of:<6} {} {at}, {lag}", styled(NAME, &name), styled(style, &word))?;
        if let Some(halt) = &state.halt {
            writeln!(out, "  {}", styled(DIM, &plain(&halt.to_string())))?;
        }
    }
    if all.is_empty() && !eyes.json {
        writeln!(out, "no view was built yet")?;
    }
    Ok(out.flush()?)
}

/// Nobody makes a store by looking after the views of one that is not there.
async fn is_there(settings: &Settings) -> Result<(), Failure> {
    stores::read_views(settings).await.map(drop)
}

/// A view of ours.
fn known(name: &str) -> Result<(Arc<dyn Projection>, Defined), Failure> {
    let all = flightdeck_views::all();
    let names: Vec<&str> = all.iter().map(|projection| projection.name()).collect();
    let names = names.join(", ");
    let found = all.into_iter().find(|projection| projection.name() == name).ok_or_else(|| {
        let text = format!("there is no view {}", plain(name));
        Failure::new(REFUSED, text, format!("there are: {names}"))
    })?;
    let defined = Defined::new(Arc::clone(&found));
    Ok((found, defined.map_err(|error| Failure::new(REFUSED, error.to_string(), ""))?))
}

async fn rebuild(name: &str, settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let (projection, defined) = known(name)?;
    is_there(settings).await?;
    let (of, at) = match stores::remote(settings).await? {
        Some(remote) => have_built(&remote, &defined).await?,
        None => {
            let writing = Writing::open(settings).await?;
            let rebuilt = build(&writing, projection, &defined).await;
            writing.close().await;
            rebuilt?
        }
    };
    let mut out = eyes.out();
    match eyes.json {
        true => {
            let line = json!({
                "projection": of.view.as_str(), "number": of.number, "build": of.build, "position": at.get(),
            });
            writeln!(out, "{line}")?;
        }
        false => writeln!(out, "{} {}.{} is built, up to position {at}", of.view, of.number, of.build)?,
    }
    Ok(out.flush()?)
}

/// Builds a view anew and waits until that has taken over: this program folds, unless another one that runs it is faster.
async fn build(
    writing: &Writing,
    projection: Arc<dyn Projection>,
    defined: &Defined,
) -> Result<(Generation, Position), Failure> {
    let (store, views) = writing.views();
    let of = Admin::new(Arc::clone(&store), Arc::clone(&views)).rebuild(defined.plan(), &actor()).await?.of;
    let running = Runner::new(store, views).projections(vec![projection]).start().await?;
    let bar = Bar::new();
    let built = wait(running.watcher(), &of, &bar).await;
    drop(bar);
    running.stop().await;
    built.map(|at| (of, at))
}

/// The same by the server that holds the store: this program only watches.
async fn have_built(remote: &Remote, defined: &Defined) -> Result<(Generation, Position), Failure> {
    let (view, number) = (defined.plan().view(), defined.plan().number());
    remote.administer(view.as_str(), "rebuild").await?;
    let reader = remote.reader().clone();
    let all = reader.generations().await?.into_iter().map(|state| state.of);
    let newest = all.filter(|of| of.view == *view && of.number == number).max_by_key(|of| of.build);
    let of = newest.ok_or_else(|| ViewError::Unknown(view.to_string()))?;
    let watcher = Watcher::start(Arc::new(reader.clone()), Arc::new(reader));
    let bar = Bar::new();
    let at = wait(&watcher, &of, &bar).await?;
    Ok((of, at))
}

async fn wait(watcher: &Watcher, of: &Generation, bar: &Bar) -> Result<Position, Failure> {
    let mut seen = watcher.subscribe();
    loop {
        let now = seen.borrow_and_update().clone();
        if let (Some(state), Some(head)) = (now.find(of), &now.head) {
            if state.ready {
                return Ok(state.checkpoint.position);
            }
            if let Some(halt) = &state.halt {
                return Err(Failure::new(
                    REFUSED,
                    format!("{of} has come to a halt: {halt}"),
                    "mend what is wrong and flightdeck projections resume, or leave the event out with flightdeck projections skip",
                ));
            }
            let [at, head] = [state.checkpoint.position, head.position()].map(|at| at.get().unsigned_abs());
            bar.at(of.view.as_str(), at, head);
        } else if now.at.is_some() && !now.generations.is_empty() && now.find(of).is_none() {
            // Another rebuild has taken its place.
            return Err(Failure::new(REFUSED, format!("{of} was thrown away"), "see flightdeck projections"));
        }
        drop(tokio::time::timeout(Duration::from_millis(250), seen.changed()).await);
    }
}

enum Act {
    Pause,
    Resume,
    Skip,
}

async fn act(name: &str, act: Act, settings: &Settings, eyes: &Eyes) -> Result<(), Failure> {
    let view = ViewName::new(name).map_err(|error| Failure::usage(error.to_string()))?;
    is_there(settings).await?;
    let at = match stores::remote(settings).await? {
        Some(remote) => {
            let told = remote.administer(name, act.word()).await?;
            told["position"]
                .as_i64()
                .and_then(|at| Position::new(at).ok())
                .filter(|_| matches!(act, Act::Skip))
        }
        None => do_it(&act, &view, settings).await?,
    };
    let what = match act {
        Act::Pause => "waits",
        Act::Resume => "goes on",
        Act::Skip => "leaves out the event at position",
    };
    let mut out = eyes.out();
    match eyes.json {
        true => {
            writeln!(out, "{}", json!({ "projection": view.as_str(), "position": at.map(Position::get) }))?
        }
        false => {
            let at = at.map_or_else(String::new, |at| format!(" {at}"));
            writeln!(out, "{view} {what}{at}")?;
        }
    }
    Ok(out.flush()?)
}

impl Act {
    const fn word(&self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::Resume => "resume",
            Self::Skip => "skip",
        }
    }
}

/// Does it, in a store that nobody else holds. Tells the position that is left out, if one is.
async fn do_it(act: &Act, view: &ViewName, settings: &Settings) -> Result<Option<Position>, Failure> {
    let writing = Writing::open(settings).await?;
    let (store, views) = writing.views();
    let admin = Admin::new(store, views);
    let by = actor();
    let done = match act {
        Act::Pause => admin.pause(view, &by).await.map(|()| None),
        Act::Resume => admin.resume(view, &by).await.map(|()| None),
        Act::Skip => admin.skip(view, &by).await.map(Some),
    };
    drop(admin);
    writing.close().await;
    Ok(done?)
}

/// Who does it: the user of the machine, for all that anybody here knows.
pub(crate) fn actor() -> String {
    let user = std::env::var("USER").ok().filter(|user| user.bytes().all(|byte| byte.is_ascii_graphic()));
    format!("operator:{}", user.filter(|user| !user.is_empty()).as_deref().unwrap_or("unknown"))
}

impl From<ViewError> for Failure {
    fn from(error: ViewError) -> Self {
        let next = match error {
            ViewError::Store(error) => return error.into(),
            ViewError::Unknown(_) => "see flightdeck projections for what there is",
            ViewError::NotReady(_) => "wait until it is built; flightdeck projections tells how far it is",
            ViewError::Changed { .. } => "use a flightdeck as it is released",
            ViewError::NotOurs { .. } => "run it as that role, or make this one a member of it",
            ViewError::TableTaken { .. } => "rename or drop that table: the view's own has to be called so",
            _ => "try again; see flightdeck projections",
        };
        Self::of(REFUSED, &error, next)
    }
}

impl From<AdminError> for Failure {
    fn from(error: AdminError) -> Self {
        match error {
            AdminError::View(error) => error.into(),
            AdminError::Audit(error) => error.into(),
            AdminError::NotHalted(_) => {
                Self::of(REFUSED, &error, "see flightdeck projections for what stands before which event")
            }
            AdminError::NotYet(_) => Self::of(UNREACHABLE, &error, "give the same command again"),
            AdminError::Paused(_) => Self::of(REFUSED, &error, "flightdeck projections resume NAME"),
            AdminError::Reactor(_) | AdminError::Actor(_) | AdminError::DoneBefore(_) => {
                Self::of(REFUSED, &error, "nothing was changed")
            }
        }
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::View(error) => error.into(),
            other => Self::of(UNREACHABLE, &other, "use a flightdeck as it is released"),
        }
    }
}

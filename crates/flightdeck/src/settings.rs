//! The settings, in layers: what is built in, the file, the environment, the command line; each knows where it came from.

use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use serde::Deserialize;

use crate::exit::Failure;
use crate::target::{Target, without_secrets};

/// The file that is read when none is named.
const FILE: &str = "flightdeck.toml";
/// Where the server listens when nobody says.
const LISTEN: &str = "127.0.0.1:4600";

/// What every command takes.
#[derive(Args, Debug, Default)]
pub(crate) struct Given {
    /// Where the store is: sqlite:PATH or postgres://…  (FLIGHTDECK_STORE)
    #[arg(long, global = true, value_name = "URL")]
    store: Option<String>,
    /// Where the server listens: ADDRESS:PORT; port 0 is any that is free  (FLIGHTDECK_LISTEN)
    #[arg(long, global = true, value_name = "ADDRESS")]
    listen: Option<String>,
    /// Let everyone who reaches the server do everything, also from other machines  (FLIGHTDECK_INSECURE_OPEN)
    #[arg(long, global = true)]
    insecure_open: bool,
    /// Record visitors only once they have accepted  (FLIGHTDECK_ASK_CONSENT)
    #[arg(long, global = true)]
    ask_consent: bool,
    /// PostgreSQL: where to listen for notifications, if not at the store's own URL  (FLIGHTDECK_NOTIFY_URL)
    #[arg(long, global = true, value_name = "URL")]
    notify_url: Option<String>,
    /// Take a store on a network file system, whose locks may not hold  (FLIGHTDECK_ALLOW_NETWORK_FILE_SYSTEM)
    #[arg(long, global = true)]
    allow_network_file_system: bool,
    /// Take a server that may lose what it acknowledges  (FLIGHTDECK_ALLOW_UNSAFE_DURABILITY)
    #[arg(long, global = true)]
    allow_unsafe_durability: bool,
    /// How much to say on standard error, and how: error, warn, info, debug, trace, json, or one of each: info,json  (FLIGHTDECK_LOG)
    #[arg(long, global = true, value_name = "LOG")]
    log: Option<String>,
    /// The file with settings  (FLIGHTDECK_CONFIG)
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Answer in JSON, one object a line; the default where standard output is no terminal
    #[arg(long, global = true, conflicts_with = "text")]
    pub(crate) json: bool,
    /// Answer for eyes, also where standard output is no terminal
    #[arg(long, global = true)]
    pub(crate) text: bool,
}

/// What the file may hold.
#[derive(Deserialize, Debug, Default)]
#[serde(deny_unknown_fields)]
struct File {
    store: Option<String>,
    listen: Option<String>,
    insecure_open: Option<bool>,
    ask_consent: Option<bool>,
    notify_url: Option<String>,
    allow_network_file_system: Option<bool>,
    allow_unsafe_durability: Option<bool>,
    log: Option<String>,
}

/// A setting, and where it came from.
#[derive(Debug, Clone)]
pub(crate) struct Setting<T> {
    pub(crate) value: T,
    pub(crate) source: String,
}

/// How much is said on standard error, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Log {
    pub(crate) level: tracing::Level,
    /// For machines: an object of JSON a line.
    pub(crate) json: bool,
}

impl Default for Log {
    fn default() -> Self {
        Self { level: tracing::Level::WARN, json: false }
    }
}

impl FromStr for Log {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut log = Self::default();
        for part in text.split(',').map(str::trim) {
            match (part, part.parse()) {
                ("json", _) => log.json = true,
                (_, Ok(level)) => log.level = level,
                (_, Err(_)) => {
                    return Err("is none of error, warn, info, debug, trace, json, or one of each".to_owned());
                }
            }
        }
        Ok(log)
    }
}

impl Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.level.as_str().to_lowercase())?;
        f.write_str(if self.json { ",json" } else { "" })
    }
}

/// Everything that is set.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) store: Setting<Target>,
    pub(crate) listen: Setting<SocketAddr>,
    pub(crate) insecure_open: Setting<bool>,
    pub(crate) ask_consent: Setting<bool>,
    pub(crate) notify_url: Setting<Option<String>>,
    pub(crate) allow_network_file_system: Setting<bool>,
    pub(crate) allow_unsafe_durability: Setting<bool>,
    pub(crate) log: Setting<Log>,
}

/// A value as text, from the first layer that has it.
struct Found {
    text: String,
    source: String,
}

impl Found {
    fn parse<T: FromStr<Err: Display>>(self, name: &str) -> Result<Setting<T>, Failure> {
        match self.text.parse() {
            Ok(value) => Ok(Setting { value, source: self.source }),
            Err(error) => Err(Failure::setting(format!("{name} from the {}: {error}", self.source))),
        }
    }
}

impl Settings {
    /// Puts the layers together.
    pub(crate) fn read(given: &Given) -> Result<Self, Failure> {
        let mut names: Vec<&str> = Self::built_in()?.rows().iter().map(|(name, ..)| *name).collect();
        names.push("config");
        for name in names {
            if let Err(std::env::VarError::NotUnicode(_)) = std::env::var(variable(name)) {
                return Err(Failure::setting(format!("{} is not UTF-8", variable(name))));
            }
        }
        let environment = |name: &str| std::env::var(variable(name)).ok().filter(|text| !text.is_empty());
        let named = given.config.clone().or_else(|| environment("config").map(PathBuf::from));
        let (path, file) = match named {
            Some(path) => (path.clone(), read_file(&path)?),
            None if Path::new(FILE).exists() => (FILE.into(), read_file(Path::new(FILE))?),
            None => (FILE.into(), File::default()),
        };
        let find = |name: &str, flag: Option<String>, in_file: Option<String>, built_in: &str| {
            let layers = [
                (flag, "command line".to_owned()),
                (environment(name), format!("environment ({})", variable(name))),
                (in_file, format!("file ({})", path.display())),
                (Some(built_in.to_owned()), "default".to_owned()),
            ];
            let found = layers.into_iter().find_map(|(text, source)| Some(Found { text: text?, source }));
            found.unwrap_or_else(|| unreachable!("the last layer has everything"))
        };
        let truth = |name: &str, flag: bool, in_file: Option<bool>| {
            let flag = flag.then(|| "true".to_owned());
            find(name, flag, in_file.map(|value| value.to_string()), "false").parse(name)
        };
        let notify = find("notify_url", given.notify_url.clone(), file.notify_url, "");
        Ok(Self {
            store: find("store", given.store.clone(), file.store, Target::DEFAULT).parse("store")?,
            notify_url: Setting {
                value: Some(notify.text).filter(|text| !text.is_empty()),
                source: notify.source,
            },
            listen: find("listen", given.listen.clone(), file.listen, LISTEN).parse("listen")?,
            insecure_open: truth("insecure_open", given.insecure_open, file.insecure_open)?,
            ask_consent: truth("ask_consent", given.ask_consent, file.ask_consent)?,
            allow_network_file_system: truth(
                "allow_network_file_system",
                given.allow_network_file_system,
                file.allow_network_file_system,
            )?,
            allow_unsafe_durability: truth(
                "allow_unsafe_durability",
                given.allow_unsafe_durability,
                file.allow_unsafe_durability,
            )?,
            log: find("log", given.log.clone(), file.log, "warn").parse("log")?,
        })
    }

    /// What is set when nobody sets anything.
    pub(crate) fn built_in() -> Result<Self, Failure> {
        let value = Target::DEFAULT.parse().map_err(Failure::setting)?;
        let source = || "default".to_owned();
        Ok(Self {
            store: Setting { value, source: source() },
            listen: Setting {
                value: LISTEN.parse().map_err(|_| Failure::setting(LISTEN.to_owned()))?,
                source: source(),
            },
            insecure_open: Setting { value: false, source: source() },
            ask_consent: Setting { value: false, source: source() },
            notify_url: Setting { value: None, source: source() },
            allow_network_file_system: Setting { value: false, source: source() },
            allow_unsafe_durability: Setting { value: false, source: source() },
            log: Setting { value: Log::default(), source: source() },
        })
    }

    /// Every setting as text, with its source; secrets hidden.
    pub(crate) fn rows(&self) -> Vec<(&'static str, String, &str)> {
        let url = self.notify_url.value.as_deref().map(without_secrets).unwrap_or_default();
        let truth = |setting: &Setting<bool>| setting.value.to_string();
        vec![
            ("store", self.store.value.url(), &self.store.source),
            ("listen", self.listen.value.to_string(), &self.listen.source),
            ("insecure_open", truth(&self.insecure_open), &self.insecure_open.source),
            ("ask_consent", truth(&self.ask_consent), &self.ask_consent.source),
            ("notify_url", url, &self.notify_url.source),
            (
                "allow_network_file_system",
                truth(&self.allow_network_file_system),
                &self.allow_network_file_system.source,
            ),
            (
                "allow_unsafe_durability",
                truth(&self.allow_unsafe_durability),
                &self.allow_unsafe_durability.source,
            ),
            ("log", self.log.value.to_string(), &self.log.source),
        ]
    }

    /// The same settings for another store.
    pub(crate) fn of(&self, store: Target) -> Self {
        let store = Setting { value: store, source: self.store.source.clone() };
        Self { store, ..self.clone() }
    }
}

fn variable(name: &str) -> String {
    format!("FLIGHTDECK_{}", name.to_uppercase())
}

fn read_file(path: &Path) -> Result<File, Failure> {
    let wrong = |error: &dyn Display| Failure::setting(format!("the file {}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    toml::from_str(&text).map_err(|error| wrong(&error))
}

//! The settings, in layers: what is built in, the file, the environment, the command line; each knows where it came from.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt::{self, Display};
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::str::FromStr;

use clap::Args;
use flightdeck_server::access::jwt::Signed;
use flightdeck_server::caps::{Cap, Caps};
use flightdeck_server::host::IpNet;
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
    /// By what it is known who asks: open (not at all), token, jwt  (FLIGHTDECK_AUTH)
    #[arg(long, global = true, value_name = "MODE")]
    auth: Option<String>,
    /// The keys of whoever makes JWTs: a PEM, a JWK set, or a secret  (FLIGHTDECK_JWT_KEYS)
    #[arg(long, global = true, value_name = "FILE")]
    jwt_keys: Option<String>,
    /// How JWTs are signed: RS256, ES256, HS256  (FLIGHTDECK_JWT_ALGORITHM)
    #[arg(long, global = true, value_name = "ALGORITHM")]
    jwt_algorithm: Option<String>,
    /// Who makes JWTs: their `iss`  (FLIGHTDECK_JWT_ISSUER)
    #[arg(long, global = true, value_name = "ISSUER")]
    jwt_issuer: Option<String>,
    /// For whom JWTs are made: one of their `aud`  (FLIGHTDECK_JWT_AUDIENCE)
    #[arg(long, global = true, value_name = "AUDIENCE")]
    jwt_audience: Option<String>,
    /// The certificate, and those above it, with which the server speaks TLS: a PEM  (FLIGHTDECK_TLS_CERT)
    #[arg(long, global = true, value_name = "FILE")]
    tls_cert: Option<String>,
    /// The key of that certificate: a PEM  (FLIGHTDECK_TLS_KEY)
    #[arg(long, global = true, value_name = "FILE")]
    tls_key: Option<String>,
    /// The sites, beside its own, whose pages may ask, each with its scheme, with commas between them  (FLIGHTDECK_ORIGINS)
    #[arg(long, global = true, value_name = "ORIGINS")]
    origins: Option<String>,
    /// The proxies that are believed when they say who calls: addresses and networks, with commas between them  (FLIGHTDECK_TRUSTED_PROXIES)
    #[arg(long, global = true, value_name = "NETWORKS")]
    trusted_proxies: Option<String>,
    /// Where traces go: the URL of an OpenTelemetry collector  (FLIGHTDECK_TRACES)
    #[arg(long, global = true, value_name = "URL")]
    traces: Option<String>,
    /// Limits, such as body_bytes=65536, with commas between them; `flightdeck config` has them all  (FLIGHTDECK_LIMITS)
    #[arg(long, global = true, value_name = "NAME=NUMBER", value_delimiter = ',')]
    limits: Vec<String>,
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
    auth: Option<String>,
    jwt_keys: Option<String>,
    jwt_algorithm: Option<String>,
    jwt_issuer: Option<String>,
    jwt_audience: Option<String>,
    tls_cert: Option<String>,
    tls_key: Option<String>,
    origins: Option<String>,
    trusted_proxies: Option<String>,
    traces: Option<String>,
    #[serde(default)]
    limits: BTreeMap<String, usize>,
    insecure_open: Option<bool>,
    ask_consent: Option<bool>,
    notify_url: Option<String>,
    allow_network_file_system: Option<bool>,
    allow_unsafe_durability: Option<bool>,
    log: Option<String>,
}

/// By what it is known who asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum Auth {
    /// Not at all: everyone may everything.
    #[default]
    Open,
    /// Tokens of our own.
    Token,
    /// These, and JWTs of an issuer that is trusted.
    Jwt,
}

impl FromStr for Auth {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "open" => Ok(Self::Open),
            "token" => Ok(Self::Token),
            "jwt" => Ok(Self::Jwt),
            _ => Err("is none of open, token, jwt"),
        }
    }
}

impl Display for Auth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Open => "open",
            Self::Token => "token",
            Self::Jwt => "jwt",
        })
    }
}

/// How JWTs are signed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Algorithm(pub(crate) Signed);

impl FromStr for Algorithm {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        match text {
            "RS256" => Ok(Self(Signed::Rs256)),
            "ES256" => Ok(Self(Signed::Es256)),
            "HS256" => Ok(Self(Signed::Hs256)),
            _ => Err("is none of RS256, ES256, HS256"),
        }
    }
}

impl Display for Algorithm {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self.0 {
            Signed::Rs256 => "RS256",
            Signed::Es256 => "ES256",
            Signed::Hs256 => "HS256",
        })
    }
}

/// A list with commas between its items.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct List<T>(pub(crate) Vec<T>);

impl<T> Default for List<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: FromStr<Err: Display>> FromStr for List<T> {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim).filter(|item| !item.is_empty());
        let read = |item: &str| item.parse().map_err(|error| format!("{item:?} {error}"));
        items.map(read).collect::<Result<_, _>>().map(Self)
    }
}

impl<T: Display> Display for List<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.iter().map(ToString::to_string).collect::<Vec<_>>().join(","))
    }
}

/// A site: what a browser says in `Origin`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin(pub(crate) String);

impl FromStr for Origin {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let rest = ["https://", "http://"].iter().find_map(|scheme| text.strip_prefix(scheme));
        let is_host = |rest: &str| {
            !rest.is_empty()
                && rest.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-:[]".contains(&byte))
        };
        match rest.is_some_and(is_host) {
            true => Ok(Self(text.to_ascii_lowercase())),
            false => {
                Err("is no site such as https://shop.example: nothing stands behind its name but a port")
            }
        }
    }
}

impl Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A network of addresses; an address alone is one as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Network(pub(crate) IpNet);

impl FromStr for Network {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let one = || text.parse::<std::net::IpAddr>().ok().map(IpNet::from);
        text.parse().ok().or_else(one).map(Self).ok_or("is no address and no network such as 10.0.0.0/8")
    }
}

impl Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
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
    pub(crate) auth: Setting<Auth>,
    pub(crate) jwt_keys: Setting<Option<PathBuf>>,
    pub(crate) jwt_algorithm: Setting<Algorithm>,
    pub(crate) jwt_issuer: Setting<Option<String>>,
    pub(crate) jwt_audience: Setting<Option<String>>,
    pub(crate) tls_cert: Setting<Option<PathBuf>>,
    pub(crate) tls_key: Setting<Option<PathBuf>>,
    pub(crate) origins: Setting<List<Origin>>,
    pub(crate) trusted_proxies: Setting<List<Network>>,
    pub(crate) traces: Setting<Option<String>>,
    /// All of them.
    pub(crate) limits: Vec<(Cap, Setting<usize>)>,
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
    /// What can't be read is not taken for what is not there.
    fn check_environment() -> Result<(), Failure> {
        let built_in = Self::built_in()?;
        let rows = built_in.rows();
        let names = rows.iter().map(|(name, ..)| name.as_ref()).filter(|name| !name.starts_with("limits."));
        for name in names.chain(["config", "limits"]) {
            if let Err(std::env::VarError::NotUnicode(_)) = std::env::var(variable(name)) {
                return Err(Failure::setting(format!("{} is not UTF-8", variable(name))));
            }
        }
        Ok(())
    }

    /// Puts the layers together.
    pub(crate) fn read(given: &Given) -> Result<Self, Failure> {
        Self::check_environment()?;
        let environment = |name: &str| std::env::var(variable(name)).ok().filter(|text| !text.is_empty());
        let named = given.config.clone().or_else(|| environment("config").map(PathBuf::from));
        let (path, file) = match named {
            Some(path) => (path.clone(), read_file(&path)?),
            None if Path::new(FILE).exists() => (FILE.into(), read_file(Path::new(FILE))?),
            None => (FILE.into(), File::default()),
        };
        let path_of_file = path.display().to_string();
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
        let text = |name: &str, flag: Option<&String>, in_file: Option<String>| {
            let Found { text, source } = find(name, flag.cloned(), in_file, "");
            Setting { value: Some(text).filter(|text| !text.is_empty()), source }
        };
        let path = |name: &str, flag: Option<&String>, in_file: Option<String>| {
            let Setting { value, source } = text(name, flag, in_file);
            Setting { value: value.map(PathBuf::from), source }
        };
        Ok(Self {
            store: find("store", given.store.clone(), file.store, Target::DEFAULT).parse("store")?,
            auth: find("auth", given.auth.clone(), file.auth, "open").parse("auth")?,
            jwt_keys: path("jwt_keys", given.jwt_keys.as_ref(), file.jwt_keys),
            jwt_algorithm: find("jwt_algorithm", given.jwt_algorithm.clone(), file.jwt_algorithm, "RS256")
                .parse("jwt_algorithm")?,
            jwt_issuer: text("jwt_issuer", given.jwt_issuer.as_ref(), file.jwt_issuer),
            jwt_audience: text("jwt_audience", given.jwt_audience.as_ref(), file.jwt_audience),
            tls_cert: path("tls_cert", given.tls_cert.as_ref(), file.tls_cert),
            tls_key: path("tls_key", given.tls_key.as_ref(), file.tls_key),
            origins: find("origins", given.origins.clone(), file.origins, "").parse("origins")?,
            trusted_proxies: find("trusted_proxies", given.trusted_proxies.clone(), file.trusted_proxies, "")
                .parse("trusted_proxies")?,
            traces: text("traces", given.traces.as_ref(), file.traces),
            limits: limits(given, environment("limits"), &file.limits, &path_of_file)?,
            notify_url: text("notify_url", given.notify_url.as_ref(), file.notify_url),
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
            auth: Setting { value: Auth::Open, source: source() },
            jwt_keys: Setting { value: None, source: source() },
            jwt_algorithm: Setting { value: Algorithm(Signed::Rs256), source: source() },
            jwt_issuer: Setting { value: None, source: source() },
            jwt_audience: Setting { value: None, source: source() },
            tls_cert: Setting { value: None, source: source() },
            tls_key: Setting { value: None, source: source() },
            origins: Setting { value: List::default(), source: source() },
            trusted_proxies: Setting { value: List::default(), source: source() },
            traces: Setting { value: None, source: source() },
            limits: built_in_limits(),
            insecure_open: Setting { value: false, source: source() },
            ask_consent: Setting { value: false, source: source() },
            notify_url: Setting { value: None, source: source() },
            allow_network_file_system: Setting { value: false, source: source() },
            allow_unsafe_durability: Setting { value: false, source: source() },
            log: Setting { value: Log::default(), source: source() },
        })
    }

    /// Every setting as text, with its source; secrets hidden.
    pub(crate) fn rows(&self) -> Vec<(Cow<'static, str>, String, &str)> {
        let url = |setting: &Setting<Option<String>>| {
            setting.value.as_deref().map(without_secrets).unwrap_or_default()
        };
        let truth = |setting: &Setting<bool>| setting.value.to_string();
        let text = |setting: &Setting<Option<String>>| setting.value.clone().unwrap_or_default();
        let path = |setting: &Setting<Option<PathBuf>>| {
            setting.value.as_ref().map(|path| path.display().to_string()).unwrap_or_default()
        };
        let settings = [
            ("store", self.store.value.url(), &self.store.source),
            ("listen", self.listen.value.to_string(), &self.listen.source),
            ("auth", self.auth.value.to_string(), &self.auth.source),
            ("jwt_keys", path(&self.jwt_keys), &self.jwt_keys.source),
            ("jwt_algorithm", self.jwt_algorithm.value.to_string(), &self.jwt_algorithm.source),
            ("jwt_issuer", text(&self.jwt_issuer), &self.jwt_issuer.source),
            ("jwt_audience", text(&self.jwt_audience), &self.jwt_audience.source),
            ("tls_cert", path(&self.tls_cert), &self.tls_cert.source),
            ("tls_key", path(&self.tls_key), &self.tls_key.source),
            ("origins", self.origins.value.to_string(), &self.origins.source),
            ("trusted_proxies", self.trusted_proxies.value.to_string(), &self.trusted_proxies.source),
            ("traces", url(&self.traces), &self.traces.source),
            ("insecure_open", truth(&self.insecure_open), &self.insecure_open.source),
            ("ask_consent", truth(&self.ask_consent), &self.ask_consent.source),
            ("notify_url", url(&self.notify_url), &self.notify_url.source),
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
        ];
        let settings = settings.map(|(name, value, source)| (Cow::from(name), value, source.as_str()));
        let limits = self.limits.iter().map(|(cap, setting)| {
            let name = format!("limits.{}", cap.as_str());
            (Cow::from(name), setting.value.to_string(), setting.source.as_str())
        });
        settings.into_iter().chain(limits).collect()
    }

    /// The same settings for another store.
    pub(crate) fn of(&self, store: Target) -> Self {
        let store = Setting { value: store, source: self.store.source.clone() };
        Self { store, ..self.clone() }
    }
}

fn built_in_limits() -> Vec<(Cap, Setting<usize>)> {
    let built_in = |cap: &Cap| (*cap, Setting { value: cap.default(), source: "default".to_owned() });
    Cap::ALL.iter().map(built_in).collect()
}

/// The limits, layer upon layer: each by itself.
fn limits(
    given: &Given,
    environment: Option<String>,
    file: &BTreeMap<String, usize>,
    path: &str,
) -> Result<Vec<(Cap, Setting<usize>)>, Failure> {
    let of_file = file.iter().map(|(name, value)| (format!("{name}={value}"), format!("file ({path})")));
    let environment = environment.unwrap_or_default();
    let of_environment = environment.split(',').map(str::trim).filter(|item| !item.is_empty());
    let of_environment =
        of_environment.map(|item| (item.to_owned(), format!("environment ({})", variable("limits"))));
    let of_line = given.limits.iter().map(|item| (item.clone(), "command line".to_owned()));
    let mut limits = built_in_limits();
    for (item, source) in of_file.chain(of_environment).chain(of_line) {
        let wrong = |error: &dyn Display| Failure::setting(format!("limits from the {source}: {error}"));
        let (name, value) =
            item.split_once('=').ok_or_else(|| wrong(&format!("{item:?} is not NAME=NUMBER")))?;
        let (cap, value) = Caps::read(name.trim(), value.trim()).map_err(|error| wrong(&error))?;
        if let Some((_, setting)) = limits.iter_mut().find(|(known, _)| *known == cap) {
            *setting = Setting { value, source };
        }
    }
    Ok(limits)
}

fn variable(name: &str) -> String {
    format!("FLIGHTDECK_{}", name.to_uppercase())
}

fn read_file(path: &Path) -> Result<File, Failure> {
    let wrong = |error: &dyn Display| Failure::setting(format!("the file {}: {error}", path.display()));
    let text = std::fs::read_to_string(path).map_err(|error| wrong(&error))?;
    toml::from_str(&text).map_err(|error| wrong(&error))
}

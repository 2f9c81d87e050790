//! Which store is meant: `sqlite:PATH` or `postgres://…`.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// A store's URL, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A file.
    Sqlite(PathBuf),
    /// A database, by its whole URL.
    Postgres(String),
}

impl Target {
    /// What is meant when nothing is said.
    pub(crate) const DEFAULT: &'static str = "sqlite:./data/flightdeck.db";
}

impl Target {
    /// Its URL, as it can be shown to anyone.
    pub(crate) fn url(&self) -> String {
        match self {
            Self::Sqlite(path) => format!("sqlite:{}", path.display()),
            Self::Postgres(url) => without_secrets(url),
        }
    }
}

/// A database's URL without what nobody else may know: a password, wherever it stands.
pub(crate) fn without_secrets(url: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("postgres", url));
    let (place, parameters) = rest.split_once('?').unwrap_or((rest, ""));
    if !place.contains('@') && parameters.contains('@') {
        // Perhaps a password with a `?` in it: then nothing is certain.
        return format!("{scheme}://…");
    }
    let place = place.rsplit_once('@').map_or(place, |(_secret, place)| place);
    let schema = parameters.split('&').find(|part| part.starts_with("schema="));
    match schema {
        Some(schema) => format!("{scheme}://{place}?{schema}"),
        None => format!("{scheme}://{place}"),
    }
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        match (url.strip_prefix("sqlite:"), url.split_once("://")) {
            (Some(""), _) => Err("names no file; write sqlite:PATH".to_owned()),
            (Some(path), _) => Ok(Self::Sqlite(path.strip_prefix("//").unwrap_or(path).into())),
            (None, Some(("postgres" | "postgresql", _))) => Ok(Self::Postgres(url.to_owned())),
            _ => {
                Err(format!("is not the URL of a store; write {} or postgres://HOST/DATABASE", Self::DEFAULT))
            }
        }
    }
}

/// As it can be shown to anyone: a password is left out.
impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sqlite(path) => path.display().fmt(f),
            Self::Postgres(url) => f.write_str(&without_secrets(url)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_store_is_named_by_its_kind_and_its_place() {
        let shown = |url: &str| match url.parse::<Target>() {
            Ok(target) => target.to_string(),
            Err(error) => error,
        };
        assert_eq!(shown("sqlite:./here.db"), "./here.db");
        assert_eq!(shown("sqlite:/var/lib/here.db"), "/var/lib/here.db");
        assert_eq!(shown("sqlite:///var/lib/here.db"), "/var/lib/here.db");
        assert_eq!(shown(Target::DEFAULT), "./data/flightdeck.db");
        assert_eq!(shown("postgres://localhost/x"), "postgres://localhost/x");
        for bad in ["", "sqlite:", "here.db", "mysql://x"] {
            assert!(bad.parse::<Target>().is_err(), "{bad:?} was taken");
        }
    }

    #[test]
    fn a_password_is_never_shown() {
        for url in [
            "postgres://me:canary@db/x?a=1",
            "postgresql://db/x?user=me&password=canary",
            "postgres://me:c@nary:canary@db/x",
        ] {
            let shown = url.parse::<Target>().unwrap().to_string();
            assert!(!shown.contains("canary") && shown.ends_with("://db/x"), "{shown}");
        }
        let odd = "postgres://me:can?ary@db/x".parse::<Target>().unwrap().to_string();
        assert_eq!(odd, "postgres://…");
    }
}

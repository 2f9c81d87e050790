//! Which store is meant: `sqlite:PATH`.

use std::path::PathBuf;
use std::str::FromStr;

/// A store's URL, understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Target {
    /// A file.
    Sqlite(PathBuf),
}

impl Target {
    /// What is meant when nothing is said.
    pub(crate) const DEFAULT: &'static str = "sqlite:./data/flightdeck.db";
}

impl FromStr for Target {
    type Err = String;

    fn from_str(url: &str) -> Result<Self, String> {
        match url.strip_prefix("sqlite:") {
            Some("") => Err("names no file; write sqlite:PATH".to_owned()),
            Some(path) => Ok(Self::Sqlite(path.strip_prefix("//").unwrap_or(path).into())),
            None => Err(format!("is not the URL of a store; write {}", Self::DEFAULT)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Target;

    #[test]
    fn a_store_is_named_by_its_kind_and_its_path() {
        let path = |url: &str| match url.parse() {
            Ok(Target::Sqlite(path)) => path.display().to_string(),
            Err(error) => error,
        };
        assert_eq!(path("sqlite:./here.db"), "./here.db");
        assert_eq!(path("sqlite:/var/lib/here.db"), "/var/lib/here.db");
        assert_eq!(path("sqlite:///var/lib/here.db"), "/var/lib/here.db");
        assert_eq!(path(Target::DEFAULT), "./data/flightdeck.db");
        for bad in ["", "sqlite:", "here.db", "mysql://x"] {
            assert!(bad.parse::<Target>().is_err(), "{bad:?} was taken");
        }
    }
}

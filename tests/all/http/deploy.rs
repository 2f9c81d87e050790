//! The examples of how the server is run by others: a unit of systemd and a container file start a server as they say.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use super::Site;
use crate::doors::flightdeck;
use crate::victim::block_on;

fn example(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../crates/flightdeck/deploy").join(name);
    std::fs::read_to_string(path).unwrap()
}

/// A server with such settings, but for where its store lies and which port it takes.
fn starts(settings: &BTreeMap<String, String>, folder: &str) {
    let place = tempfile::tempdir().unwrap();
    let store = settings["FLIGHTDECK_STORE"].replace(folder, place.path().to_str().unwrap());
    assert_ne!(store, settings["FLIGHTDECK_STORE"]);
    let mut command = Command::new(flightdeck());
    command.args(["serve"]).env_clear().envs(settings).current_dir(place.path());
    let (address, _) = settings["FLIGHTDECK_LISTEN"].rsplit_once(':').unwrap();
    command.env("FLIGHTDECK_STORE", &store).env("FLIGHTDECK_LISTEN", format!("{address}:0"));
    let mut site = Site::of(command, &store, tempfile::tempdir().unwrap());
    site.url = site.url.replace("0.0.0.0", "127.0.0.1");
    block_on(async {
        site.get("/health/ready").await.is(200);
        // Nobody may anything who shows nothing.
        site.get("/api/events").await.problem(401, "unauthenticated");
    });
    // And the first token is made as it says.
    let made = Command::new(flightdeck())
        .args(["token", "create", "first", "--scope", "admin", "--json"])
        .env_clear()
        .env("FLIGHTDECK_STORE", &store)
        .output()
        .unwrap();
    assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr));
    let (code, said) = site.stop();
    assert_eq!(code, Some(0), "{said}");
}

#[test]
fn the_unit_of_systemd_starts_a_server() {
    let unit = example("flightdeck.service");
    let settings = unit.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='));
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert!(unit.lines().any(|line| line == "ExecStart=/usr/local/bin/flightdeck serve"));
    starts(&settings, "/var/lib/flightdeck");
    // What systemd itself says of it, where it is there. The binary lies elsewhere in a test.
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("flightdeck.service");
    let binary = flightdeck();
    std::fs::write(
        &path,
        unit.replace("/usr/local/bin/flightdeck", &Path::new(&binary).display().to_string()),
    )
    .unwrap();
    if let Ok(checked) = Command::new("systemd-analyze").arg("verify").arg(&path).output() {
        let said = String::from_utf8_lossy(&checked.stderr).into_owned();
        let of_it: Vec<&str> = said.lines().filter(|line| line.contains("flightdeck.service")).collect();
        assert!(of_it.is_empty(), "{of_it:?}");
    }
}

#[test]
fn the_container_starts_a_server() {
    let file = example("Containerfile");
    let settings = file.lines().filter_map(|line| line.strip_prefix("ENV ")?.split_once('='));
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    assert!(file.ends_with("ENTRYPOINT [\"flightdeck\"]\nCMD [\"serve\"]\n"));
    starts(&settings, "/data");
}

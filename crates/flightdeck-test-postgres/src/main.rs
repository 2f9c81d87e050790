//! A throw-away PostgreSQL server for whoever is not a test: prints its URL, and ends when stdin does.

use std::io::{self, Write as _};
use std::path::PathBuf;
use std::process::ExitCode;

use flightdeck_test_postgres::{Cluster, Settings, StartError, programs};

/// How this ends where PostgreSQL is not installed: whoever started it may want to install it.
const NO_PROGRAMS: u8 = 69;

fn main() -> ExitCode {
    let cluster = match Cluster::start(&Settings::default()) {
        Ok(cluster) => cluster,
        Err(error @ StartError::NoPrograms) => {
            fail(&error.to_string());
            return ExitCode::from(NO_PROGRAMS);
        }
        Err(error) => return fail(&format!("the server did not start: {error}")),
    };
    let url = cluster.url();
    // One line and nothing else: whoever starts us reads it to know where the server is, and that it is ready.
    let mut out = io::stdout();
    if let Err(error) = writeln!(out, "{url}").and_then(|()| out.flush()) {
        return fail(&format!("could not print the server's url: {error}"));
    }
    let psql = programs().map_or_else(|| PathBuf::from("psql"), |folder| folder.join("psql"));
    eprintln!("reach it with: {} {url}", psql.display());
    eprintln!("its log: {}", cluster.folder().join("server.log").display());
    eprintln!("it ends, and all that it stores goes, when stdin closes (Ctrl-D) or on Ctrl-C");
    // However stdin ends, an error included, nobody is left to want the server.
    let _ = io::copy(&mut io::stdin().lock(), &mut io::sink());
    drop(cluster);
    ExitCode::SUCCESS
}

fn fail(why: &str) -> ExitCode {
    eprintln!("flightdeck-test-postgres: {why}");
    ExitCode::FAILURE
}

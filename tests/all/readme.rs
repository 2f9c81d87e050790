//! The README's commands do what it says they do.

use std::process::Command;

use crate::doors::flightdeck;

/// The database of the README.
const DATABASE: &str = "postgres://localhost/app";

/// Whether a line is as the README has it; each `…` stands for anything.
fn is_as_told(line: &str, told: &str) -> bool {
    match told.split_once('…') {
        Some((before, after)) => line.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| is_as_told(rest, after)))
        }),
        None => line == told,
    }
}

/// The words of a command, as a shell would have them; quotes are single.
fn words(command: &str) -> Vec<&str> {
    let parts = command.split('\'').enumerate();
    parts
        .flat_map(|(place, part)| if place % 2 == 1 { vec![part] } else { part.split_whitespace().collect() })
        .collect()
}

#[test]
fn the_console_of_the_readme_is_real() {
    let readme = include_str!("../../README.md");
    let folder = tempfile::tempdir().unwrap();
    let blocks = readme.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    // The database that the README speaks of is one of this test's own.
    let place = crate::postgres::Place::new();
    let (shown, schema) = (place.server.replace("flightdeck@", ""), place.schema.clone());
    let mut commands = 0;
    for block in blocks {
        for step in block.split("$ ").filter(|step| !step.is_empty()) {
            let (command, told) = step.split_once('\n').unwrap();
            let place = &place.url();
            let arguments = words(command.strip_prefix("flightdeck ").expect("the README shows the binary"));
            let arguments =
                arguments.into_iter().map(|argument| if argument == DATABASE { place } else { argument });
            let output =
                Command::new(flightdeck()).args(arguments).current_dir(folder.path()).output().unwrap();
            assert!(output.status.success(), "{command}: {}", String::from_utf8_lossy(&output.stderr));
            let text = String::from_utf8(output.stdout)
                .unwrap()
                .replace(&format!("{shown}?schema={schema}"), DATABASE);
            let same = text.lines().count() == told.lines().count()
                && text.lines().zip(told.lines()).all(|(line, told)| is_as_told(line, told));
            assert!(same, "{command} says\n{text}and the README says\n{told}");
            commands += 1;
        }
    }
    assert!(commands >= 4);
}

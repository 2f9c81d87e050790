//! The README's commands do what it says they do: its `console` blocks are run one after the other, in one folder.

use std::ffi::OsStr;
use std::process::{Child, Command, Stdio};

use crate::doors::flightdeck;
use crate::http::started;
use crate::postgres::Place;

/// The database of the README.
const DATABASE: &str = "postgres://localhost/app";
/// Where the server of the README is.
const ADDRESS: &str = "http://127.0.0.1:4600";

/// What is another in every run: ids, times, hashes, and of cursors the epoch, which ends before the `-9`. In these patterns `h` is a
/// hexadecimal digit, `9` a digit, `a` a small letter or a digit, and anything else itself.
const VARYING: [&str; 4] = [
    "hhhhhhhh-hhhh-hhhh-hhhh-hhhhhhhhhhhh",
    "9999-99-99T99:99:99.999999Z",
    "hhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhhh",
    "aaaaaaaaaaaa-9",
];

/// The pattern of what a text begins with, when that is another in every run. It is as long as that is.
fn varying(text: &str) -> Option<&'static str> {
    let fits = |byte: u8, like: u8| match like {
        b'h' => byte.is_ascii_digit() || (b'a'..=b'f').contains(&byte),
        b'9' => byte.is_ascii_digit(),
        b'a' => byte.is_ascii_digit() || byte.is_ascii_lowercase(),
        like => byte == like,
    };
    let begins = |pattern: &str| {
        text.len() >= pattern.len() && text.bytes().zip(pattern.bytes()).all(|(byte, like)| fits(byte, like))
    };
    let found = VARYING.into_iter().find(|pattern| begins(pattern));
    found.map(|pattern| pattern.trim_end_matches("-9"))
}

/// A line with patterns in the place of what is another in every run, and what that is here.
fn parted(line: &str) -> (String, Vec<&str>) {
    let (mut fixed, mut found) = (String::new(), Vec::new());
    let (mut rest, mut within_a_word) = (line, false);
    while let Some(letter) = rest.chars().next() {
        let pattern = if within_a_word { None } else { varying(rest) };
        let (taken, left) = rest.split_at(pattern.map_or(letter.len_utf8(), str::len));
        match pattern {
            Some(pattern) => {
                fixed.push_str(pattern);
                found.push(taken);
            }
            None => fixed.push(letter),
        }
        (rest, within_a_word) = (left, letter.is_ascii_alphanumeric());
    }
    (fixed, found)
}

/// Whether a line is as the README has it; each `…` stands for anything.
fn is_as_told(line: &str, told: &str) -> bool {
    match told.split_once('…') {
        Some((before, after)) => line.strip_prefix(before).is_some_and(|rest| {
            (0..=rest.len()).any(|at| rest.get(at..).is_some_and(|rest| is_as_told(rest, after)))
        }),
        None => line == told,
    }
}

/// What the README has, each with what this run has in its place.
#[derive(Default)]
struct Pairs(Vec<(String, String)>);

impl Pairs {
    /// A command of the README, as it is to be run here.
    fn put(&self, command: &str) -> String {
        self.0.iter().fold(command.to_owned(), |command, (told, ours)| command.replace(told, ours))
    }

    /// Whether a line is as the README has it. What is another in every run is paired when it is first seen; from then on the one stands
    /// for the other and for nothing else, in answers and in commands.
    fn is_told(&mut self, line: &str, told: &str) -> bool {
        if told.contains('…') {
            return is_as_told(line, told);
        }
        let ((line, ours), (told, theirs)) = (parted(line), parted(told));
        line == told && theirs.into_iter().zip(ours).all(|(told, ours)| self.pair(told, ours))
    }

    fn pair(&mut self, told: &str, ours: &str) -> bool {
        let known = self.0.iter().find(|(one, other)| one == told || other == ours);
        if let Some((one, other)) = known {
            return one == told && other == ours;
        }
        self.0.push((told.to_owned(), ours.to_owned()));
        true
    }
}

/// The commands of a block, each with the lines that the README has it say.
fn steps(block: &str) -> Vec<(String, Vec<&str>)> {
    let mut steps: Vec<(String, Vec<&str>)> = Vec::new();
    for line in block.lines() {
        if let Some(command) = line.strip_prefix("$ ") {
            steps.push((command.to_owned(), Vec::new()));
            continue;
        }
        let Some((command, told)) = steps.last_mut() else {
            panic!("a console block begins with a command, and not with {line:?}");
        };
        // A command may go on in the next line, as in a shell.
        let whole = command.strip_suffix('\\').map(|begun| format!("{begun}{}", line.trim_start()));
        match whole {
            Some(whole) => *command = whole,
            None => told.push(line),
        }
    }
    steps
}

/// The words of a command, as a shell would have them; quotes are single.
fn words(command: &str) -> Vec<&str> {
    let parts = command.split('\'').enumerate();
    parts
        .flat_map(|(place, part)| if place % 2 == 1 { vec![part] } else { part.split_whitespace().collect() })
        .collect()
}

/// A server that the README has started. It ends with this.
struct Server {
    process: Child,
    url: String,
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.process.kill());
        drop(self.process.wait());
    }
}

/// The README being run: in a folder and on a database of its own.
struct Reader {
    folder: tempfile::TempDir,
    place: Place,
    pairs: Pairs,
    server: Option<Server>,
}

impl Reader {
    fn new() -> Self {
        let place = Place::new();
        let pairs = Pairs(vec![(DATABASE.to_owned(), place.url())]);
        Self { folder: tempfile::tempdir().unwrap(), place, pairs, server: None }
    }

    /// Runs a command, and says what it said, with the README's names for its server and its database.
    fn run(&mut self, command: &str) -> String {
        let command = self.pairs.put(command);
        let said = match words(&command).as_slice() {
            ["cargo", "run"] | ["flightdeck"] => self.serve(&[]),
            ["flightdeck", "serve", arguments @ ..] => self.serve(arguments),
            ["flightdeck", arguments @ ..] => said(self.command(flightdeck()).args(arguments)),
            // Its settings are those of whoever runs the tests, and so is a proxy.
            ["curl", arguments @ ..] => {
                let mut curl = self.command("curl");
                said(curl.args(["-q", "--noproxy", "*", "--max-time", "60"]).args(arguments))
            }
            _ => panic!("the README shows a command that this test does not know: {command}"),
        };
        let shown = format!("{}?schema={}", self.place.server.replace("flightdeck@", ""), self.place.schema);
        let said = said.replace(&shown, DATABASE);
        match &self.server {
            Some(server) => said.replace(&server.url, ADDRESS),
            None => said,
        }
    }

    /// A program in the folder, as if nobody had set anything.
    fn command(&self, program: impl AsRef<OsStr>) -> Command {
        let mut command = Command::new(program);
        for (name, _) in std::env::vars_os() {
            if name.to_string_lossy().starts_with("FLIGHTDECK_") {
                command.env_remove(name);
            }
        }
        command.current_dir(self.folder.path()).stdin(Stdio::null());
        command
    }

    /// Starts a server in the place of the one before; on any port, for the README's may be taken.
    fn serve(&mut self, arguments: &[&str]) -> String {
        self.server = None;
        let mut command = self.command(flightdeck());
        let (process, url) = started(command.args(["serve", "--listen", "127.0.0.1:0"]).args(arguments));
        self.pairs.0.retain(|(told, _)| told != ADDRESS);
        self.pairs.0.push((ADDRESS.to_owned(), url.clone()));
        let said = format!("flightdeck ready on {url}\n");
        self.server = Some(Server { process, url });
        said
    }
}

/// What a command said that has succeeded.
fn said(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?} can't be run: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn the_console_of_the_readme_is_real() {
    let readme = include_str!("../../README.md");
    let blocks = readme.split("```console\n").skip(1).filter_map(|rest| rest.split("```").next());
    let mut reader = Reader::new();
    let (mut commands, mut asked) = (0, 0);
    for (command, told) in blocks.flat_map(steps) {
        let said = reader.run(&command);
        let lines: Vec<&str> = said.lines().collect();
        let same = lines.len() == told.len()
            && lines.iter().zip(&told).all(|(line, told)| reader.pairs.is_told(line, told));
        assert!(same, "{command} says\n{said}\nand the README says\n{}", told.join("\n"));
        commands += 1;
        asked += usize::from(command.starts_with("curl "));
    }
    assert!(commands >= 20 && asked >= 6, "{commands} commands, {asked} of them to the server");
}

/// An answer with everything that varies.
fn answer(id: &str, epoch: &str, hash: char, second: u8) -> String {
    let hash = String::from(hash).repeat(64);
    let at = format!("2026-11-21T09:30:0{second}.123456Z");
    format!(r#"{{"cursor":"{epoch}-7","id":"{id}","streamId":"content-{id}","at":"{at}","hash":"{hash}"}}"#)
}

#[test]
fn what_varies_is_paired_and_any_other_word_is_as_it_is_told() {
    let [one, other] = ["0192f3a4-7b1c-7def-8123-456789abcdef", "0199aaaa-7b1c-7def-8123-000000000001"];
    let told = answer(one, "k3v9x0q2m7ab", '0', 1);
    let ours = answer(other, "abcdefghijkl", 'f', 2);
    let mut pairs = Pairs::default();
    assert!(pairs.is_told(&ours, &told));
    let command = format!("curl '{ADDRESS}/{one}?after=k3v9x0q2m7ab-7'");
    assert_eq!(pairs.put(&command), format!("curl '{ADDRESS}/{other}?after=abcdefghijkl-7'"));
    // The same again is the same pair, and no other.
    assert!(pairs.is_told(other, one));
    assert!(!pairs.is_told(one, one));
    assert!(!pairs.is_told(other, "0192f3a4-7b1c-7def-8123-456789abcdee"));
    for (right, wrong) in
        [("-7\"", "-8\""), ("cursor", "curser"), ("content-", "page-"), ("Z", ""), ("}", " }")]
    {
        assert!(told.contains(right));
        assert!(!Pairs::default().is_told(&ours, &told.replacen(right, wrong, 1)), "{wrong}");
    }
    assert!(Pairs::default().is_told("whole  2 events, in 3 ms", "whole  2 events, in …"));
    assert!(!Pairs::default().is_told("whole  3 events, in 3 ms", "whole  2 events, in …"));
}

#[test]
fn a_command_may_go_on_in_the_next_line() {
    let steps = steps("$ curl a \\\n    -d '{\"b\": 1}'\nsays\nmore\n$ cargo run\n");
    assert_eq!(words(&steps[0].0), ["curl", "a", "-d", "{\"b\": 1}"]);
    assert_eq!((steps[0].1.as_slice(), steps[1].0.as_str()), (&["says", "more"][..], "cargo run"));
    assert!(steps[1].1.is_empty());
}

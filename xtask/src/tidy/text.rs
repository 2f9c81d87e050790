//! What stands in the files: first lines, sizes, words that mean unfinished work.

use std::path::Path;

use anyhow::Result;

use super::House;

/// Lines that a file may have, and from how many on it is asked whether it is two things.
const LINES_MAX: usize = 800;

/// Files that may be longer, with the reason.
const LONGER: [(&str, &str); 0] = [];

/// Words that mean that something is not done, in two halves so that this file does not hold them.
const UNFINISHED: [(&str, &str, &str); 7] = [
    ("todo", "!(", "finish it, or write an issue"),
    ("unimple", "mented!(", "finish it, or write an issue"),
    ("FIX", "ME", "mend it, or write an issue"),
    ("XX", "X", "say what is meant"),
    ("TO", "DO", "finish it, or write an issue"),
    ("#[ign", "ore", "a test that is ignored counts as missing"),
    ("#[al", "low(", "use `#[expect(…, reason = \"…\")]`"),
];

pub(super) fn check(house: &mut House) -> Result<()> {
    for (ending, beginning) in [("rs", "//!"), ("sql", "--"), ("c", "//"), ("sh", "#"), ("toml", "#")] {
        for path in house.files_ending(ending) {
            let text = house.read(&path)?;
            let first = text.lines().next().unwrap_or_default();
            let is_manifest = path.ends_with("Cargo.toml") && first == "[package]";
            if !first.starts_with(beginning) && !is_manifest {
                house.found(
                    &path,
                    1,
                    format!("the first line says what the file is for, behind `{beginning}`"),
                );
            }
            if ending == "rs" {
                code(house, &path, &text);
            }
        }
    }
    Ok(())
}

fn code(house: &mut House, path: &Path, text: &str) {
    let lines = text.lines().count();
    let listed = LONGER.iter().any(|(listed, _): &(&str, &str)| path == Path::new(listed));
    if lines > LINES_MAX && !listed {
        house.found(path, LINES_MAX, format!("{lines} lines are too many: it is more than one thing"));
    }
    for (number, line) in (1..).zip(text.lines()) {
        for (half, other, mend) in UNFINISHED {
            if line.contains(&format!("{half}{other}")) {
                house.found(path, number, format!("has `{half}{other}`: {mend}"));
            }
        }
    }
}

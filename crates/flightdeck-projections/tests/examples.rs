//! The example is run, and says what it should; and it stays as short as it is.

use std::process::Command;

#[test]
fn the_example_counts_pages() {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let output = Command::new(cargo)
        .args(["run", "--quiet", "--package", "flightdeck-projections", "--example", "page_views"])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "/ 2\n/pricing 1\n");
    assert!(include_str!("../examples/page_views.rs").lines().count() < 60);
}

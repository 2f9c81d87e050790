//! Which rule of the contract held on which store, read off what the test runner says.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Result, bail};

/// The test programs that run the contract are named so, with the store behind it.
const PROGRAM: &str = "/contract_";

/// The stores there are.
const STORES: [&str; 3] = ["memory", "postgres", "sqlite"];

/// Rule by rule, whether it held on each store.
#[derive(Debug, Default)]
pub(crate) struct Table {
    /// The store whose contract runs just now.
    running: Option<String>,
    stores: BTreeSet<String>,
    rules: BTreeMap<String, BTreeMap<String, bool>>,
}

impl Table {
    /// Takes in a line of the test runner's.
    pub(crate) fn read(&mut self, line: &str) {
        let line = line.trim();
        if line.starts_with("Running ") || line.starts_with("Doc-tests ") {
            let program = line.split_once(PROGRAM).and_then(|(_, rest)| rest.split_once('-'));
            self.running = program.map(|(store, _)| store.to_owned());
            self.stores.extend(self.running.clone());
            return;
        }
        let (Some(store), Some(test)) = (&self.running, line.strip_prefix("test ")) else { return };
        if let Some((rule, outcome)) = test.split_once(" ... ") {
            self.rules.entry(rule.to_owned()).or_default().insert(store.clone(), outcome == "ok");
        }
    }

    /// Whether anything of a contract ran.
    pub(crate) fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// That no rule was left out for a store.
    pub(crate) fn check(&self) -> Result<()> {
        if let Some(missing) = STORES.iter().find(|store| !self.stores.contains(**store)) {
            bail!("the contract did not run on the store {missing}");
        }
        for (rule, held) in &self.rules {
            if let Some(missing) = self.stores.iter().find(|store| !held.contains_key(*store)) {
                bail!("the rule {rule} did not run on the store {missing}");
            }
        }
        Ok(())
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let column = |text: &str| format!("{text:<10}");
        writeln!(
            f,
            "{:<72}{}",
            "rule of the contract",
            self.stores.iter().map(|store| column(store)).collect::<String>()
        )?;
        for (rule, held) in &self.rules {
            let outcomes = self.stores.iter().map(|store| match held.get(store) {
                Some(true) => column("holds"),
                Some(false) => column("BROKEN"),
                None => column("missing"),
            });
            writeln!(f, "{rule:<72}{}", outcomes.collect::<String>().trim_end())?;
        }
        write!(f, "{} rules, {} stores", self.rules.len(), self.stores.len())
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn rules_are_read_store_by_store_and_none_may_be_left_out() {
        let mut table = Table::default();
        for line in [
            "     Running tests/contract.rs (target/debug/deps/contract_memory-00aa)",
            "test append::holds ... ok",
            "test append::breaks ... ok",
            "     Running tests/examples.rs (target/debug/deps/examples-00aa)",
            "test append::of_another_program ... ok",
            "     Running tests/contract.rs (target/debug/deps/contract_sqlite-00bb)",
            "test append::holds ... ok",
        ] {
            table.read(line);
        }
        assert!(table.check().unwrap_err().to_string().contains("did not run on the store postgres"));
        for line in [
            "     Running tests/contract.rs (target/debug/deps/contract_postgres-00cc)",
            "test append::holds ... ok",
            "test append::breaks ... ok",
            "     Running tests/contract.rs (target/debug/deps/contract_sqlite-00bb)",
        ] {
            table.read(line);
        }
        assert!(
            table.check().unwrap_err().to_string().contains("append::breaks did not run on the store sqlite")
        );
        table.read("test append::breaks ... FAILED");
        table.check().unwrap();
        let text = table.to_string();
        assert!(
            text.contains("append::breaks") && text.contains("BROKEN") && text.ends_with("2 rules, 3 stores"),
            "{text}"
        );
    }
}

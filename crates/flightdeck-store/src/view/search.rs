//! The words of a text, as all stores see them: the same hits everywhere, whatever a database would call a word.

use std::collections::BTreeSet;

use unicode_normalization::{IsNormalized, UnicodeNormalization as _, is_nfkc_quick};

use crate::view::query::Term;
use crate::view::table::Table;
use crate::view::value::{Row, Value};

/// Characters of a word: what is longer is found by its beginning.
const WORD_CHARS_MAX: usize = 64;
/// Bytes of the different words of one row, with what lies between them: no more fits into a row of every database.
const WORDS_BYTES_MAX: usize = 500_000;

/// The words of a text in their order: runs of letters and digits, in lower case, composed alike however they were typed.
fn runs(text: &str, mut each: impl FnMut(String)) {
    let composed: String;
    let text = match is_nfkc_quick(text.chars()) {
        IsNormalized::Yes => text,
        IsNormalized::No | IsNormalized::Maybe => {
            composed = text.nfkc().collect();
            &composed
        }
    };
    for run in text.split(|letter: char| !letter.is_alphanumeric()).filter(|run| !run.is_empty()) {
        let word: String = match run.is_ascii() {
            true => {
                run.bytes().take(WORD_CHARS_MAX).map(|byte| char::from(byte.to_ascii_lowercase())).collect()
            }
            // Lower case may fall apart again (a dotted capital I does), and only letters are words.
            false => run
                .chars()
                .flat_map(char::to_lowercase)
                .filter(|letter| letter.is_alphanumeric())
                .take(WORD_CHARS_MAX)
                .collect(),
        };
        if !word.is_empty() {
            each(word);
        }
    }
}

/// The different words of texts.
#[must_use]
pub fn words<'t>(texts: impl IntoIterator<Item = &'t str>) -> BTreeSet<String> {
    let (mut words, mut bytes) = (BTreeSet::new(), 0);
    for text in texts {
        runs(text, |word| {
            let more = word.len() + 8;
            if bytes + more <= WORDS_BYTES_MAX && words.insert(word) {
                bytes += more;
            }
        });
    }
    words
}

/// The words that somebody asks for: a `*` behind one stands for whatever goes on from there.
#[must_use]
pub fn terms(text: &str) -> Vec<Term> {
    let mut terms = Vec::new();
    for part in text.split_whitespace() {
        let before = terms.len();
        runs(part, |word| terms.push(Term::Word(word)));
        if part.ends_with('*')
            && terms.len() > before
            && let Some(Term::Word(word)) = terms.pop()
        {
            terms.push(Term::Prefix(word));
        }
    }
    terms
}

/// The words that a row is found by, with a space between them; `None` when its table is not searched.
#[must_use]
pub fn words_of(table: &Table, row: &Row) -> Option<String> {
    if table.searched().is_empty() {
        return None;
    }
    let mut texts: Vec<&str> = Vec::new();
    for column in table.searched() {
        match row.get(column) {
            Value::Text(text) => texts.push(text),
            Value::List(list) => texts.extend(list.iter().map(AsRef::as_ref)),
            _ => {}
        }
    }
    Some(words(texts).into_iter().collect::<Vec<_>>().join(" "))
}

#[cfg(test)]
mod tests {
    use super::{terms, words};
    use crate::view::query::Term;

    #[test]
    fn words_are_runs_of_letters_and_digits_however_typed() {
        let of = |text: &str| words([text]).into_iter().collect::<Vec<_>>();
        assert_eq!(of("Hello, WORLD-wide 42nd hello"), ["42nd", "hello", "wide", "world"]);
        assert_eq!(of("Cafe\u{301} CAFÉ"), ["café"]);
        assert_eq!(of("ﬁne"), ["fine"]);
        assert_eq!(of("İ"), ["i"]);
        assert_eq!(of("日本語 и Ελληνικά"), ["ελληνικά", "и", "日本語"]);
        assert_eq!(of(&"a".repeat(100)), ["a".repeat(64)]);
        assert!(of(" ,.-'\"*()").is_empty());
    }

    #[test]
    fn a_star_behind_a_word_stands_for_the_rest_of_it() {
        let (word, prefix) = (|word: &str| Term::Word(word.into()), |word: &str| Term::Prefix(word.into()));
        assert_eq!(terms("Hello world-wi* * *"), [word("hello"), word("world"), prefix("wi")]);
        assert_eq!(terms("a* b"), [prefix("a"), word("b")]);
        assert_eq!(terms("a* *"), [prefix("a")]);
        assert_eq!(terms("a *"), [word("a")]);
    }
}

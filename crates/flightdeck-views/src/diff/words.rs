//! The difference between two texts, word by word.

use serde::Serialize;
use similar::{Algorithm, DiffOp, capture_diff_slices};

/// Words that are compared at most for one difference: those of all its texts before and after, without what they begin and end with
/// alike. Of a text that would take more, all in between counts as replaced.
pub const WORDS_MAX: usize = 20_000;

/// A piece of the difference between two texts: `{"kept":"Hello "}`.
///
/// The pieces that were kept or removed make up the text before; those that were kept or added, the one after.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub enum Piece {
    /// It is in both.
    Kept(String),
    /// It is in the one before only.
    Removed(String),
    /// It is in the one after only.
    Added(String),
}

impl Piece {
    /// What it says.
    #[must_use]
    pub fn text(&self) -> &str {
        let (Self::Kept(text) | Self::Removed(text) | Self::Added(text)) = self;
        text
    }
}

/// What two texts have in common and what not, word by word. Where something was replaced, what was removed comes first.
/// At most `left` words are compared, and so many fewer are left then.
#[must_use]
pub fn words(before: &str, after: &str, left: &mut usize) -> Vec<Piece> {
    let (old, new) = (cut(before), cut(after));
    let head = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let rest = old.len().min(new.len()) - head;
    let ends = old.iter().rev().zip(new.iter().rev()).take(rest);
    let tail = ends.take_while(|(old, new)| old == new).count();
    let (begin, end) = (&old[..head], &old[old.len() - tail..]);
    let (old, new) = (&old[head..old.len() - tail], &new[head..new.len() - tail]);
    let mut pieces = Pieces::default();
    pieces.keep(begin);
    if old.len() + new.len() > *left {
        pieces.replace(old, new);
    } else {
        *left -= old.len() + new.len();
        for op in capture_diff_slices(Algorithm::Myers, old, new) {
            let (was, is) = (&old[op.old_range()], &new[op.new_range()]);
            match op {
                DiffOp::Equal { .. } => pieces.keep(was),
                DiffOp::Delete { .. } | DiffOp::Insert { .. } | DiffOp::Replace { .. } => {
                    pieces.replace(was, is);
                }
            }
        }
    }
    pieces.keep(end);
    pieces.finish()
}

/// A text as words, white space between them, and each mark by itself. All of them together are the text.
fn cut(text: &str) -> Vec<&str> {
    #[derive(PartialEq, Clone, Copy)]
    enum Of {
        Word,
        Space,
        Mark,
    }
    let of = |letter: char| match letter {
        // Within a word, or a name in code.
        '\'' | '_' => Of::Word,
        '、' | '。' | '，' | '！' | '？' | '；' | '：' | '「' | '」' | '（' | '）' => Of::Mark,
        _ if letter.is_whitespace() => Of::Space,
        _ if letter.is_ascii_punctuation() => Of::Mark,
        _ => Of::Word,
    };
    let (mut words, mut begin, mut last) = (Vec::new(), 0, None);
    for (at, letter) in text.char_indices() {
        let now = of(letter);
        if last.is_some_and(|last| last != now || now == Of::Mark) {
            words.push(&text[begin..at]);
            begin = at;
        }
        last = Some(now);
    }
    if begin < text.len() {
        words.push(&text[begin..]);
    }
    words
}

/// Pieces being put together: neighbours of one kind become one.
#[derive(Default)]
struct Pieces {
    done: Vec<Piece>,
    kept: String,
    removed: String,
    added: String,
}

impl Pieces {
    fn keep(&mut self, words: &[&str]) {
        if !words.is_empty() {
            self.push_replaced();
        }
        self.kept.extend(words.iter().copied());
    }

    fn replace(&mut self, old: &[&str], new: &[&str]) {
        if !old.is_empty() || !new.is_empty() {
            self.push_kept();
        }
        self.removed.extend(old.iter().copied());
        self.added.extend(new.iter().copied());
    }

    fn push_kept(&mut self) {
        let kept = std::mem::take(&mut self.kept);
        self.done.extend(Some(kept).filter(|text| !text.is_empty()).map(Piece::Kept));
    }

    fn push_replaced(&mut self) {
        let [removed, added] = [&mut self.removed, &mut self.added].map(std::mem::take);
        self.done.extend(Some(removed).filter(|text| !text.is_empty()).map(Piece::Removed));
        self.done.extend(Some(added).filter(|text| !text.is_empty()).map(Piece::Added));
    }

    fn finish(mut self) -> Vec<Piece> {
        self.push_kept();
        self.push_replaced();
        self.done
    }
}

//! The rules of views: the port `ViewStore`, as tests.

mod given;
mod rules;
mod subject;

mod ask;
mod filter;
mod generation;
mod inline;
mod lease;
mod mark;
mod order;
mod row;
mod search;
mod takeover;
mod visible;
mod work;

pub(crate) use self::given::LONG;
pub(crate) use self::inline::worked;
pub use self::rules::{check_view, view_rules};
pub use self::subject::ViewSubject;

//! The words of visitor facts: who, on which page, on what, how.

use flightdeck_core::{id_word, prose_word};

id_word! {
    /// The id of a visitor: made by the server, kept in a cookie.
    VisitorId, "visitor id"
}
prose_word! {
    /// The page that something happened on: its path, as a rule.
    PageId, "page id", Line, 2_000
}
prose_word! {
    /// What a page is called.
    PageTitle, "title", Line, 300
}
prose_word! {
    /// Where a visitor came from.
    Referrer, "referrer", Line, 2_000
}
prose_word! {
    /// The button, form or other element that something happened to, as the site calls it.
    ElementId, "element id", Line, 200
}
prose_word! {
    /// What happened to an element: `click`, `visible`, `hover`.
    Interaction, "interaction", Line, 50
}
prose_word! {
    /// What a site calls something that happened by itself: an error, a measurement.
    SystemName, "name", Line, 100
}

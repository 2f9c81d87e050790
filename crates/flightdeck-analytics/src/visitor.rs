//! A visitor: what it did, as far as it consented.

use std::convert::Infallible;

use flightdeck_core::form::Form;
use flightdeck_core::{
    Decider, Invalid, Json, SchemaNumber, Shape, StoredEvents, StoredType, StreamId, Timestamp, WordError,
};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use serde_json::{Map, Value};

use crate::words::{ElementId, Interaction, PageId, PageTitle, Referrer, SystemName, VisitorId};

/// Facts in one batch.
pub const BATCH_FACTS_MAX: usize = 20;
/// One fact in bytes, as it comes in.
pub const FACT_BYTES_MAX: usize = 16 * 1024;

/// After how many events a snapshot of a visitor is kept: what it consented to may lie far back.
pub const SNAPSHOT_EVENTS: i64 = 100;
/// The shape of [`Consent`] in a snapshot. A new shape wants the next number.
pub const SNAPSHOT_SCHEMA: SchemaNumber = SchemaNumber::FIRST;

/// What a visitor did.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "eventType", content = "data")]
pub enum Event {
    /// It looked at a page.
    PageViewed(PageViewed),
    /// It clicked a button.
    ButtonClicked(ButtonClicked),
    /// It sent a form.
    FormSubmitted(FormSubmitted),
    /// It did something to some other element.
    ElementInteraction(ElementInteraction),
    /// Something happened by itself while it was there.
    SystemEvent(SystemEvent),
    /// It consents to being recorded.
    ConsentAccepted(ConsentAccepted),
    /// It does not consent to being recorded.
    ConsentDeclined(ConsentDeclined),
    /// It takes its answer back, whichever it was.
    ConsentReset(ConsentReset),
}

/// When a fact happened, by both clocks, and what else the site says of it: what all facts have in common.
macro_rules! fact {
    ($(#[$doc:meta])* $name:ident { $($(#[$field_doc:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name {
            /// The visitor.
            pub visitor_id: VisitorId,
            /// When the server heard of it, by the server's clock.
            pub timestamp: Timestamp,
            /// When it happened, as the visitor's own clock says. Nobody vouches for it.
            #[serde(default, skip_serializing_if = "Option::is_none")]
            pub visitor_timestamp: Option<Timestamp>,
            $($(#[$field_doc])* pub $field: $type,)*
            /// What else the site says of it.
            #[serde(default, skip_serializing_if = "Map::is_empty")]
            pub metadata: Map<String, Value>,
        }
    };
}

fact! {
    /// A visitor looked at a page.
    PageViewed {
        /// The page.
        page_id: PageId,
        /// What the page is called.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        title: Option<PageTitle>,
        /// Where the visitor came from.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        referrer: Option<Referrer>,
    }
}
fact! {
    /// A visitor clicked a button.
    ButtonClicked {
        /// The button.
        button_id: ElementId,
        /// The page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        page_id: Option<PageId>,
    }
}
fact! {
    /// A visitor sent a form.
    FormSubmitted {
        /// The form.
        form_id: ElementId,
        /// The page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        page_id: Option<PageId>,
        /// What the site passes on of what was filled in.
        #[serde(default, skip_serializing_if = "Map::is_empty")]
        fields: Map<String, Value>,
    }
}
fact! {
    /// A visitor did something to an element.
    ElementInteraction {
        /// The element.
        element_id: ElementId,
        /// What it did: `click`, `visible`, `hover`.
        interaction: Interaction,
        /// The page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        page_id: Option<PageId>,
    }
}
fact! {
    /// Something happened by itself while a visitor was there.
    SystemEvent {
        /// What.
        name: SystemName,
        /// The page.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        page_id: Option<PageId>,
    }
}

/// A visitor answered whether it may be recorded.
macro_rules! answer {
    ($(#[$doc:meta])* $name:ident) => {
        $(#[$doc])*
        #[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "camelCase", deny_unknown_fields)]
        pub struct $name {
            /// The visitor.
            pub visitor_id: VisitorId,
            /// When the server heard of it, by the server's clock.
            pub timestamp: Timestamp,
        }
    };
}

answer! {
    /// A visitor consents to being recorded.
    ConsentAccepted
}
answer! {
    /// A visitor does not consent to being recorded.
    ConsentDeclined
}
answer! {
    /// A visitor takes its answer back, whichever it was.
    ConsentReset
}

impl StoredEvents for Event {
    const TYPES: &'static [StoredType] = &[
        StoredType::new("PageViewed").personal(&["/visitorId", "/referrer", "/metadata"]),
        StoredType::new("ButtonClicked").personal(&["/visitorId", "/metadata"]),
        StoredType::new("FormSubmitted").personal(&["/visitorId", "/fields", "/metadata"]),
        StoredType::new("ElementInteraction").personal(&["/visitorId", "/metadata"]),
        StoredType::new("SystemEvent").personal(&["/visitorId", "/metadata"]),
        StoredType::new("ConsentAccepted").personal(&["/visitorId"]),
        StoredType::new("ConsentDeclined").personal(&["/visitorId"]),
        StoredType::new("ConsentReset").personal(&["/visitorId"]),
    ];
}

/// Every shape that these events have or had.
pub const SHAPES: &[Shape] = &[
    Shape::of::<PageViewed>("PageViewed", 1),
    Shape::of::<ButtonClicked>("ButtonClicked", 1),
    Shape::of::<FormSubmitted>("FormSubmitted", 1),
    Shape::of::<ElementInteraction>("ElementInteraction", 1),
    Shape::of::<SystemEvent>("SystemEvent", 1),
    Shape::of::<ConsentAccepted>("ConsentAccepted", 1),
    Shape::of::<ConsentDeclined>("ConsentDeclined", 1),
    Shape::of::<ConsentReset>("ConsentReset", 1),
];

/// What can be asked of a visitor's stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command {
    /// Record facts, as far as they may be.
    Record(Record),
    /// The visitor consents to being recorded.
    AcceptConsent(Answer),
    /// The visitor does not.
    DeclineConsent(Answer),
    /// The visitor takes its answer back.
    ResetConsent(Answer),
}

/// Record facts, as far as they may be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Whose.
    pub visitor_id: VisitorId,
    /// What.
    pub batch: Batch,
    /// Whether the site asks for consent.
    pub policy: Policy,
    /// When the server heard of them.
    pub at: Timestamp,
}

/// A visitor answered whether it may be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Who.
    pub visitor_id: VisitorId,
    /// When the server heard of it.
    pub at: Timestamp,
}

/// Whether a site asks visitors before it records them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Policy {
    /// It records whoever has not declined.
    UnlessDeclined,
    /// It asks first, and records only who has accepted.
    AskFirst,
}

/// 1 to 20 facts, each of at most 16 KiB.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Batch(Vec<Fact>);

/// A fact as a site sends it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type")]
pub enum Fact {
    /// The visitor looked at a page.
    #[serde(rename = "PageViewed")]
    RecordPageView(RecordPageView),
    /// The visitor clicked a button.
    #[serde(rename = "ButtonClicked")]
    RecordButtonClick(RecordButtonClick),
    /// The visitor sent a form.
    #[serde(rename = "FormSubmitted")]
    SubmitForm(SubmitForm),
    /// The visitor did something to some other element.
    #[serde(rename = "ElementInteraction")]
    RecordElementInteraction(RecordElementInteraction),
    /// Something happened by itself.
    #[serde(rename = "SystemEvent")]
    RecordSystemEvent(RecordSystemEvent),
}

/// A visitor looked at a page.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordPageView {
    /// The page.
    pub page_id: PageId,
    /// What the page is called.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<PageTitle>,
    /// Where the visitor came from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub referrer: Option<Referrer>,
    /// When, and what else.
    #[serde(flatten)]
    pub seen: Seen,
}

/// A visitor clicked a button.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordButtonClick {
    /// The button.
    pub button_id: ElementId,
    /// The page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_id: Option<PageId>,
    /// When, and what else.
    #[serde(flatten)]
    pub seen: Seen,
}

/// A visitor sent a form.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct SubmitForm {
    /// The form.
    pub form_id: ElementId,
    /// The page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_id: Option<PageId>,
    /// What the site passes on of what was filled in.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub fields: Map<String, Value>,
    /// When, and what else.
    #[serde(flatten)]
    pub seen: Seen,
}

/// A visitor did something to an element.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordElementInteraction {
    /// The element.
    pub element_id: ElementId,
    /// What it did.
    pub interaction: Interaction,
    /// The page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_id: Option<PageId>,
    /// When, and what else.
    #[serde(flatten)]
    pub seen: Seen,
}

/// Something happened by itself while a visitor was there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordSystemEvent {
    /// What.
    pub name: SystemName,
    /// The page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub page_id: Option<PageId>,
    /// When, and what else.
    #[serde(flatten)]
    pub seen: Seen,
}

/// What every fact may say.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Seen {
    /// When it happened, as the visitor's own clock says.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub visitor_timestamp: Option<Timestamp>,
    /// What else the site says of it.
    #[serde(skip_serializing_if = "Map::is_empty")]
    pub metadata: Map<String, Value>,
}

impl Batch {
    /// A batch of these facts.
    ///
    /// # Errors
    /// When there are none or too many, or one is too large; each by its place.
    pub fn new(facts: Vec<Fact>) -> Result<Self, Invalid> {
        let mut wrong = Invalid::default();
        if facts.is_empty() || facts.len() > BATCH_FACTS_MAX {
            wrong.extend(Self::count(facts.len()));
        }
        for (place, fact) in facts.iter().enumerate() {
            let bytes = serde_json::to_vec(fact).map_or(usize::MAX, |json| json.len());
            if bytes > FACT_BYTES_MAX {
                wrong.extend(too_large(bytes).within(&format!("[{place}]")));
            }
        }
        wrong.or(Some(Self(facts)))
    }

    /// Reads what a site sends: one fact, or a list of them.
    ///
    /// # Errors
    /// With everything that is wrong with it, each by its place.
    pub fn read(body: &Json) -> Result<Self, NoBatch> {
        let malformed = |error| NoBatch::of(Invalid::field("", format!("can't be read: {error}")), false);
        let is_list = body.as_bytes().trim_ascii_start().first() == Some(&b'[');
        let items: Vec<&RawValue> = match is_list {
            true => body.parse().map_err(malformed)?,
            false => vec![body.parse().map_err(malformed)?],
        };
        if items.is_empty() || items.len() > BATCH_FACTS_MAX {
            return Err(NoBatch::of(Self::count(items.len()), !items.is_empty()));
        }
        let mut is_too_much = true;
        let (mut facts, mut wrong) = (Vec::with_capacity(items.len()), Invalid::default());
        for (place, item) in items.into_iter().enumerate() {
            let found = match item.get().len() {
                0..=FACT_BYTES_MAX => Json::new(item.get().to_owned(), FACT_BYTES_MAX)
                    .map_err(|error| Invalid::field("", error.to_string()))
                    .and_then(|json| Fact::read(&json))
                    .inspect_err(|_| is_too_much = false),
                bytes => Err(too_large(bytes)),
            };
            match found {
                Ok(fact) => facts.push(fact),
                Err(error) if is_list => wrong.extend(error.within(&format!("[{place}]"))),
                Err(error) => wrong.extend(error),
            }
        }
        wrong.or(Some(Self(facts))).map_err(|wrong| NoBatch::of(wrong, is_too_much))
    }

    fn count(facts: usize) -> Invalid {
        Invalid::field("", format!("has {facts} facts, and may have 1 to {BATCH_FACTS_MAX}"))
    }

    /// The facts.
    #[must_use]
    pub fn facts(&self) -> &[Fact] {
        &self.0
    }
}

/// Why something is no batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{wrong}")]
pub struct NoBatch {
    /// All that is wrong, each by its place.
    pub wrong: Invalid,
    /// Whether it is only that there is too much of it.
    pub is_too_much: bool,
}

impl NoBatch {
    const fn of(wrong: Invalid, is_too_much: bool) -> Self {
        Self { wrong, is_too_much }
    }
}

fn too_large(bytes: usize) -> Invalid {
    Invalid::field("", format!("takes {bytes} bytes, and {FACT_BYTES_MAX} is the most"))
}

impl Fact {
    fn read(json: &Json) -> Result<Self, Invalid> {
        let mut form = Form::of(json);
        let kind: Option<String> = form.required("type");
        let seen = Seen {
            visitor_timestamp: form.optional("visitorTimestamp"),
            metadata: form.optional("metadata").unwrap_or_default(),
        };
        let fact = match kind.as_deref() {
            Some("PageViewed") => {
                let (title, referrer) = (form.optional("title"), form.optional("referrer"));
                let page_id = form.required("pageId");
                page_id.map(|page_id| Self::RecordPageView(RecordPageView { page_id, title, referrer, seen }))
            }
            Some("ButtonClicked") => {
                let (button_id, page_id) = (form.required("buttonId"), form.optional("pageId"));
                button_id
                    .map(|button_id| Self::RecordButtonClick(RecordButtonClick { button_id, page_id, seen }))
            }
            Some("FormSubmitted") => {
                let (form_id, page_id) = (form.required("formId"), form.optional("pageId"));
                let fields = form.optional("fields").unwrap_or_default();
                form_id.map(|form_id| Self::SubmitForm(SubmitForm { form_id, page_id, fields, seen }))
            }
            Some("ElementInteraction") => {
                let (element_id, interaction) = (form.required("elementId"), form.required("interaction"));
                let page_id = form.optional("pageId");
                element_id.zip(interaction).map(|(element_id, interaction)| {
                    let fact = RecordElementInteraction { element_id, interaction, page_id, seen };
                    Self::RecordElementInteraction(fact)
                })
            }
            Some("SystemEvent") => {
                let (name, page_id) = (form.required("name"), form.optional("pageId"));
                name.map(|name| Self::RecordSystemEvent(RecordSystemEvent { name, page_id, seen }))
            }
            // Which fields it would have, nobody can tell.
            Some(_) => {
                let kinds = "PageViewed, ButtonClicked, FormSubmitted, ElementInteraction and SystemEvent";
                form.refuse("type", format!("is none of {kinds}"));
                return form.give_up();
            }
            None => return form.give_up(),
        };
        form.finish(fact)
    }

    fn event(self, visitor_id: VisitorId, timestamp: Timestamp) -> Event {
        match self {
            Self::RecordPageView(RecordPageView { page_id, title, referrer, seen }) => {
                let Seen { visitor_timestamp, metadata } = seen;
                Event::PageViewed(PageViewed {
                    visitor_id,
                    timestamp,
                    visitor_timestamp,
                    page_id,
                    title,
                    referrer,
                    metadata,
                })
            }
            Self::RecordButtonClick(RecordButtonClick { button_id, page_id, seen }) => {
                let Seen { visitor_timestamp, metadata } = seen;
                Event::ButtonClicked(ButtonClicked {
                    visitor_id,
                    timestamp,
                    visitor_timestamp,
                    button_id,
                    page_id,
                    metadata,
                })
            }
            Self::SubmitForm(SubmitForm { form_id, page_id, fields, seen }) => {
                let Seen { visitor_timestamp, metadata } = seen;
                Event::FormSubmitted(FormSubmitted {
                    visitor_id,
                    timestamp,
                    visitor_timestamp,
                    form_id,
                    page_id,
                    fields,
                    metadata,
                })
            }
            Self::RecordElementInteraction(RecordElementInteraction {
                element_id,
                interaction,
                page_id,
                seen,
            }) => {
                let Seen { visitor_timestamp, metadata } = seen;
                Event::ElementInteraction(ElementInteraction {
                    visitor_id,
                    timestamp,
                    visitor_timestamp,
                    element_id,
                    interaction,
                    page_id,
                    metadata,
                })
            }
            Self::RecordSystemEvent(RecordSystemEvent { name, page_id, seen }) => {
                let Seen { visitor_timestamp, metadata } = seen;
                Event::SystemEvent(SystemEvent {
                    visitor_id,
                    timestamp,
                    visitor_timestamp,
                    name,
                    page_id,
                    metadata,
                })
            }
        }
    }
}

/// What is known of a visitor: what it answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
pub enum Consent {
    /// Nothing yet, or it took its answer back.
    #[default]
    Unanswered,
    /// Yes.
    Accepted,
    /// No.
    Declined,
}

impl Policy {
    /// Whether facts of a visitor may be stored who answered that.
    #[must_use]
    pub const fn allows(self, consent: Consent) -> bool {
        match (self, consent) {
            (Self::UnlessDeclined | Self::AskFirst, Consent::Accepted)
            | (Self::UnlessDeclined, Consent::Unanswered) => true,
            (Self::AskFirst, Consent::Unanswered)
            | (Self::UnlessDeclined | Self::AskFirst, Consent::Declined) => false,
        }
    }
}

/// The decider of visitors. It refuses nothing: what may not be stored is not stored.
pub struct Visitor;

impl Decider for Visitor {
    const CATEGORY: &'static str = "visitor";
    type Command = Command;
    type Event = Event;
    type State = Consent;
    type Error = Infallible;

    fn initial() -> Consent {
        Consent::Unanswered
    }

    fn stream(command: &Command) -> Option<Result<StreamId, WordError>> {
        let visitor = match command {
            Command::Record(record) => &record.visitor_id,
            Command::AcceptConsent(answer)
            | Command::DeclineConsent(answer)
            | Command::ResetConsent(answer) => &answer.visitor_id,
        };
        Some(visitor.stream(Self::CATEGORY))
    }

    fn evolve(consent: Consent, event: &Event) -> Consent {
        match event {
            Event::PageViewed(_)
            | Event::ButtonClicked(_)
            | Event::FormSubmitted(_)
            | Event::ElementInteraction(_)
            | Event::SystemEvent(_) => consent,
            Event::ConsentAccepted(_) => Consent::Accepted,
            Event::ConsentDeclined(_) => Consent::Declined,
            Event::ConsentReset(_) => Consent::Unanswered,
        }
    }

    fn decide(consent: &Consent, command: Command) -> Result<Vec<Event>, Infallible> {
        Ok(match (consent, command) {
            (consent, Command::Record(Record { visitor_id, batch, policy, at })) => {
                let facts = if policy.allows(*consent) { batch.0 } else { vec![] };
                facts.into_iter().map(|fact| fact.event(visitor_id.clone(), at)).collect()
            }
            (Consent::Accepted, Command::AcceptConsent(_))
            | (Consent::Declined, Command::DeclineConsent(_))
            | (Consent::Unanswered, Command::ResetConsent(_)) => vec![],
            (Consent::Unanswered | Consent::Declined, Command::AcceptConsent(answer)) => {
                let Answer { visitor_id, at: timestamp } = answer;
                vec![Event::ConsentAccepted(ConsentAccepted { visitor_id, timestamp })]
            }
            (Consent::Unanswered | Consent::Accepted, Command::DeclineConsent(answer)) => {
                let Answer { visitor_id, at: timestamp } = answer;
                vec![Event::ConsentDeclined(ConsentDeclined { visitor_id, timestamp })]
            }
            (Consent::Accepted | Consent::Declined, Command::ResetConsent(answer)) => {
                let Answer { visitor_id, at: timestamp } = answer;
                vec![Event::ConsentReset(ConsentReset { visitor_id, timestamp })]
            }
        })
    }
}

#[cfg(test)]
mod tests;

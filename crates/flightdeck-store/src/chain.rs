//! The hash chain and the checksum: how a log shows that it is what it was.
//!
//! One byte layout, the same on every store, so that the same history has the same hashes:
//!
//! ```text
//! place    = 0x01                                  layout number
//!            position, version, recorded (µs), append end      each i64, big-endian
//! names    = id                                    16 bytes
//!            schema                                u32, big-endian
//!            key                                   0x00, or 0x01 and 16 bytes
//!            type, stream                          each u16 length, big-endian, and the bytes
//!            tags                                  u16 count; each u16 length and the bytes, in byte order
//! metadata = flags                                 one bit a member that is there, in the order below
//!            actor, correlation, causation         each u16 length and the bytes
//!            occurred (µs)                         i64
//!            further                               u32 length and the bytes
//! digest   = SHA-256(place, names, SHA-256(data), SHA-256(metadata))
//! hash     = SHA-256(previous hash, digest)        the first event's previous hash is 32 zero bytes
//! checksum = XXH3-64(place, names, metadata, data, hash)
//!            or, where a database takes it by itself: the first 8 bytes of SHA-256(digest, hash)
//! ```
//!
//! The fields that only the writer knows stand first, so that everything behind them can be made ready
//! before the event's turn comes ([`Sealed`]). The chain covers the SHA-256 of the data, not the data, and
//! so stays valid when data gives way to a [tombstone](crate::Data::Tombstone); in the checksum of such a
//! row the tombstone stands for the data. The chain is for whoever doubts the store; the checksum is for
//! the disk, and cheap enough to be taken at every read.

use std::fmt;

use bytes::Bytes;
use flightdeck_core::{
    EventId, EventType, KeyId, Metadata, Position, SchemaNumber, StreamId, Tags, Timestamp, Version,
};
use sha2::{Digest as _, Sha256};
use thiserror::Error;

use crate::event::{Data, NewEvent, Recorded};

/// The number of the layout above.
const LAYOUT: u8 = 1;
/// How long the part is that only the writer knows: layout, position, version, recorded, append end.
const PLACE_BYTES: usize = 1 + 4 * 8;

/// A link of the chain: SHA-256.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Hash([u8; 32]);

impl Hash {
    /// What stands before the first event.
    pub const GENESIS: Self = Self([0; 32]);

    /// A hash from its bytes.
    #[must_use]
    pub const fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(bytes)
    }

    /// The bytes.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let mut text = [0; 64];
        for (digits, byte) in text.chunks_exact_mut(2).zip(self.0) {
            digits[0] = DIGITS[usize::from(byte >> 4)];
            digits[1] = DIGITS[usize::from(byte & 15)];
        }
        f.write_str(std::str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

impl fmt::Debug for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Hash({self})")
    }
}

/// SHA-256 of `bytes`.
#[must_use]
pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// What the writer alone decides about an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Its place in the log.
    pub position: Position,
    /// Its place in the stream.
    pub version: Version,
    /// When it is recorded.
    pub recorded_at: Timestamp,
    /// Where its append ends.
    pub append_end: Position,
}

impl Place {
    fn to_bytes(self) -> [u8; PLACE_BYTES] {
        let mut bytes = [0; PLACE_BYTES];
        bytes[0] = LAYOUT;
        let numbers =
            [self.position.get(), self.version.get(), self.recorded_at.micros(), self.append_end.get()];
        for (slot, number) in bytes[1..].chunks_exact_mut(8).zip(numbers) {
            slot.copy_from_slice(&number.to_be_bytes());
        }
        bytes
    }
}

/// An event made ready for the writer: everything of its hash that does not depend on its place.
///
/// Made on the caller's side, so that the one writer has little left to do.
#[derive(Debug, Clone)]
pub struct Sealed {
    event: NewEvent,
    id: EventId,
    names: Bytes,
    metadata: Bytes,
    data_hash: [u8; 32],
    metadata_hash: [u8; 32],
}

impl Sealed {
    /// Makes `event` ready; `id` is its own, or a new one when it has none.
    #[must_use]
    pub fn new(event: NewEvent, id: EventId) -> Self {
        let data_hash = sha256(event.data.as_bytes());
        let mut metadata = Vec::new();
        write_metadata(&mut metadata, &event.metadata);
        let metadata_hash = sha256(&metadata);
        let mut names = Vec::with_capacity(128);
        let fields = Names {
            id: &id,
            schema: event.schema,
            key: None,
            event_type: &event.event_type,
            stream: &event.stream,
            tags: &event.tags,
        };
        write_names(&mut names, &fields);
        Self { event, id, names: names.into(), metadata: metadata.into(), data_hash, metadata_hash }
    }

    /// The event as it came.
    #[must_use]
    pub const fn event(&self) -> &NewEvent {
        &self.event
    }

    /// Its id, given or made.
    #[must_use]
    pub const fn id(&self) -> EventId {
        self.id
    }

    /// SHA-256 of its data.
    #[must_use]
    pub const fn data_hash(&self) -> &[u8; 32] {
        &self.data_hash
    }

    /// What stands behind the place in the digest: all that a writer needs who is handed a place by a database.
    #[must_use]
    pub fn behind_place(&self) -> Vec<u8> {
        [&self.names, self.data_hash.as_slice(), self.metadata_hash.as_slice()].concat()
    }

    /// The event's link of the chain behind `previous`, and the checksum of its row.
    ///
    /// `scratch` is room to work in; what is in it before does not matter.
    #[must_use]
    pub fn link(&self, previous: &Hash, place: &Place, scratch: &mut Vec<u8>) -> (Hash, u64) {
        scratch.clear();
        scratch.extend_from_slice(&place.to_bytes());
        scratch.extend_from_slice(&self.names);
        let hash = link(previous, scratch, &self.data_hash, &self.metadata_hash);
        scratch.extend_from_slice(&self.metadata);
        scratch.extend_from_slice(self.event.data.as_bytes());
        scratch.extend_from_slice(&hash.0);
        (hash, xxhash_rust::xxh3::xxh3_64(scratch))
    }

    /// The event as it is once it has its place and its hash.
    #[must_use]
    pub fn recorded(&self, place: &Place, hash: Hash) -> Recorded {
        Recorded {
            position: place.position,
            stream: self.event.stream.clone(),
            version: place.version,
            id: self.id,
            event_type: self.event.event_type.clone(),
            schema: self.event.schema,
            data: Data::Json(self.event.data.clone()),
            metadata: self.event.metadata.clone(),
            tags: self.event.tags.clone(),
            recorded_at: place.recorded_at,
            append_end: place.append_end,
            key: None,
            hash,
        }
    }
}

/// What an event is called, in all ways.
struct Names<'a> {
    id: &'a EventId,
    schema: SchemaNumber,
    key: Option<&'a KeyId>,
    event_type: &'a EventType,
    stream: &'a StreamId,
    tags: &'a Tags,
}

fn write_names(into: &mut Vec<u8>, fields: &Names<'_>) {
    into.extend_from_slice(fields.id.as_bytes());
    into.extend_from_slice(&fields.schema.get().to_be_bytes());
    match fields.key {
        None => into.push(0),
        Some(key) => {
            into.push(1);
            into.extend_from_slice(key.as_bytes());
        }
    }
    write_text(into, fields.event_type.as_str());
    write_text(into, fields.stream.as_str());
    into.extend_from_slice(&length_u16(fields.tags.len()));
    for tag in fields.tags {
        write_text(into, tag.as_str());
    }
}

fn write_metadata(into: &mut Vec<u8>, metadata: &Metadata) {
    let texts = [&metadata.actor, &metadata.correlation, &metadata.causation];
    let mut flags = 0_u8;
    for (bit, text) in texts.iter().enumerate() {
        flags |= u8::from(text.is_some()) << bit;
    }
    flags |= u8::from(metadata.occurred.is_some()) << 3;
    flags |= u8::from(metadata.further.is_some()) << 4;
    into.push(flags);
    for text in texts.into_iter().flatten() {
        write_text(into, text.as_str());
    }
    if let Some(occurred) = metadata.occurred {
        into.extend_from_slice(&occurred.micros().to_be_bytes());
    }
    if let Some(further) = &metadata.further {
        let bytes = further.as_json().as_bytes();
        into.extend_from_slice(&u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_be_bytes());
        into.extend_from_slice(bytes);
    }
}

fn write_text(into: &mut Vec<u8>, text: &str) {
    into.extend_from_slice(&length_u16(text.len()));
    into.extend_from_slice(text.as_bytes());
}

/// Texts and counts are limited to far less than 65,536 by their types.
fn length_u16(length: usize) -> [u8; 2] {
    u16::try_from(length).unwrap_or(u16::MAX).to_be_bytes()
}

fn link(previous: &Hash, place_and_names: &[u8], data_hash: &[u8; 32], metadata_hash: &[u8; 32]) -> Hash {
    let digest = digest(place_and_names, data_hash, metadata_hash);
    Hash(Sha256::new().chain_update(previous.0).chain_update(digest).finalize().into())
}

fn digest(place_and_names: &[u8], data_hash: &[u8; 32], metadata_hash: &[u8; 32]) -> [u8; 32] {
    let digest = Sha256::new().chain_update(place_and_names).chain_update(data_hash);
    digest.chain_update(metadata_hash).finalize().into()
}

/// Takes the checksum of a row that was read, as [`Sealed::link`] took it when the row was written.
///
/// A changed bit anywhere in the event, its hash included, gives another number. `scratch` is room to work in.
#[must_use]
pub fn checksum(event: &Recorded, scratch: &mut Vec<u8>) -> u64 {
    scratch.clear();
    write_place_and_names(scratch, event);
    write_metadata(scratch, &event.metadata);
    match &event.data {
        Data::Json(json) => scratch.extend_from_slice(json.as_bytes()),
        Data::Tombstone(hash) => scratch.extend_from_slice(hash),
    }
    scratch.extend_from_slice(&event.hash.0);
    xxhash_rust::xxh3::xxh3_64(scratch)
}

fn write_place_and_names(into: &mut Vec<u8>, event: &Recorded) {
    let place = Place {
        position: event.position,
        version: event.version,
        recorded_at: event.recorded_at,
        append_end: event.append_end,
    };
    into.extend_from_slice(&place.to_bytes());
    let names = Names {
        id: &event.id,
        schema: event.schema,
        key: event.key.as_ref(),
        event_type: &event.event_type,
        stream: &event.stream,
        tags: &event.tags,
    };
    write_names(into, &names);
}

/// Takes the checksum of a row as a database takes it that has nothing but SHA-256: over digest and hash.
///
/// The digest has the SHA-256 of the data, so this stays as it is when data gives way to its tombstone.
#[must_use]
pub fn digest_checksum(event: &Recorded, scratch: &mut Vec<u8>) -> [u8; 8] {
    let sum: [u8; 32] =
        Sha256::new().chain_update(digest_of(event, scratch)).chain_update(event.hash.0).finalize().into();
    let [a, b, c, d, e, f, g, h, ..] = sum;
    [a, b, c, d, e, f, g, h]
}

/// The hash that `event` has behind `previous`: what [`Sealed::link`] made when it was written.
#[must_use]
pub fn hash_of(event: &Recorded, previous: &Hash) -> Hash {
    let digest = digest_of(event, &mut Vec::with_capacity(192));
    Hash(Sha256::new().chain_update(previous.0).chain_update(digest).finalize().into())
}

/// The digest of a recorded event. `scratch` is room to work in.
fn digest_of(event: &Recorded, scratch: &mut Vec<u8>) -> [u8; 32] {
    scratch.clear();
    write_metadata(scratch, &event.metadata);
    let metadata_hash = sha256(scratch);
    let data_hash = match &event.data {
        Data::Json(json) => sha256(json.as_bytes()),
        Data::Tombstone(hash) => *hash,
    };
    scratch.clear();
    write_place_and_names(scratch, event);
    digest(scratch, &data_hash, &metadata_hash)
}

/// What a walk along the chain found wrong.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
pub enum BrokenChain {
    /// Positions are not dense.
    #[error("position {expected} is missing: {found} stands in its place")]
    Hole {
        /// The position that is missing.
        expected: Position,
        /// What stands there.
        found: Position,
    },
    /// An event's hash is not what its content and its predecessor make it.
    #[error("the hash at position {position} is not that of its event and the one before")]
    Hash {
        /// The event.
        position: Position,
    },
    /// An event says that its append ended before it, or ends elsewhere than its neighbours say.
    #[error("the append around position {position} does not end where its events say")]
    Torn {
        /// The event.
        position: Position,
    },
    /// Recorded times go backwards.
    #[error("position {position} was recorded before the event that stands before it")]
    Backwards {
        /// The event.
        position: Position,
    },
}

/// Walks along a log in its order and checks each link.
#[derive(Debug, Clone)]
pub struct Walk {
    position: Position,
    hash: Hash,
    append_end: Position,
    recorded_at: Option<Timestamp>,
}

impl Default for Walk {
    fn default() -> Self {
        Self::from_start()
    }
}

impl Walk {
    /// Begins before the first event.
    #[must_use]
    pub const fn from_start() -> Self {
        Self {
            position: Position::START,
            hash: Hash::GENESIS,
            append_end: Position::START,
            recorded_at: None,
        }
    }

    /// Goes on behind an event that is taken as it is.
    #[must_use]
    pub const fn behind(event: &Recorded) -> Self {
        Self {
            position: event.position,
            hash: event.hash,
            append_end: event.append_end,
            recorded_at: Some(event.recorded_at),
        }
    }

    /// Takes the next event.
    ///
    /// # Errors
    /// When it does not follow the one before.
    pub fn step(&mut self, event: &Recorded) -> Result<(), BrokenChain> {
        let position = event.position;
        if position != self.position.next() {
            return Err(BrokenChain::Hole { expected: self.position.next(), found: position });
        }
        if hash_of(event, &self.hash) != event.hash {
            return Err(BrokenChain::Hash { position });
        }
        let ends_elsewhere = position <= self.append_end && event.append_end != self.append_end;
        if ends_elsewhere || event.append_end < position {
            return Err(BrokenChain::Torn { position });
        }
        if self.recorded_at.is_some_and(|before| event.recorded_at < before) {
            return Err(BrokenChain::Backwards { position });
        }
        *self = Self::behind(event);
        Ok(())
    }

    /// The last event taken.
    #[must_use]
    pub const fn position(&self) -> Position {
        self.position
    }

    /// The hash of the last event taken.
    #[must_use]
    pub const fn hash(&self) -> Hash {
        self.hash
    }

    /// Whether the last event taken is the last of its append.
    #[must_use]
    pub fn is_between_appends(&self) -> bool {
        self.position == self.append_end
    }
}

#[cfg(test)]
mod tests;

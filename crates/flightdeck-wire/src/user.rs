//! Users.

use flightdeck_core::{Timestamp, Version, edit};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::words;

/// A user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct User {
    /// Its id.
    pub id: String,
    /// Its address.
    pub email: String,
    /// What it wants to be called.
    pub display_name: String,
    /// What it may do.
    pub role: Role,
    /// When it last logged in; absent when it never did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_login_at: Option<Timestamp>,
    /// How often something happened to it, as `ETag` and `If-Match` have it; absent in a list, which may lag.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<Version>,
    /// When it was registered.
    pub created_at: Timestamp,
    /// When its address, its name or its role last changed. That it logged in changes none of them.
    pub updated_at: Timestamp,
}

/// A page of the list of users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct Users {
    /// The users.
    pub items: Vec<User>,
    /// What to ask for next, as `after`; absent at the end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}

/// What a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum Role {
    /// Everything.
    Admin,
    /// Read and write.
    Editor,
    /// Read.
    Viewer,
}

/// In which order users are listed. Who never logged in is before all who did.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize, JsonSchema)]
#[schemars(inline)]
pub enum UserSort {
    /// By name. It is so when nobody says.
    #[default]
    #[serde(rename = "displayName")]
    Name,
    /// By name, backwards.
    #[serde(rename = "-displayName")]
    NameBackwards,
    /// By address.
    #[serde(rename = "email")]
    Email,
    /// By address, backwards.
    #[serde(rename = "-email")]
    EmailBackwards,
    /// Who was registered first comes first.
    #[serde(rename = "createdAt")]
    Created,
    /// Who was registered last comes first.
    #[serde(rename = "-createdAt")]
    CreatedLast,
    /// Who changed least lately comes first.
    #[serde(rename = "updatedAt")]
    Updated,
    /// Who changed last comes first.
    #[serde(rename = "-updatedAt")]
    UpdatedLast,
    /// Who logged in least lately comes first.
    #[serde(rename = "lastLoginAt")]
    LoggedIn,
    /// Who logged in last comes first.
    #[serde(rename = "-lastLoginAt")]
    LoggedInLast,
}

/// Register a user. It is a Viewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct NewUser {
    /// Its address, which no other user has, whatever the case of its letters.
    #[schemars(schema_with = "words::email")]
    pub email: String,
    /// What it wants to be called.
    #[schemars(schema_with = "words::display_name")]
    pub display_name: String,
}

/// Change the address or the name of a user: what is absent is as it was. Neither can be cleared.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct UserPatch {
    /// Its address from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::email")]
    pub email: Option<String>,
    /// What it wants to be called from here on.
    #[serde(default, deserialize_with = "edit::present", skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "words::display_name")]
    pub display_name: Option<String>,
}

/// Change what a user may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
#[schemars(deny_unknown_fields)]
pub struct UserRole {
    /// What it is from here on.
    pub role: Role,
}

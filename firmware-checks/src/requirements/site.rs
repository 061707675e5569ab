//! What the appliance uses of the site configuration.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::Need;
use crate::site::Site;

/// What the appliance uses of the site configuration (`site.fields`); absent: it uses nothing of that.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct SiteNeeds {
    /// How many users work with it at the same time, `concurrent_users`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_users: Option<Need>,
    /// A database, `[database]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Need>,
    /// A folder or bucket for its files, `[object_storage]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_storage: Option<Need>,
    /// Somebody who is told when something fails, `[alert]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<Need>,
    /// A place that its data is saved to, `[backup]`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<Need>,
    /// What it alone asks for, `[values]`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub values: Vec<Value>,
}

/// Something that this appliance alone asks for: a line, kept as a secret.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Value {
    /// Its name in `[values]`: lower-case letters, digits and underscores.
    pub name: String,
    /// What it is, in one line for the admin.
    pub title: String,
    /// Whether the appliance can't do without.
    #[serde(default)]
    pub need: Need,
    /// Whether the machine makes one by itself where the site gives none: 128 random bits as 32 hexadecimal digits, kept on
    /// the machine.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub generate: bool,
}

/// A part of the configuration that the appliance uses.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Use {
    /// What it is called in `site.toml`.
    pub field: String,
    /// What it is.
    pub title: String,
    /// Whether the appliance can't do without.
    pub need: Need,
    /// Whether the site gives it.
    pub given: bool,
    /// Whether the machine makes one where it does not.
    pub generated: bool,
}

impl SiteNeeds {
    /// Everything that the appliance uses, and whether `site` gives it.
    #[must_use]
    pub fn uses(&self, site: &Site) -> Vec<Use> {
        let parts = [
            ("concurrent_users", "users at the same time", self.concurrent_users, site.concurrent_users.is_some()),
            ("database", "a database", self.database, site.database.is_some()),
            ("object_storage", "a folder or bucket for files", self.object_storage, site.object_storage.is_some()),
            ("alert", "who is told when something fails", self.alert, site.alert.is_some()),
            ("backup", "where the data is saved to", self.backup, site.backup.is_some()),
        ];
        let parts = parts.into_iter().filter_map(|(field, title, need, given)| {
            Some(Use { field: field.to_owned(), title: title.to_owned(), need: need?, given, generated: false })
        });
        let values = self.values.iter().map(|value| Use {
            field: format!("values.{}", value.name),
            title: value.title.clone(),
            need: value.need,
            given: site.values.contains_key(&value.name),
            generated: value.generate,
        });
        parts.chain(values).collect()
    }

    /// Whether the appliance can't start on a machine without a site configuration.
    #[must_use]
    pub fn any_required(&self) -> bool {
        self.uses(&Site::default()).iter().any(|used| used.need == Need::Required && !used.generated)
    }
}

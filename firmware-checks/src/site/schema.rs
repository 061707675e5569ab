//! The fields of `site.toml`.

use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// One installation's configuration.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Site {
    /// The machine's host name: one or more lower-case DNS labels, such as `rack7-u12.clinic.example`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hostname: Option<String>,
    /// Names under which clients reach the appliance, when they differ from the host name (`tls.names`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// How the machine gets its address.
    pub network: Network,
    /// Where it gets the time from.
    pub time: Time,
    /// Who may log in.
    pub admin: Admin,
}

/// How the machine gets its address.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// The interface by kernel name or hardware address; absent: every wired interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// A fixed address; absent: DHCP and router advertisements.
    #[serde(rename = "static", skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Addressing>,
}

/// A fixed address.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Addressing {
    /// Addresses with prefix length, such as `10.3.7.12/24`.
    pub addresses: Vec<String>,
    /// The default gateway.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gateway: Option<IpAddr>,
    /// Name servers.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub dns: Vec<IpAddr>,
}

/// Where the machine gets the time from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Time {
    /// NTP servers by name or address; absent: what DHCP offers, then the distribution's.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ntp: Vec<String>,
}

/// Who may log in as `admin`. Without either field the console offers enrolment, once.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Admin {
    /// Public keys as in `authorized_keys`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh_keys: Vec<String>,
    /// A crypt (5) hash for the console, as `mkpasswd` prints it; never used over the network.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password_hash: Option<String>,
}

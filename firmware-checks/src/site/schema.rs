//! The fields of `site.toml`.

use std::collections::BTreeMap;
use std::net::IpAddr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Alert, Backup, Cluster, Containers, DataDisk, Database, ObjectStorage, Proxy, Registry, Secret};

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
    /// How many users work with the appliance at the same time, at most; what the machine must be may go by it.
    #[schemars(range(min = 1))]
    #[serde(skip_serializing_if = "Option::is_none")]
    pub concurrent_users: Option<u32>,
    /// How the machine gets its address.
    pub network: Network,
    /// Where it gets the time from.
    pub time: Time,
    /// Who may log in.
    pub admin: Admin,
    /// The database that the appliance keeps its data in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub database: Option<Database>,
    /// Where the appliance keeps its files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub object_storage: Option<ObjectStorage>,
    /// Disks for the appliance's data folders, besides the one that the machine runs from.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub disks: Vec<DataDisk>,
    /// The way out, where it must be asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub proxy: Option<Proxy>,
    /// Registries of container images: mirrors and logins.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub registries: Vec<Registry>,
    /// The machine's place in a cluster of several.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cluster: Option<Cluster>,
    /// The addresses that containers have among themselves.
    pub containers: Containers,
    /// Where word is sent to when something fails.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub alert: Option<Alert>,
    /// Where and when the appliance's data is saved to.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup: Option<Backup>,
    /// What this appliance alone asks for, by the names that its recipe gives; each counts as a secret.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub values: BTreeMap<String, Secret>,
}

/// How the machine gets its addresses.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Network {
    /// The interface by kernel name or hardware address; absent: the `bond`, or every wired interface.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub interface: Option<String>,
    /// Several interfaces that act as one, called `bond0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bond: Option<Bond>,
    /// A fixed address; absent: DHCP and router advertisements.
    #[serde(rename = "static", skip_serializing_if = "Option::is_none")]
    pub fixed: Option<Addressing>,
    /// Whether the machine has an address outside its VLANs, too.
    #[serde(skip_serializing_if = "Clone::clone")]
    pub untagged: bool,
    /// VLANs (IEEE 802.1Q) of the interface or bond, each an interface called `vlan` and its number.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub vlans: Vec<Vlan>,
}

impl Default for Network {
    fn default() -> Self {
        Self { interface: None, bond: None, fixed: None, untagged: true, vlans: Vec::new() }
    }
}

impl Network {
    /// Every fixed address with its prefix length, as it is written.
    pub fn addresses(&self) -> impl Iterator<Item = &str> {
        self.addressings().flat_map(|fixed| &fixed.addresses).map(String::as_str)
    }

    /// Every table `static`.
    pub fn addressings(&self) -> impl Iterator<Item = &Addressing> {
        self.fixed.iter().chain(self.vlans.iter().filter_map(|vlan| vlan.fixed.as_ref()))
    }
}

/// Several interfaces that act as one.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Bond {
    /// Its interfaces, by kernel name or hardware address.
    pub interfaces: Vec<String>,
    /// How they share the work; the switch must know of all but `active-backup`, `balance-tlb` and `balance-alb`.
    #[serde(default)]
    pub mode: BondMode,
}

/// How the interfaces of a bond share the work: the kernel's names (Documentation/networking/bonding.rst).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum BondMode {
    /// One works, another takes over where it fails.
    #[default]
    ActiveBackup,
    /// LACP (IEEE 802.1AX).
    #[serde(rename = "802.3ad")]
    Lacp,
    /// By the hardware addresses of both ends.
    BalanceXor,
    /// By load, for what is sent.
    BalanceTlb,
    /// By load, for what is sent and received.
    BalanceAlb,
}

impl BondMode {
    /// The kernel's name.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::ActiveBackup => "active-backup",
            Self::Lacp => "802.3ad",
            Self::BalanceXor => "balance-xor",
            Self::BalanceTlb => "balance-tlb",
            Self::BalanceAlb => "balance-alb",
        }
    }
}

/// A VLAN.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Vlan {
    /// Its number, 1 to 4094.
    #[schemars(range(min = 1, max = 4094))]
    pub id: u16,
    /// A fixed address in it; absent: DHCP and router advertisements.
    #[serde(default, rename = "static", skip_serializing_if = "Option::is_none")]
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
    pub password_hash: Option<Secret>,
}

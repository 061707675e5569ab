//! The one vocabulary of requirements: the recipe embeds [`Requirements`], the builder validates them, and the
//! service in the image evaluates them. Nothing can be required here that no check in [`crate::checks`] reads.

mod egress;
pub mod site;
mod sizing;

use std::net::IpAddr;

pub use egress::{Egress, NotAsked};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
pub use site::SiteNeeds;
pub use sizing::Sizing;

use crate::units::Size;

/// Everything an appliance asks of its machine, its network and its certificates.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct Requirements {
    /// Logical processors (`cpu.cores`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu: Option<Count>,
    /// Physical memory (`memory.total`).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory: Option<Amount>,
    /// Processors and memory by how many work with it at the same time (`concurrent_users` of the site), in place of `cpu` and
    /// `memory`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub sizes: Vec<Sizing>,
    /// Folders for data, each with what its file system must offer (`disk.size`, `disk.free`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<DataFolder>,
    /// How the machine must have been started (`firmware.boot`).
    pub boot: Boot,
    /// How sure the clock must be (`time.synchronised`).
    pub clock: Clock,
    /// Whether the machine must have a default route (`network.route`).
    pub default_route: Need,
    /// Ports that the appliance serves. The firewall opens these and nothing else.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ports: Vec<Port>,
    /// Servers of others that the machine must reach (`egress.reachable`).
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub egress: Vec<Egress>,
    /// The certificate that the site must bring (`tls.*`); absent where the appliance needs none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tls: Option<Tls>,
    /// What the appliance uses of the site configuration (`site.fields`).
    #[serde(skip_serializing_if = "is_nothing")]
    pub site: SiteNeeds,
}

fn is_nothing(needs: &SiteNeeds) -> bool {
    *needs == SiteNeeds::default()
}

/// A least number, and a number from which there is no warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Count {
    /// Fewer than this fails.
    pub minimum: u32,
    /// Fewer than this warns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommended: Option<u32>,
}

/// A least size, and a size from which there is no warning.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Amount {
    /// Less than this fails.
    pub minimum: Size,
    /// Less than this warns.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommended: Option<Size>,
}

/// A folder that holds the appliance's data. Where several lie on one file system, what they ask adds up.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DataFolder {
    /// A short name that stays the same in every report, such as `fast`.
    pub name: String,
    /// Absolute path on the machine.
    pub path: String,
    /// Size of the file system that holds it: less fails (`disk.size`).
    pub minimum: Size,
    /// Less than this warns (`disk.size`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recommended: Option<Size>,
    /// Space that must be free before the platform first starts (`disk.free`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub free: Option<Size>,
    /// Whether its disk should be a solid-state drive (`disk.kind`).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub solid_state: Option<Need>,
}

/// How the machine must have been started.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Boot {
    /// Reported, never required.
    #[default]
    Any,
    /// UEFI, with or without Secure Boot.
    Uefi,
    /// UEFI with Secure Boot enforced.
    Secure,
}

/// How sure the clock must be before the gate may open.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// A clock that nothing confirms, but that is later than the image's lock, warns.
    #[default]
    Plausible,
    /// Such a clock keeps the gate shut until NTP, PTP, the hypervisor or an admin confirms it.
    Required,
}

/// Whether something is required or only reported.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Need {
    /// Its absence fails.
    Required,
    /// Its absence warns.
    #[default]
    Recommended,
}

/// A transport protocol of a [`Port`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
#[schemars(extend("x-hint" = "an application's protocol, such as HTTPS or DICOM, runs over one of these; its name goes into `name`"))]
pub enum Protocol {
    /// TCP (RFC 9293).
    #[default]
    Tcp,
    /// UDP (RFC 768).
    Udp,
    /// SCTP (RFC 9260).
    Sctp,
}

/// A port that the appliance serves to others.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Port {
    /// A short name that stays the same in every report, such as `https`.
    pub name: String,
    /// 1 to 65535, as seen from outside.
    #[schemars(range(min = 1))]
    pub port: u16,
    /// `tcp` unless said otherwise.
    #[serde(default)]
    pub protocol: Protocol,
    /// Who may reach it: networks such as `10.0.0.0/8` or `2001:db8::/32`, or the words `any` and `local`
    /// (`local`: the networks that the machine's own interfaces are in). Empty stands for `any`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub from: Vec<String>,
    /// Whether the port must answer once the platform has started (`ports.listening`).
    #[serde(default = "yes")]
    pub promised: bool,
    /// Who holds the port: the platform that the gate starts, or the system itself (such as sshd), which
    /// may hold it while the gate is shut (`ports.free`).
    #[serde(default)]
    pub owner: Owner,
}

fn yes() -> bool {
    true
}

/// Who listens on a [`Port`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Owner {
    /// The platform behind the gate.
    #[default]
    Platform,
    /// A service of the operating system that runs whether or not the gate is open.
    System,
}

/// The certificate that the site must bring.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Tls {
    /// `production`: a self-signed certificate fails; `test`: it warns (`tls.self_signed`).
    #[serde(default)]
    pub mode: TlsMode,
    /// Days before its end from which a certificate warns (`tls.validity`).
    #[serde(default = "thirty")]
    pub warn_days: u32,
    /// Whether the certificate must name the site's IP addresses too, because clients use those (`tls.names`).
    #[serde(default)]
    pub reached_by_address: bool,
    /// Whether clients know no authority but the public ones, as phones do: another one warns (`tls.public`).
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub public: bool,
}

impl Default for Tls {
    fn default() -> Self {
        Self { mode: TlsMode::default(), warn_days: thirty(), reached_by_address: false, public: false }
    }
}

fn thirty() -> u32 {
    30
}

/// How strict `tls.self_signed` is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum TlsMode {
    /// Patients, customers or users depend on it.
    #[default]
    Production,
    /// A trial installation.
    Test,
}

/// A source in [`Port::from`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// From everywhere.
    Any,
    /// From the networks that the machine's own interfaces are in.
    Local,
    /// From one network: address and prefix length in bits.
    Network(IpAddr, u8),
}

impl Port {
    /// The sources that `from` names.
    ///
    /// # Errors
    /// The first entry that is neither a word nor a network, with what was expected.
    pub fn sources(&self) -> Result<Vec<Source>, NotASource> {
        if self.from.is_empty() {
            return Ok(vec![Source::Any]);
        }
        self.from.iter().map(|text| text.parse()).collect()
    }
}

/// An entry of [`Port::from`] that could not be read.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a source: expected `any`, `local`, or a network such as `10.0.0.0/8` or `2001:db8::/32`")]
pub struct NotASource(pub String);

impl std::str::FromStr for Source {
    type Err = NotASource;

    fn from_str(text: &str) -> Result<Self, NotASource> {
        let wrong = || NotASource(text.to_owned());
        match text {
            "any" => return Ok(Self::Any),
            "local" => return Ok(Self::Local),
            _ => {}
        }
        let (address, prefix) = match text.split_once('/') {
            Some((address, prefix)) => (address, Some(prefix)),
            None => (text, None),
        };
        let address: IpAddr = address.parse().map_err(|_| wrong())?;
        let most = if address.is_ipv4() { 32 } else { 128 };
        let prefix = prefix.map_or(Ok(most), |bits| bits.parse().map_err(|_| wrong()))?;
        if prefix > most {
            return Err(wrong());
        }
        Ok(Self::Network(address, prefix))
    }
}

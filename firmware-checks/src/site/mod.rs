//! Site configuration: what this one installation is given, apart from the image that serves a thousand machines.
//!
//! It comes on a medium labelled `SITE` (the image's own partition, or a stick), as `site.toml` with the
//! certificate, the key and perhaps a private CA beside it, and is kept in [`DIRECTORY`]. In a cloud it comes by that cloud's own
//! medium or metadata service ([`cloud`]).
//!
//! Its way: a [`medium`] is found and mounted; [`import`] decides whether the machine takes what lies there, and keeps it
//! as one [`bundle`]; [`wipe`] takes it off the image's own partition; [`apply`] puts it into effect, at every boot.

mod alert;
pub mod apply;
mod backup;
pub mod bundle;
pub mod cloud;
mod cluster;
mod containers;
mod data_disk;
pub mod database;
mod fat_label;
pub mod field;
mod host_name;
pub mod import;
mod iso_label;
mod load;
pub mod medium;
mod object_storage;
mod password;
mod proxy;
mod redact;
mod registry;
mod rules;
mod schema;
mod secret;
mod ssh_key;
mod status;
mod values;
pub mod wipe;

pub use alert::{Alert, Email, Syslog, Transport};
pub use backup::{Backup, Day, Nfs, Sftp};
pub use cluster::Cluster;
pub use containers::{Containers, overlap};
pub use data_disk::DataDisk;
pub use database::{Database, Kind as DatabaseKind, Location};
pub use load::{Error, load, parse};
pub use object_storage::{ObjectStorage, S3};
pub use proxy::Proxy;
pub use registry::{DOCKER_HUB, Registry};
pub use rules::{interface_address, network};
pub use schema::{Addressing, Admin, Bond, BondMode, Network, Site, Time, Vlan};
pub use secret::{HIDDEN, Secret};
pub use status::{ERROR, Status, status};
pub use values::is_name as is_value_name;

/// Where the imported configuration lies on the machine; root's, mode 0700.
pub const DIRECTORY: &str = "/etc/firstlight/site";
/// The volume label of a medium that carries a configuration.
pub const LABEL: &str = "SITE";
/// The configuration itself.
pub const CONFIGURATION: &str = "site.toml";
/// The certificate chain, leaf first, PEM.
pub const CERTIFICATE: &str = "tls.crt";
/// The certificate's private key, PEM, not encrypted; mode 0600.
pub const KEY: &str = "tls.key";
/// Certificates of a private CA to trust besides the system's, PEM; optional.
pub const AUTHORITY: &str = "ca.crt";
/// Every file that a configuration may consist of; those with secrets first.
pub const FILES: [&str; 4] = [KEY, CERTIFICATE, AUTHORITY, CONFIGURATION];

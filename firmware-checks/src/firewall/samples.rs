//! What the tests of this room share.

use crate::appliance::{Appliance, OsRelease, Platform};
use crate::requirements::{Owner, Port, Protocol, Requirements};

pub fn port(name: &str, port: u16, from: &[&str]) -> Port {
    let from = from.iter().map(ToString::to_string).collect();
    Port { name: name.into(), port, protocol: Protocol::Tcp, from, promised: true, owner: Owner::Platform }
}

pub fn appliance(ports: Vec<Port>) -> Appliance {
    Appliance {
        name: "sample".into(),
        version: "1".into(),
        base: "debian-13".into(),
        os: OsRelease { id: "debian".into(), version_id: "13".into() },
        cpu_level: None,
        locked: jiff::Timestamp::UNIX_EPOCH,
        platform: Platform::Docker { probe_image: "probe".into(), projects: vec![] },
        boot: crate::boot_loader::BootLoader::sample(),
        requirements: Requirements { ports, ..Requirements::default() },
    }
}

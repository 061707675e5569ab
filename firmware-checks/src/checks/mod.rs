//! The catalogue: one file for each thing that is looked at, each with the checks that look at it.

pub mod admin;
#[cfg(test)]
mod appliances;
pub mod boot;
pub mod clock;
pub mod cluster;
pub mod container;
pub mod containers;
pub mod cpu;
pub mod disk;
pub mod egress;
pub mod firewall;
pub mod firmware;
pub mod k3s;
pub mod memory;
mod microk8s;
pub mod network;
pub mod os;
pub mod ports;
pub mod run;
mod server;
pub mod services;
pub mod site;
pub mod tls;

use crate::check::Check;

/// Every check, in the order in which they run and are reported.
pub fn all() -> impl Iterator<Item = &'static Check> {
    [
        site::CHECKS,
        admin::CHECKS,
        cpu::CHECKS,
        memory::CHECKS,
        disk::CHECKS,
        firmware::CHECKS,
        boot::CHECKS,
        os::CHECKS,
        clock::CHECKS,
        network::CHECKS,
        egress::CHECKS,
        services::CHECKS,
        cluster::CHECKS,
        ports::CHECKS,
        firewall::CHECKS,
        tls::CHECKS,
        container::CHECKS,
        k3s::CHECKS,
        containers::CHECKS,
    ]
    .into_iter()
    .flatten()
}

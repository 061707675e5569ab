//! What runs behind the gate: what each platform adds to a root file system.

pub mod container;
pub mod docker;
pub mod k3s;
pub mod microk8s;

//! The few things that a first boot must do before anything can be judged, and the renewal of the boot loader.

pub mod cluster_secrets;
pub mod compose;
pub mod data_disks;
pub mod given;
pub mod grow;
pub mod images;
pub mod level;
pub mod place;
pub mod renew;
pub mod ssh_keys;

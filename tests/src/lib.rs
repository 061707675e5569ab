//! What the end-to-end tests share: the image under test, a site for it, a machine that runs it, an archive that
//! fails as archives do, and the tools of others that judge what came out.

pub mod account;
pub mod certificates;
pub mod drivers;
pub mod firmware;
pub mod guest;
pub mod image;
pub mod judge;
pub mod mirror;
pub mod ntp;
pub mod renewal;
pub mod rpm_distribution;
pub mod site;
pub mod snap_authority;
pub mod snap_store;
pub mod tree;
pub mod ubuntu_archive;
pub mod write_log;

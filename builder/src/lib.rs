//! Firstlight turns a recipe into a bootable disk image.
//!
//! The modules in the order of the data: a [`recipe`] names what is wanted; the [`archive`] says which packages
//! that takes, and a [`lock`] keeps it; the [`store`] holds every download by its digest; the [`sandbox`] runs the distribution's own
//! tools, by which [`rootfs`] makes a root file system and [`platform`] adds what runs behind the gate; [`disk`]
//! lays it onto a disk, [`image`] turns that into what is handed out, and [`boot`] tries it in QEMU. A [`site`] is what one
//! machine is given besides.

pub mod archive;
pub mod artifact;
pub mod base_check;
pub mod boot;
pub mod build;
pub mod cache;
pub mod cli;
pub mod disk;
pub mod image;
pub mod lock;
pub mod neighbours;
mod parallel;
pub mod plan;
pub mod platform;
pub mod progress;
pub mod recipe;
pub mod rootfs;
pub mod sandbox;
pub mod site;
pub mod snap;
pub mod sparse;
pub mod stage;
pub mod static_program;
pub mod store;
pub mod tools;

#[cfg(test)]
#[path = "../../tests/src/mirror.rs"]
#[allow(dead_code)]
mod mirror;

//! Lays a root file system onto a disk: partitions, file systems, boot loader.

pub mod fat;

//! Tries an image in QEMU before it is flashed.

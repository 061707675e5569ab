//! The account `admin`: who may log in as it, and how the first one comes to a password at the console.

mod access;
mod dialog;
mod enrol;

pub use access::{Access, Account, NAME, access, account};
pub use dialog::{LEAST, Stopped, ask};
pub use enrol::{ENROLLED, Enrolled, Error, chpasswd, commit, enrolled, may_enrol};

//! What an appliance requires, whether this machine meets it, and how to tell an admin.
//!
//! The way of the data: [`appliance`] (what the image was built to be) and [`site`] (what this installation is
//! given) go, together with what [`facts`] reads from the machine, through [`checks`]; the findings become a
//! [`report`]; the [`gate`] reads the report and decides whether the platform may start. [`firewall`] holds the
//! rule set that the appliance's ports stand for, [`machine`] does the few things that a first boot must do
//! before anything can be judged, and [`admin`] knows who may log in.

pub mod admin;
pub mod appliance;
pub mod architecture;
pub mod boot_loader;
pub mod check;
pub mod checks;
pub mod cli;
pub mod command;
pub mod console;
pub mod cpu_level;
pub mod document;
pub mod facts;
pub mod fat;
pub mod files;
pub mod firewall;
pub mod gate;
pub mod k3s;
pub mod machine;
pub mod ordered;
pub mod report;
pub mod requirements;
pub mod selinux;
pub mod site;
pub mod units;
pub mod waivers;

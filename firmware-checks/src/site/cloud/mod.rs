//! What a cloud hands to its machines, as a way for the site configuration: on a medium of its own, or by its metadata service.
//!
//! The service is asked only where the firmware's own tables name that cloud, which nobody on a network can make them do.

mod azure;
mod metadata;
mod unpack;

pub use metadata::{Error, Service};
pub use unpack::{Foreign, unpack};

use crate::facts::Machine;

/// A cloud whose metadata service is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cloud {
    /// Amazon EC2.
    Amazon,
    /// Microsoft Azure.
    Azure,
    /// Google Compute Engine.
    Google,
    /// One that OpenStack makes.
    OpenStack,
}

/// The chassis asset tag of every machine of Azure.
const AZURE: &str = "7783-7084-3265-9085-8269-3286-77";
/// Product names, or asset tags, of machines that OpenStack makes.
const OPENSTACK: [&str; 5] =
    ["OpenStack Nova", "OpenStack Compute", "OpenTelekomCloud", "SAP CCloud VM", "HUAWEICLOUD"];

impl Cloud {
    /// The cloud that `machine`'s firmware names; most machines are in none.
    #[must_use]
    pub fn of(machine: &Machine) -> Option<Self> {
        let told = |file: &str| machine.told(&format!("/sys/class/dmi/id/{file}")).unwrap_or_default();
        let (vendor, product, tag) = (told("sys_vendor"), told("product_name"), told("chassis_asset_tag"));
        match () {
            () if vendor == "Amazon EC2" => Some(Self::Amazon),
            () if tag == AZURE => Some(Self::Azure),
            () if product == "Google Compute Engine" => Some(Self::Google),
            () if OPENSTACK.contains(&product.as_str()) || OPENSTACK.contains(&tag.as_str()) => Some(Self::OpenStack),
            () => None,
        }
    }

    /// Its name, for a person.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Amazon => "Amazon EC2",
            Self::Azure => "Microsoft Azure",
            Self::Google => "Google Compute Engine",
            Self::OpenStack => "OpenStack",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::facts::recorded::Recorded;

    fn of(files: &[(&str, &str)]) -> Option<Cloud> {
        let recorded = files
            .iter()
            .fold(Recorded::new(), |recorded, (file, text)| recorded.file(&format!("/sys/class/dmi/id/{file}"), text));
        Cloud::of(&recorded.machine())
    }

    #[test]
    fn only_the_firmware_names_a_cloud() {
        assert_eq!(of(&[("sys_vendor", "Amazon EC2\n"), ("product_name", "m5.large\n")]), Some(Cloud::Amazon));
        assert_eq!(of(&[("chassis_asset_tag", AZURE)]), Some(Cloud::Azure));
        assert_eq!(of(&[("sys_vendor", "Google"), ("product_name", "Google Compute Engine\n")]), Some(Cloud::Google));
        assert_eq!(of(&[("product_name", "OpenStack Nova\n")]), Some(Cloud::OpenStack));
        assert_eq!(of(&[("chassis_asset_tag", "OpenTelekomCloud\n")]), Some(Cloud::OpenStack));
        for (vendor, product) in [
            ("Dell Inc.", "PowerEdge R650"),
            ("QEMU", "Standard PC"),
            ("Microsoft Corporation", "Virtual Machine"),
            ("", ""),
        ] {
            assert_eq!(of(&[("sys_vendor", vendor), ("product_name", product)]), None, "{vendor}");
        }
        assert_eq!(of(&[]), None);
    }
}

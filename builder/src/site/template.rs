//! The beginning of a `site.toml`, for one appliance.

use super::parts;
use crate::recipe::platform::Platform;
use crate::recipe::schema::Recipe;

/// A commented `site.toml` for the appliance `recipe`: valid as it is, with what an admin will most likely want to set.
#[must_use]
pub fn template(recipe: &Recipe) -> String {
    let Recipe { name, version, .. } = recipe;
    let certificates = recipe.requirements.tls.as_ref().map_or(String::new(), |tls| {
        let address = if tls.reached_by_address { ", and this machine's fixed address (as an IP address)" } else { "" };
        format!(
            "#\n# This appliance needs a certificate. Put beside this file:\n\
             #   tls.crt   the certificate for the name below{address}, then those of its\n\
             #             authorities up to the root, in PEM\n\
             #   tls.key   its private key, in PEM, without a passphrase\n\
             #   ca.crt    only if your own authority signed it: that authority's certificate, in PEM\n"
        )
    });
    let names = if recipe.requirements.tls.is_some() {
        "\n# Names under which clients reach it, where they are others than the host name. The certificate must cover them.\n\
         #names = [\"imaging.clinic.example\"]\n"
    } else {
        ""
    };
    let needs = &recipe.requirements.site;
    let (keys, tables, reach) = (parts::keys(needs), parts::tables(needs), parts::REACH);
    let disks = parts::disks(&recipe.requirements.data);
    let cluster = match recipe.platform {
        Platform::K3s(_) => parts::CLUSTER,
        _ => "",
    };
    format!(
        r#"# Site configuration of one machine: {name} {version}
#
# Judge it:     firstlight site check FOLDER RECIPE
# Hand it over: copy this folder's files onto the image's partition SITE after flashing, or onto a stick with
#               the volume label SITE; or into an image file: firstlight site put IMAGE FOLDER
{certificates}
# The machine's name: lower-case letters, digits, hyphens, dots.
hostname = "{name}"
{names}{keys}
[network]
# The interface, by name or hardware address. Without it: every wired one, or the only one there is.
#interface = "52:54:00:12:34:56"

# A fixed address. Without this table: DHCP and IPv6 router advertisements.
#[network.static]
#addresses = ["10.3.7.12/24"]
#gateway = "10.3.7.1"
#dns = ["10.3.7.1"]

# Two cards as one, in place of `interface`. Modes: active-backup, 802.3ad (LACP), balance-xor, balance-tlb, balance-alb.
#[network.bond]
#interfaces = ["52:54:00:12:34:56", "52:54:00:12:34:57"]
#mode = "802.3ad"

# A VLAN, with a table `static` of its own or DHCP. With `untagged = false` above [network.static], it is all there is.
#[[network.vlans]]
#id = 42
#static = {{ addresses = ["10.3.8.12/24"] }}

[time]
# Time servers, by name or address. Without them: what DHCP offers, then the distribution's.
#ntp = ["ntp.clinic.example"]

[admin]
# Who may log in as `admin` over SSH: lines as in authorized_keys.
#ssh_keys = ["ssh-ed25519 AAAA... you@office"]
# The password for the console, hashed, between single quotes: mkpasswd, or openssl passwd -6.
# It is never used over the network.
#password_hash = '$6$...'
{tables}{disks}{cluster}{reach}"#
    )
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use firmware_checks::site::parse;

    use super::*;

    fn recipe(requirements: &str) -> Recipe {
        let text =
            format!("name = 'hello'\nversion = '1'\nbases = ['b']\nplatform = {{ kind = 'docker' }}\n{requirements}");
        toml::from_str(&text).unwrap()
    }

    #[test]
    fn the_beginning_is_valid_and_so_is_each_proposal() {
        let text = template(&recipe("requirements = { tls = {} }"));
        assert_eq!(parse(Path::new("site.toml"), text.as_bytes()).unwrap().hostname.as_deref(), Some("hello"));
        // All but the key and the hash, which nobody can make up.
        let fixed = ["#[network.static]", "#addresses", "#gateway", "#dns"];
        let links = ["#[network.bond]", "#interfaces", "#mode", "#[[network.vlans]]", "#id", "#static"];
        let proposals = ["#names", "#ntp"].iter().chain(&fixed).chain(&links);
        let all = proposals.fold(text, |text, proposal| {
            assert!(text.contains(&format!("\n{proposal}")), "{proposal}");
            text.replace(&format!("\n{proposal}"), &format!("\n{}", &proposal[1..]))
        });
        let site = parse(Path::new("site.toml"), all.as_bytes()).unwrap();
        let network = &site.network;
        assert!(
            network.fixed.is_some() && network.bond.is_some() && network.vlans.len() == 1 && !site.names.is_empty()
        );
    }

    #[test]
    fn a_cluster_is_spoken_of_where_the_platform_can_have_one() {
        assert!(!template(&recipe("")).contains("[cluster]"));
        let k3s = "kind = 'k3s', version = 'v1.33.1+k3s1', binary = 'k3s'";
        let text = format!("name = 'x'\nversion = '1'\nbases = ['b']\nplatform = {{ {k3s} }}\n");
        let text = template(&toml::from_str(&text).unwrap());
        let proposals = ["#[cluster]", "#role", "#server", "#token", "#nodes"];
        let text = proposals
            .iter()
            .fold(text, |text, proposal| text.replace(&format!("\n{proposal}"), &format!("\n{}", &proposal[1..])));
        let site = parse(Path::new("site.toml"), text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(site.cluster.unwrap().nodes.len(), 2);
    }

    #[test]
    fn a_disk_is_spoken_of_for_each_folder_that_may_have_one() {
        let folder = |name, path| format!("{{ name = '{name}', path = '{path}', minimum = '1 GB' }}");
        let data = [folder("data", "/srv"), folder("fast", "/srv/fast")].join(", ");
        let text = template(&recipe(&format!("requirements = {{ data = [{data}] }}")));
        let text = ["#[[disks]]", "#folder", "#id = \"nvme"]
            .iter()
            .fold(text, |text, proposal| text.replace(&format!("\n{proposal}"), &format!("\n{}", &proposal[1..])));
        let site = parse(Path::new("site.toml"), text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        assert_eq!(site.disks.iter().map(|disk| disk.folder.as_str()).collect::<Vec<_>>(), ["fast"]);
        assert!(
            !template(&recipe(&format!("requirements = {{ data = [{}] }}", folder("data", "/srv"))))
                .contains("[[disks]]")
        );
    }

    #[test]
    fn certificates_are_spoken_of_where_the_appliance_needs_them() {
        assert!(!template(&recipe("")).contains("tls."));
        assert!(template(&recipe("requirements = { tls = {} }")).contains("tls.key"));
        let by_address = template(&recipe("requirements = { tls = { reached_by_address = true } }"));
        assert!(by_address.contains("as an IP address"));
    }
}

//! GRUB's configuration.
//!
//! The menu lies at [`FOLDER`]`/grub.cfg` and never changes: it boots what the links `vmlinuz` and `initrd.img` point to,
//! which the distribution's kernel packages keep (linux-base), and offers `vmlinuz.old` beside it. It does not lie in
//! `/boot/grub`, because the kernel packages' hook calls `update-grub` as soon as there is a `/boot/grub/grub.cfg`, and that would
//! rewrite the menu on the machine after probing its other disks.

use firmware_checks::machine::level::PROGRAM;
use uuid::Uuid;

use super::level;

/// The folder of the menu in the root file system.
const FOLDER: &str = "/boot/firstlight";

/// The menu.
pub const MENU: &str = "/boot/firstlight/grub.cfg";

/// What GRUB runs before anything else, on the ESP and in the BIOS core image: find the file system with the UUID `root`. It
/// lies beside the menu, as [`firmware_checks::boot_loader::EARLY`], so that the machine can renew both.
#[must_use]
pub fn early(root: Uuid) -> String {
    format!("search.fs_uuid {root} root\nset prefix=($root){FOLDER}\n")
}

/// How the machine's kernels are started.
#[derive(Clone, Copy, Debug)]
pub struct Kernel<'a> {
    /// What they are told besides their root.
    pub parameters: &'a str,
    /// Whether the archive that judges the processor comes behind each initramfs ([`level::ARCHIVE`]).
    pub has_level: bool,
    /// Whether GRUB has a driver for the machine's serial port, as for a PC's; else its console there is the firmware's.
    pub has_serial: bool,
}

const SERIAL: &str = "if serial --unit=0 --speed=115200 --word=8 --parity=no --stop=1; then
  terminal_input console serial
  terminal_output console serial
fi
";

/// The menu of a machine named `title`.
///
/// A serial port that GRUB has a driver for is used beside the screen where there is one: `serial` answers false, and does not wait, where there is none.
#[must_use]
pub fn menu(title: &str, root: Uuid, kernel: &Kernel<'_>) -> String {
    let parameters = kernel.parameters;
    let (first, level) = match kernel.has_level {
        true => (format!(" rdinit={PROGRAM}"), format!(" ($root){}", level::ARCHIVE)),
        false => (String::new(), String::new()),
    };
    let serial = if kernel.has_serial { SERIAL } else { "" };
    let title: String = title.chars().filter(|c| !matches!(c, '\'' | '\n' | '\r')).collect();
    format!(
        "# Made by Firstlight. Kernel upgrades need no change here: the links below are the packages' own.
set timeout=2
set default=0
set fallback=1
set gfxpayload=text
{serial}if [ -e ($root)/vmlinuz ]; then
  set links=($root)/
else
  set links=($root)/boot/
fi
export links
menuentry '{title}' {{
  linux ${{links}}vmlinuz root=UUID={root} {parameters}{first}
  initrd ${{links}}initrd.img{level}
}}
if [ -e ${{links}}vmlinuz.old ]; then
  menuentry '{title} (previous kernel)' {{
    linux ${{links}}vmlinuz.old root=UUID={root} {parameters}{first}
    initrd ${{links}}initrd.img.old{level}
  }}
fi
"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_menu_names_the_root_by_uuid_and_no_quote_escapes_its_title() {
        let root = Uuid::from_u128(0x1234);
        let kernel = Kernel { parameters: "ro console=ttyS0 gpt", has_level: false, has_serial: true };
        let with_level = super::menu("hello", root, &Kernel { has_level: true, ..kernel });
        assert_eq!(with_level.matches(" gpt rdinit=/firstlight-level\n").count(), 2);
        for initrd in
            ["initrd.img ($root)/boot/firstlight/level.img\n", "initrd.img.old ($root)/boot/firstlight/level.img\n"]
        {
            assert!(with_level.contains(initrd), "{with_level}");
        }
        let menu = menu("it's\nhello 1", root, &kernel);
        assert!(!menu.contains("rdinit") && !menu.contains("level.img"));
        assert!(menu.contains("menuentry 'itshello 1' {\n"), "{menu}");
        let line = format!("linux ${{links}}vmlinuz root=UUID={root} ro console=ttyS0 gpt\n");
        assert!(menu.contains(&line), "{menu}");
        let without = super::menu("hello", root, &Kernel { has_serial: false, ..kernel });
        assert!(menu.contains("serial") && !without.contains("serial") && !without.contains("terminal"));
        assert_eq!(menu.matches('{').count(), menu.matches('}').count());
    }
}

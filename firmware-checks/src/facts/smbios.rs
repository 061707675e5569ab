//! The firmware's table of memory devices (SMBIOS 3.7, DSP0134).

/// Structure types (§7).
const ARRAY: u8 = 16;
const DEVICE: u8 = 17;
const END: u8 = 127;

/// `Use` of a memory array (§7.17.2): system memory.
const SYSTEM_MEMORY: u8 = 3;

/// One structure: its formatted part, without the strings behind it.
#[derive(Clone, Copy)]
struct Structure<'a> {
    formatted: &'a [u8],
}

impl<'a> Structure<'a> {
    fn kind(self) -> Option<u8> {
        self.formatted.first().copied()
    }

    fn bytes<const N: usize>(self, offset: usize) -> Option<[u8; N]> {
        self.formatted.get(offset..offset + N)?.try_into().ok()
    }

    fn word(self, offset: usize) -> Option<u16> {
        self.bytes(offset).map(u16::from_le_bytes)
    }

    fn quad(self, offset: usize) -> Option<u64> {
        self.bytes(offset).map(u64::from_le_bytes)
    }
}

/// The structures of a table, up to its end or to the first that is damaged.
fn structures(table: &[u8]) -> impl Iterator<Item = Structure<'_>> {
    let mut rest = table;
    std::iter::from_fn(move || {
        let length = usize::from(*rest.get(1)?);
        let formatted = rest.get(..length).filter(|part| part.len() >= 4)?;
        let strings = rest.get(length..)?;
        // Behind the formatted part stand strings, each ended by a zero, and one more zero (§6.1.3).
        let end = strings.windows(2).position(|pair| pair == [0, 0])?;
        rest = strings.get(end + 2..)?;
        Some(Structure { formatted }).filter(|structure| structure.kind() != Some(END))
    })
}

/// Bytes of memory that is built into the machine as its main memory; `None` where the table (the content of
/// `/sys/firmware/dmi/tables/DMI`) tells nothing about it, or about one device does not say how large it is.
#[must_use]
pub fn memory(table: &[u8]) -> Option<u64> {
    let other: Vec<u16> = structures(table)
        .filter(|one| {
            one.kind() == Some(ARRAY) && one.bytes(5).is_some_and(|[function]: [u8; 1]| function != SYSTEM_MEMORY)
        })
        .filter_map(|one| one.word(2))
        .collect();
    let devices = structures(table).filter(|one| one.kind() == Some(DEVICE));
    let ours = devices.filter(|one| !one.word(4).is_some_and(|array| other.contains(&array)));
    let total = ours.map(size).try_fold(0_u64, |sum, size| sum.checked_add(size?))?;
    (total > 0).then_some(total)
}

/// Bytes of one memory device (§7.18); 0 for an empty slot, `None` where the firmware does not know.
fn size(device: Structure<'_>) -> Option<u64> {
    let plain = match device.word(0x0c)? {
        0 => return Some(0),
        0xffff => return None,
        0x7fff => {
            let mebibytes = u32::from_le_bytes(device.bytes(0x1c)?) & 0x7fff_ffff;
            u64::from(mebibytes) << 20
        }
        kibibytes if kibibytes & 0x8000 != 0 => u64::from(kibibytes & 0x7fff) << 10,
        mebibytes => u64::from(mebibytes) << 20,
    };
    // A module that keeps its content without power counts by the part that is used as memory.
    let known = |offset: usize| device.quad(offset).filter(|bytes| *bytes != u64::MAX);
    match (known(0x34), known(0x3c)) {
        (Some(lasting), Some(volatile)) if lasting > 0 => Some(volatile),
        _ => Some(plain),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    /// A memory device in the array 0x1000 with these values of Size and Extended Size.
    pub(crate) fn device(size: u16, extended: u32) -> Vec<u8> {
        let mut one = vec![0; 0x54];
        one[0] = DEVICE;
        one[1] = 0x54;
        one[4..6].copy_from_slice(&0x1000_u16.to_le_bytes());
        one[0x0c..0x0e].copy_from_slice(&size.to_le_bytes());
        one[0x1c..0x20].copy_from_slice(&extended.to_le_bytes());
        one.extend(b"DIMM 0\0\0");
        one
    }

    fn array(handle: u16, function: u8) -> Vec<u8> {
        let mut one = vec![0; 0x17];
        one[0] = ARRAY;
        one[1] = 0x17;
        one[2..4].copy_from_slice(&handle.to_le_bytes());
        one[5] = function;
        one.extend([0, 0]);
        one
    }

    const THE_END: [u8; 6] = [END, 4, 0, 0, 0, 0];

    /// Made by `smbios/record.py`.
    #[test]
    fn qemus_own_tables_tell_what_it_was_given() {
        assert_eq!(memory(include_bytes!("smbios/qemu-2048.bin")), Some(2 << 30));
        assert_eq!(memory(include_bytes!("smbios/qemu-20480.bin")), Some(20 << 30));
    }

    #[test]
    fn sizes_are_in_mebibytes_in_kibibytes_or_extended() {
        assert_eq!(memory(&[&device(2048, 0)[..], &THE_END].concat()), Some(2 << 30));
        assert_eq!(memory(&device(0x8000 | 512, 0)), Some(512 << 10));
        assert_eq!(memory(&device(0x7fff, 65536)), Some(64 << 30));
    }

    #[test]
    fn empty_slots_count_nothing_and_modules_add_up() {
        let table = [array(0x1000, SYSTEM_MEMORY), device(16384, 0), device(0, 0), device(16384, 0)].concat();
        assert_eq!(memory(&table), Some(32 << 30));
    }

    #[test]
    fn what_is_unknown_absent_or_no_main_memory_is_not_counted() {
        assert_eq!(memory(&device(0xffff, 0)), None);
        assert_eq!(memory(&THE_END), None);
        assert_eq!(memory(&[array(0x1000, 5), device(16, 0)].concat()), None, "flash memory");
    }

    #[test]
    fn a_persistent_module_counts_by_its_volatile_part() {
        let mut module = device(0x7fff, 128 << 10);
        module[0x34..0x3c].copy_from_slice(&(96_u64 << 30).to_le_bytes());
        module[0x3c..0x44].copy_from_slice(&(32_u64 << 30).to_le_bytes());
        assert_eq!(memory(&module), Some(32 << 30));
    }

    #[test]
    fn a_damaged_table_is_read_to_where_it_breaks_and_never_beyond() {
        let whole = [device(1024, 0), device(1024, 0)].concat();
        for cut in 0..whole.len() {
            assert!(memory(&whole[..cut]).is_none_or(|bytes| bytes <= 2 << 30), "cut at {cut}");
        }
        assert_eq!(memory(&[DEVICE, 2, 0, 0, 0, 0]), None);
    }
}

//! The volume label of an ISO 9660 file system (ECMA-119, §8.4).

use std::io::{self, Read, Seek, SeekFrom};

/// Volume descriptors begin at the 17th sector of 2048 bytes.
const DESCRIPTORS: u64 = 16 * 2048;

/// The label, without padding; nothing where this is no such file system or it has none.
///
/// # Errors
/// Reading failed.
pub fn iso_label<R: Read + Seek>(device: &mut R) -> io::Result<Option<String>> {
    let mut descriptor = [0; 72];
    device.seek(SeekFrom::Start(DESCRIPTORS))?;
    match device.read_exact(&mut descriptor) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        other => other?,
    }
    // The primary descriptor comes first (§8.4.1), its volume identifier is 32 bytes long.
    if descriptor[0] != 1 || &descriptor[1..6] != b"CD001" {
        return Ok(None);
    }
    let label = String::from_utf8_lossy(&descriptor[40..72]).trim_end_matches([' ', '\0']).to_owned();
    Ok(Some(label).filter(|label| !label.is_empty()))
}

#[cfg(test)]
mod tests {
    use std::io::Cursor;

    use super::*;

    #[test]
    fn the_label_is_that_of_the_primary_descriptor() {
        let mut image = vec![0; 40 << 10];
        assert_eq!(iso_label(&mut Cursor::new(&image)).unwrap(), None);
        image[32768..32774].copy_from_slice(b"\x01CD001");
        image[32768 + 40..32768 + 72].copy_from_slice(b"CIDATA                          ");
        assert_eq!(iso_label(&mut Cursor::new(&image)).unwrap().as_deref(), Some("CIDATA"));
        image[32768] = 2;
        assert_eq!(iso_label(&mut Cursor::new(&image)).unwrap(), None);
        assert_eq!(iso_label(&mut Cursor::new(b"short")).unwrap(), None);
    }
}

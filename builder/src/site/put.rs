//! A site configuration into the SITE partition of a raw image.

use std::fs::{File, OpenOptions};
use std::io::{self, Read};
use std::ops::Range;
use std::path::Path;

use firmware_checks::site::FILES;
use firmware_checks::site::bundle::Bundle;
use gpt::GptConfig;
use jiff::Timestamp;

use super::Error;
use firmware_checks::fat::Volume;

/// The name of the partition in the GPT.
const PARTITION: &str = "site";

/// Puts the configuration in `folder` into the SITE partition of the raw image `image`, in place of one that is there. The
/// partition is changed in memory first: what is not valid or does not fit leaves the image as it was.
///
/// # Errors
/// [`Error`].
pub fn put(image: &Path, folder: &Path) -> Result<(), Error> {
    let bundle = Bundle::read(folder)?;
    let told = |doing| move |source| Error::File { doing, path: image.to_path_buf(), source };
    let mut file = OpenOptions::new().read(true).write(true).open(image).map_err(told("opening"))?;
    let range = site_partition(image, &mut file)?;
    let fat = |source| Error::Fat { path: image.to_path_buf(), source };
    let mut volume = Volume::open(&file, range, Timestamp::now()).map_err(fat)?;
    for name in FILES {
        volume.remove(name).map_err(fat)?;
    }
    for (name, content) in bundle.files() {
        volume.write_file(name, content).map_err(fat)?;
    }
    volume.finish().map_err(fat)?;
    file.sync_all().map_err(told("writing"))
}

/// The bytes of `image` that its SITE partition has.
fn site_partition(image: &Path, file: &mut File) -> Result<Range<u64>, Error> {
    let not = |found: String, hint| Error::NotAnImage { path: image.to_path_buf(), found, hint };
    let mut magic = [0; 4];
    let read = file.read_exact(&mut magic);
    read.map_err(|source| Error::File { doing: "reading", path: image.to_path_buf(), source })?;
    if &magic == b"QFI\xfb" {
        return Err(not("it is a qcow2 image".into(), "make it raw first: qemu-img convert -O raw IMAGE IMAGE.raw"));
    }
    let table = GptConfig::new().writable(false).open_from_device(Box::new(file)).map_err(|error| {
        not(format!("no GPT ({error})"), "name the .raw file that `firstlight build` made, uncompressed")
    })?;
    let partition = table.partitions().values().find(|partition| partition.name == PARTITION);
    let partition = partition.ok_or_else(|| {
        not(format!("none of its partitions is named `{PARTITION}`"), "name an image that `firstlight build` made")
    })?;
    let bytes = |result: io::Result<u64>| {
        result.map_err(|error| not(error.to_string(), "name an image that `firstlight build` made"))
    };
    let start = bytes(partition.bytes_start(*table.logical_block_size()))?;
    Ok(start..start + bytes(partition.bytes_len(*table.logical_block_size()))?)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::process::Command;

    use sha2::{Digest, Sha256};

    use super::*;

    /// A disk of 20 MiB with a SITE partition of 16 MiB.
    fn image() -> (tempfile::TempDir, std::path::PathBuf) {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("disk.raw");
        let mut file = OpenOptions::new().read(true).write(true).create_new(true).open(&path).unwrap();
        file.set_len(20 << 20).unwrap();
        let mut table = GptConfig::new().writable(true).create_from_device(Box::new(&mut file), None).unwrap();
        table.add_partition(PARTITION, 16 << 20, gpt::partition_types::BASIC, 0, None).unwrap();
        table.write().unwrap();
        let range = site_partition(&path, &mut file_at(&path)).unwrap();
        Volume::format(&file, range, "SITE", 1, Timestamp::UNIX_EPOCH).unwrap().finish().unwrap();
        (folder, path)
    }

    fn file_at(path: &Path) -> File {
        OpenOptions::new().read(true).write(true).open(path).unwrap()
    }

    fn site(files: &[(&str, &[u8])]) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        files.iter().for_each(|(name, content)| fs::write(folder.path().join(name), content).unwrap());
        folder
    }

    fn digest(path: &Path) -> Vec<u8> {
        Sha256::digest(fs::read(path).unwrap()).to_vec()
    }

    fn content(image: &Path, name: &str) -> Option<Vec<u8>> {
        let mut file = file_at(image);
        let range = site_partition(image, &mut file).unwrap();
        Volume::open(&file, range, Timestamp::UNIX_EPOCH).unwrap().read_file(name).unwrap()
    }

    fn fsck(image: &Path) {
        let mut file = file_at(image);
        let range = site_partition(image, &mut file).unwrap();
        let all = fs::read(image).unwrap();
        let cut = image.with_extension("site");
        fs::write(&cut, &all[usize::try_from(range.start).unwrap()..usize::try_from(range.end).unwrap()]).unwrap();
        let output = Command::new("fsck.vfat").arg("-n").arg(&cut).output().expect("fsck.vfat (dosfstools) is needed");
        assert!(output.status.success(), "{output:?}");
    }

    #[test]
    fn a_second_configuration_takes_the_place_of_the_first() {
        let (_folder, image) = image();
        put(&image, site(&[("site.toml", b"hostname = \"a\""), ("tls.key", b"secret")]).path()).unwrap();
        assert_eq!(content(&image, "tls.key").as_deref(), Some(b"secret".as_slice()));
        fsck(&image);
        put(&image, site(&[("site.toml", b"hostname = \"b\"")]).path()).unwrap();
        assert_eq!(content(&image, "site.toml").as_deref(), Some(b"hostname = \"b\"".as_slice()));
        assert_eq!(content(&image, "tls.key"), None);
        fsck(&image);
    }

    #[test]
    fn what_is_not_valid_or_does_not_fit_leaves_the_image_as_it_was() {
        let (_folder, image) = image();
        let mut file = file_at(&image);
        let range = site_partition(&image, &mut file).unwrap();
        let mut volume = Volume::open(&file, range, Timestamp::UNIX_EPOCH).unwrap();
        volume.write_file("photos.zip", &vec![1; 13 << 20]).unwrap();
        volume.finish().unwrap();
        let before = digest(&image);
        let bad = put(&image, site(&[("site.toml", b"hostnam = 1")]).path()).unwrap_err();
        assert!(matches!(bad, Error::Site(_)), "{bad}");
        let large = vec![b'x'; 1 << 20];
        let files: [(&str, &[u8]); 4] =
            [("site.toml", &[b'#'; 1 << 20]), ("tls.crt", &large), ("tls.key", &large), ("ca.crt", &large)];
        let full = put(&image, site(&files).path()).unwrap_err();
        assert!(matches!(full, Error::Fat { .. }), "{full}");
        assert_eq!(digest(&image), before);
    }

    #[test]
    fn what_is_no_image_of_ours_is_named_as_what_it_is() {
        let good = site(&[("site.toml", b"")]);
        for (content, told) in [(b"QFI\xfb0000".as_slice(), "qcow2"), (&[0; 4096], "no GPT")] {
            let file = tempfile::NamedTempFile::new().unwrap();
            fs::write(file.path(), content).unwrap();
            let error = put(file.path(), good.path()).unwrap_err().to_string();
            assert!(error.contains(told) && error.contains("hint:"), "{error}");
        }
    }
}

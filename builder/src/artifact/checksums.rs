//! A publisher's file of checksums, as sha256sum (GNU coreutils) writes it: `DIGEST  NAME` on each line, or `DIGEST *NAME`; by
//! `--tag`, `SHA256 (NAME) = DIGEST`. A name may have folders before it. A file that is nothing but one digest (such as Helm's
//! `.sha256`) stands for whatever file it lies beside.

use crate::store;

/// What such a file says of one file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Said {
    /// Its SHA-256, lower-case hexadecimal.
    Digest(String),
    /// Nothing; so many others are named.
    Unnamed(usize),
    /// Two different digests.
    Ambiguous,
}

/// What `text` says of the file `name`.
#[must_use]
pub fn look_up(text: &str, name: &str) -> Said {
    let alone = text.trim().to_ascii_lowercase();
    if store::is_digest(&alone) {
        return Said::Digest(alone);
    }
    let entries: Vec<(String, &str)> = text.lines().filter_map(entry).collect();
    let base = |path: &str| path.rsplit('/').next() == Some(name);
    let mut fitting = entries.iter().filter(|(_, path)| base(path)).map(|(digest, _)| digest);
    match fitting.next() {
        None => Said::Unnamed(entries.len()),
        Some(first) if fitting.any(|other| other != first) => Said::Ambiguous,
        Some(first) => Said::Digest(first.clone()),
    }
}

/// The digest and the name on one line; none where it has another form.
fn entry(line: &str) -> Option<(String, &str)> {
    let line = line.trim_end();
    let (digest, name) = match line.strip_prefix("SHA256 (") {
        Some(rest) => rest.rsplit_once(") = ").map(|(name, digest)| (digest, name))?,
        None => {
            let (digest, rest) = line.split_once(' ')?;
            (digest, rest.strip_prefix([' ', '*']).unwrap_or(rest))
        }
    };
    let digest = digest.to_ascii_lowercase();
    store::is_digest(&digest).then_some((digest, name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_form_of_line_is_read_and_no_other_name_is_taken_for_it() {
        let (a, b) = ("a".repeat(64), "b".repeat(64));
        let text =
            format!("{b}  k3s-airgap-images-amd64.tar.zst\n{a}  k3s\n{b} *bin/k3s-arm64\nSHA256 (x y.tgz) = {b}\n");
        let digest = |of: &str| Said::Digest(of.to_owned());
        assert_eq!(look_up(&text, "k3s"), digest(&a));
        assert_eq!(look_up(&text, "k3s-arm64"), digest(&b));
        assert_eq!(look_up(&text, "x y.tgz"), digest(&b));
        assert_eq!(look_up(&text, "k3"), Said::Unnamed(4));
        assert_eq!(look_up(&format!("{a}  d/k3s\n{b}  e/k3s\n"), "k3s"), Said::Ambiguous);
        assert_eq!(look_up(&format!("{}\n", a.to_uppercase()), "anything"), digest(&a));
        assert_eq!(look_up("<html>not found</html>", "k3s"), Said::Unnamed(0));
        assert_eq!(look_up(&format!("{}  k3s", &a[1..]), "k3s"), Said::Unnamed(0));
    }
}

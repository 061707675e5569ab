//! Public keys as they stand in `authorized_keys` (sshd (8)): options, type, base64 of the wire form (RFC 4253 §6.6).

/// What keeps `line` from being one public key that a current OpenSSH accepts.
pub fn wrong(line: &str) -> Option<String> {
    if line.contains("PRIVATE KEY") {
        return Some("this is a private key: it must stay where it is; the public one ends in `.pub`".into());
    }
    if line.contains(['\n', '\r', '\0']) {
        return Some("this is more than one line".into());
    }
    let words = words(line);
    let Some(at) = words.iter().take(2).position(|word| kind(word).is_some()) else {
        return Some(match words.first() {
            Some(&"ssh-dss") => "DSA keys are no longer accepted by OpenSSH".into(),
            _ => "this is not a public key: it does not begin with a key type".into(),
        });
    };
    let (named, Some(encoded)) = (words[at], words.get(at + 1)) else {
        return Some("the key itself is missing after its type".into());
    };
    let Some(blob) = decode(encoded) else { return Some("the key is cut off or altered: this is no base64".into()) };
    judge(named, &blob)
}

/// How many fields follow the type on the wire, for the types that a current OpenSSH takes.
fn kind(word: &str) -> Option<usize> {
    match word {
        "ssh-ed25519" => Some(1),
        "ssh-rsa" | "ecdsa-sha2-nistp256" | "ecdsa-sha2-nistp384" | "ecdsa-sha2-nistp521" => Some(2),
        "sk-ssh-ed25519@openssh.com" => Some(2),
        "sk-ecdsa-sha2-nistp256@openssh.com" => Some(3),
        _ => None,
    }
}

fn judge(named: &str, blob: &[u8]) -> Option<String> {
    let Some(fields) = fields(blob) else { return Some("the key is cut off".into()) };
    let Some((inner, rest)) = fields.split_first() else { return Some("the key is empty".into()) };
    if *inner != named.as_bytes() {
        return Some(format!("it says `{named}`, but holds a key of another type"));
    }
    if Some(rest.len()) != kind(named) {
        return Some("the key is cut off".into());
    }
    match (named, rest) {
        ("ssh-ed25519", [key]) if key.len() != 32 => Some("an Ed25519 key is 32 bytes long, this is not".into()),
        ("ssh-rsa", [_, modulus]) => {
            let bits = modulus.strip_prefix(&[0]).unwrap_or(modulus).len() * 8;
            (bits < 2048).then(|| format!("an RSA key of {bits} bits is too weak: at least 2048 are needed"))
        }
        _ => None,
    }
}

/// The words of `line`; a blank within double quotes parts nothing (options may be quoted).
fn words(line: &str) -> Vec<&str> {
    let mut quoted = false;
    line.split(|c: char| {
        quoted ^= c == '"';
        !quoted && (c == ' ' || c == '\t')
    })
    .filter(|word| !word.is_empty())
    .collect()
}

/// The fields of a wire form, each with its length before it in four bytes, big-endian (RFC 4251 §5).
fn fields(mut blob: &[u8]) -> Option<Vec<&[u8]>> {
    let mut fields = Vec::new();
    while !blob.is_empty() {
        let (length, rest) = blob.split_first_chunk::<4>()?;
        let (field, rest) = rest.split_at_checked(usize::try_from(u32::from_be_bytes(*length)).ok()?)?;
        fields.push(field);
        blob = rest;
    }
    Some(fields)
}

/// Base64 with padding (RFC 4648 §4).
fn decode(text: &str) -> Option<Vec<u8>> {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    if !text.len().is_multiple_of(4) {
        return None;
    }
    let digits = text.trim_end_matches('=');
    if text.len() - digits.len() > 2 {
        return None;
    }
    let mut bytes = Vec::with_capacity(digits.len() * 3 / 4);
    let (mut gathered, mut bits) = (0_u32, 0);
    for digit in digits.bytes() {
        let value = ALPHABET.iter().position(|known| *known == digit)?;
        gathered = (gathered << 6 | u32::try_from(value).ok()?) & 0xfff;
        bits += 6;
        if bits >= 8 {
            bits -= 8;
            bytes.push(u8::try_from(gathered >> bits & 0xff).ok()?);
        }
    }
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by `ssh-keygen -t ed25519`, of which the private half was thrown away.
    const GOOD: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIEUJoZ37d/DYp0unXBhDyDSPZouPEnk48iY3e+d5A59o admin@office";

    #[test]
    fn a_whole_key_is_taken_with_its_options_and_comment() {
        assert_eq!(wrong(GOOD), None);
        assert_eq!(wrong(&format!("from=\"10.0.0.0/8, 10.1.0.1\",no-pty {GOOD} two words")), None);
    }

    #[test]
    fn what_is_no_key_is_named_as_what_it_is() {
        let cut = &GOOD[..60];
        let other = GOOD.replace("ssh-ed25519 ", "ssh-rsa ");
        let twice = format!("{GOOD}\n{GOOD}");
        for (line, reason) in [
            ("", "does not begin"),
            ("hello", "does not begin"),
            ("ssh-ed25519", "missing"),
            ("ssh-dss AAAA", "DSA"),
            (cut, "cut off"),
            (&other, "another type"),
            (&twice, "more than one line"),
            ("-----BEGIN OPENSSH PRIVATE KEY-----", "private key"),
        ] {
            let told = wrong(line).unwrap_or_default();
            assert!(told.contains(reason), "{line}: {told}");
        }
    }

    #[test]
    fn a_short_rsa_key_is_refused() {
        let mut blob = Vec::new();
        for field in [b"ssh-rsa".as_slice(), &[1, 0, 1], &[0x7f; 128]] {
            blob.extend(u32::try_from(field.len()).unwrap().to_be_bytes());
            blob.extend(field);
        }
        assert!(judge("ssh-rsa", &blob).unwrap().contains("1024 bits"));
    }

    #[test]
    fn base64_is_read_as_its_test_vectors_say() {
        for (text, bytes) in [("", ""), ("Zg==", "f"), ("Zm8=", "fo"), ("Zm9vYmFy", "foobar")] {
            assert_eq!(decode(text).as_deref(), Some(bytes.as_bytes()));
        }
        for text in ["Zg", "Z===", "Z!==", "===="] {
            assert_eq!(decode(text), None, "{text}");
        }
    }
}

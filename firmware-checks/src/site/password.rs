//! Hashes of passwords, crypt (5).

/// What keeps `hash` from being one that Debian's, Ubuntu's and AlmaLinux's libcrypt accept and that is not weak.
/// The answer never repeats any part of the value, which may be a password in plain text.
pub fn wrong(hash: &str) -> Option<&'static str> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "./$=,".contains(c);
    let Some(rest) = hash.strip_prefix('$').filter(|_| hash.chars().all(fits)) else {
        return Some("this is not a hash; a password in plain text does not belong here");
    };
    let fields: Vec<&str> = rest.split('$').collect();
    let Some((&method, fields)) = fields.split_first() else { return Some("this is not a whole hash") };
    let digest = fields.last().map_or(0, |digest| digest.len());
    let whole = match (method, fields.len()) {
        // yescrypt: parameters, salt, digest of 256 bits; gost-yescrypt likewise.
        ("y" | "gy", 3) => digest == 43 && !fields[0].is_empty(),
        // sha512crypt and sha256crypt, perhaps with rounds before the salt.
        ("6", 2 | 3) => digest == 86,
        ("5", 2 | 3) => digest == 43,
        // bcrypt: cost, then salt and digest in one.
        ("2b" | "2a" | "2y", 2) => digest == 53,
        // scrypt: parameters and salt in one, digest of 256 bits.
        ("7", 2) => digest == 43,
        ("1", _) => return Some("this hash is made by MD5, which is broken"),
        _ => false,
    };
    (!whole).then_some("this is not a whole hash")
}

/// How to come by a right one.
pub const HINT: &str = "`mkpasswd` (package whois) or `openssl passwd -6` asks for a password and prints its hash; put it between \
                        single quotes";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_told_from_plain_text_and_from_parts_of_hashes() {
        let sha512 = format!("$6$salt${}", "a".repeat(86));
        let rounds = format!("$6$rounds=10000$salt${}", "a".repeat(86));
        let yescrypt = format!("$y$j9T$F5Jx5fExrKuPp53xLKQ..1${}", "X".repeat(43));
        let bcrypt = format!("$2b$12${}", "a".repeat(53));
        for good in [&sha512, &rounds, &yescrypt, &bcrypt] {
            assert_eq!(wrong(good), None, "{good}");
        }
        let cut = &sha512[..40];
        let newline = format!("{sha512}\nroot::0:0:::::");
        let colon = format!("{sha512}:x");
        for bad in
            ["", "hunter2", "$", "$$$", "!", "*", "$money$", "$1$salt$aaaaaaaaaaaaaaaaaaaaaa", cut, &newline, &colon]
        {
            assert!(wrong(bad).is_some(), "{bad}");
        }
    }
}

//! The keys of assertions and what they sign: RSA in OpenPGP packets (RFC 9580 §5.2.3, §5.5.2), each written as base64 of the byte 1 and
//! the packet.
//!
//! The packets are read here, since the store writes numbers with leading zero bits, which OpenPGP libraries refuse.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rsa::traits::PublicKeyParts;
use rsa::{BigUint, Pkcs1v15Sign, RsaPublicKey};
use sha2::{Sha256, Sha384, Sha512};
use sha3::{Digest, Sha3_384};

/// The version of keys and signatures, which is their first byte.
const VERSION: u8 = 1;
/// The tag of a signature (RFC 9580 §5).
const SIGNATURE: u8 = 2;
/// The tag of a public key.
const PUBLIC_KEY: u8 = 6;
/// How every key's packet begins: version 4, made at 2016-01-01, RSA; so its identifier follows from the key alone.
const KEY_HEAD: [u8; 6] = [4, 0x56, 0x85, 0xc1, 0x80, 1];
/// How every signature's packet begins: version 4, over binary data, RSA.
const SIGNATURE_HEAD: [u8; 3] = [4, 0, 1];
/// The bits of the smallest and of the largest modulus: the latter is Canonical's root key.
const MODULUS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// A public key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PublicKey {
    key: RsaPublicKey,
    id: String,
}

impl PublicKey {
    /// Reads the body of an `account-key`.
    ///
    /// # Errors
    /// It is not an RSA key, or not written as snapd writes it.
    pub fn decode(text: &str) -> Result<Self, String> {
        let bytes = decode(text)?;
        let mut packet = Reader::packet(&bytes, PUBLIC_KEY)?;
        if packet.take(KEY_HEAD.len())? != KEY_HEAD {
            return Err("its packet does not begin as snapd begins it, for RSA and with the fixed time".to_owned());
        }
        let (modulus, exponent) = (packet.canonical_number()?, packet.canonical_number()?);
        packet.end()?;
        let number = |bytes| BigUint::from_bytes_be(bytes);
        let key = RsaPublicKey::new_with_max_size(number(modulus), number(exponent), *MODULUS.end())
            .map_err(|error| format!("it is not a usable key of RSA: {error}"))?;
        match key.size() * 8 {
            bits if MODULUS.contains(&bits) => Ok(Self { key, id: encode_digest(&Sha3_384::digest(&bytes)) }),
            bits => Err(format!("it has {bits} bits, of which {} are the least", MODULUS.start())),
        }
    }

    /// Its identifier: SHA3-384 of the version and the packet, in URL-safe base64.
    #[must_use]
    pub fn id(&self) -> &str {
        &self.id
    }

    /// Whether `signature` is this key's over `content`.
    ///
    /// # Errors
    /// It is not, or can't be read.
    pub fn verify(&self, content: &str, signature: &str) -> Result<(), String> {
        let wrong = |reason| format!("its signature: {reason}");
        let bytes = decode(signature).map_err(wrong)?;
        let signature = Signature::read(&bytes).map_err(wrong)?;
        let mut padded = vec![0; self.key.size().saturating_sub(signature.value.len())];
        padded.extend(signature.value);
        let (scheme, digest) = signature.digest(content).map_err(wrong)?;
        // snapd refuses one whose first two bytes of the digest are others, too.
        let same = digest.starts_with(signature.beginning) && self.key.verify(scheme, &digest, &padded).is_ok();
        if same { Ok(()) } else { Err("its signature is not over this content by this key".to_owned()) }
    }
}

/// A signature's packet.
struct Signature<'a> {
    /// Its part that is signed, too.
    hashed: &'a [u8],
    hash: u8,
    /// The first two bytes of the digest.
    beginning: &'a [u8],
    value: &'a [u8],
}

impl<'a> Signature<'a> {
    fn read(bytes: &'a [u8]) -> Result<Self, String> {
        let mut packet = Reader::packet(bytes, SIGNATURE)?;
        let whole = packet.0;
        if packet.take(SIGNATURE_HEAD.len())? != SIGNATURE_HEAD {
            return Err("its packet does not begin as snapd begins it, for RSA over binary data".to_owned());
        }
        let hash = packet.take(1)?[0];
        let length = packet.length(2)?;
        packet.take(length)?;
        let hashed = &whole[..whole.len() - packet.0.len()];
        let unhashed = packet.length(2)?;
        packet.take(unhashed)?;
        let beginning = packet.take(2)?;
        let value = packet.number()?;
        packet.end()?;
        Ok(Self { hashed, hash, beginning, value })
    }

    /// The digest of `content` and of what the signature says of itself (RFC 9580 §5.2.4), and how RSA signs it (RFC 8017 §9.2).
    fn digest(&self, content: &str) -> Result<(Pkcs1v15Sign, Vec<u8>), String> {
        fn finish<D: Digest>(parts: &[&[u8]], identifier: u8) -> (Pkcs1v15Sign, Vec<u8>) {
            let digest = parts.iter().fold(D::new(), |hash, part| hash.chain_update(part)).finalize().to_vec();
            let size = u8::try_from(digest.len()).unwrap_or(u8::MAX);
            let object =
                [0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, identifier, 0x05, 0x00];
            let prefix = [&[0x30, size + 17][..], &object, &[0x04, size]].concat();
            (Pkcs1v15Sign { hash_len: Some(digest.len()), prefix: prefix.into() }, digest)
        }
        let length = u32::try_from(self.hashed.len()).map_err(|_| "it is too long".to_owned())?.to_be_bytes();
        let parts = [content.as_bytes(), self.hashed, &[4, 0xff], &length];
        match self.hash {
            8 => Ok(finish::<Sha256>(&parts, 1)),
            9 => Ok(finish::<Sha384>(&parts, 2)),
            10 => Ok(finish::<Sha512>(&parts, 3)),
            other => Err(format!("it is over the hash {other}, expected 8, 9 or 10 (SHA-2)")),
        }
    }
}

/// What is left of a packet.
struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    /// The content of the one packet of `bytes`, after the version: it has this tag and a header of the present form (RFC 9580 §4.2.1).
    fn packet(bytes: &'a [u8], tag: u8) -> Result<Self, String> {
        let mut all = Self(&bytes[1..]);
        match all.take(1)?[0] {
            found if found == 0xc0 | tag => {}
            found => return Err(format!("its packet begins with {found:#04x}, expected {:#04x}", 0xc0 | tag)),
        }
        let length = match all.take(1)?[0] {
            one @ 0..=191 => usize::from(one),
            two @ 192..=223 => (usize::from(two) - 192) * 256 + all.length(1)? + 192,
            255 => all.length(4)?,
            other => return Err(format!("its packet has a length of the form {other}")),
        };
        let content = all.take(length)?;
        all.end()?;
        Ok(Self(content))
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) = self.0.split_at_checked(count).ok_or("its packet ends too early")?;
        self.0 = rest;
        Ok(taken)
    }

    /// A length of so many bytes, the most significant first.
    fn length(&mut self, bytes: usize) -> Result<usize, String> {
        Ok(self.take(bytes)?.iter().fold(0, |length, byte| length << 8 | usize::from(*byte)))
    }

    /// A number (RFC 9580 §3.2), whose first bits may be zero.
    fn number(&mut self) -> Result<&'a [u8], String> {
        let bits = self.length(2)?;
        self.take(bits.div_ceil(8))
    }

    /// A number without leading zero bits: with others, the same key would have another identifier in snapd, which takes the numbers
    /// alone and writes the packet anew.
    fn canonical_number(&mut self) -> Result<&'a [u8], String> {
        let bits = self.length(2)?;
        let bytes = self.take(bits.div_ceil(8))?;
        let found = bytes.first().map_or(0, |first| bytes.len() * 8 - first.leading_zeros() as usize);
        if found == bits { Ok(bytes) } else { Err(format!("a number of it has {found} bits, and says {bits}")) }
    }

    fn end(&self) -> Result<(), String> {
        if self.0.is_empty() { Ok(()) } else { Err("something follows its OpenPGP packet".to_owned()) }
    }
}

/// The version and the packet.
fn decode(text: &str) -> Result<Vec<u8>, String> {
    let text: String = text.split('\n').collect();
    let bytes = STANDARD.decode(text).map_err(|error| format!("it is not base64: {error}"))?;
    match bytes.first() {
        Some(&VERSION) => Ok(bytes),
        Some(other) => Err(format!("it is of version {other}, expected {VERSION}")),
        None => Err("it is empty".to_owned()),
    }
}

/// A digest as assertions write it.
pub(super) fn encode_digest(digest: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(digest)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::fixture::AUTHORITY;
    use super::*;

    #[test]
    fn a_key_signs_its_own_content_alone() {
        let key = PublicKey::decode(&AUTHORITY.root.body).unwrap();
        assert_eq!(key.id(), AUTHORITY.root.id);
        let text = AUTHORITY.root.sign(&[("a", "b")], "");
        let (content, signature) = text.split_once("\n\n").unwrap();
        key.verify(content, signature.trim()).unwrap();
        assert!(
            key.verify(&content.replace('b', "c"), signature.trim()).unwrap_err().contains("not over this content")
        );
        let other = PublicKey::decode(&AUTHORITY.store.body).unwrap();
        assert!(other.verify(content, signature.trim()).unwrap_err().contains("by this key"));
    }

    #[test]
    fn a_key_written_otherwise_is_refused() {
        let bytes = decode(&AUTHORITY.root.body).unwrap();
        let told = |change: &dyn Fn(&mut Vec<u8>)| {
            let mut bytes = bytes.clone();
            change(&mut bytes);
            PublicKey::decode(&STANDARD.encode(bytes)).unwrap_err()
        };
        assert!(told(&|bytes| bytes[0] = 2).contains("of version 2"));
        assert!(told(&|bytes| bytes[1] = 0xc2).contains("begins with 0xc2"));
        assert!(told(&|bytes| bytes[5] ^= 1).contains("the fixed time"));
        assert!(told(&|bytes| bytes.push(0)).contains("something follows"));
        assert!(told(&|bytes| bytes.truncate(bytes.len() - 1)).contains("ends too early"));
        assert!(told(&|bytes| bytes[11] += 1).contains("and says"));
        assert!(PublicKey::decode("not base64!").unwrap_err().contains("not base64"));
    }

    proptest! {
        #[test]
        fn whatever_comes_is_read_or_refused(bytes: Vec<u8>) {
            let text = STANDARD.encode([&[VERSION][..], &bytes].concat());
            prop_assert!(PublicKey::decode(&text).is_err());
            let key = PublicKey::decode(&AUTHORITY.root.body).unwrap();
            prop_assert!(key.verify("content", &text).is_err());
        }

        /// Random bytes behind a good beginning reach what lies deeper.
        #[test]
        fn whatever_follows_a_good_beginning_is_refused(bytes in prop::collection::vec(any::<u8>(), 0..180)) {
            let key = PublicKey::decode(&AUTHORITY.root.body).unwrap();
            for (tag, head) in [(PUBLIC_KEY, &KEY_HEAD[..]), (SIGNATURE, &[4, 0, 1, 10, 0, 0, 0, 0])] {
                let length = u8::try_from(head.len() + bytes.len()).unwrap();
                let text = STANDARD.encode([&[VERSION, 0xc0 | tag, length][..], head, &bytes].concat());
                prop_assert!(PublicKey::decode(&text).is_err() && key.verify("content", &text).is_err());
            }
        }
    }
}

//! A root of trust for snaps that was made here: accounts, keys and whatever they sign, written by hand after snapd's
//! documentation and RFC 9580, so that it shares no code with what is tested.

use std::fmt::Write as _;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use rsa::sha2::Sha512;
use rsa::traits::PublicKeyParts;
use rsa::{Pkcs1v15Sign, RsaPrivateKey};
use sha3::{Digest, Sha3_384};

/// When every key was made, as its packet says: 2016-01-01, in seconds.
const MADE: u32 = 1_451_606_400;
/// What everything signed here is as of.
const SINCE: &str = "2020-01-01T00:00:00Z";

/// A key that signs assertions.
#[derive(Clone, Debug)]
pub struct Key {
    private: RsaPrivateKey,
    /// The body of its `account-key`.
    pub body: String,
    /// Its identifier.
    pub id: String,
}

impl Key {
    /// A new one, of 2048 bits.
    #[must_use]
    pub fn generate() -> Self {
        let private = RsaPrivateKey::new(&mut rsa::rand_core::OsRng, 2048).unwrap();
        let mut content = vec![4];
        content.extend(MADE.to_be_bytes());
        content.push(1);
        content.extend(number(&private.n().to_bytes_be()));
        content.extend(number(&private.e().to_bytes_be()));
        let bytes = packet(6, &content);
        Self { private, id: URL_SAFE_NO_PAD.encode(Sha3_384::digest(&bytes)), body: lines(&bytes) }
    }

    /// An assertion with these headers in this order, with `body-length` and the key's identifier added.
    #[must_use]
    pub fn sign(&self, headers: &[(&str, &str)], body: &str) -> String {
        let mut content = String::new();
        headers.iter().for_each(|(name, value)| writeln!(content, "{name}: {value}").unwrap());
        if !body.is_empty() {
            writeln!(content, "body-length: {}", body.len()).unwrap();
        }
        write!(content, "sign-key-sha3-384: {}", self.id).unwrap();
        if !body.is_empty() {
            write!(content, "\n\n{body}").unwrap();
        }
        let signature = self.signature(&content);
        format!("{content}\n\n{signature}\n")
    }

    /// A binary signature of version 4 by RSA over SHA-512, made at [`MADE`].
    fn signature(&self, content: &str) -> String {
        let mut hashed = vec![4, 0, 1, 10];
        let made = [&[5, 2][..], &MADE.to_be_bytes()].concat();
        hashed.extend(u16::try_from(made.len()).unwrap().to_be_bytes());
        hashed.extend(made);
        let length = u32::try_from(hashed.len()).unwrap();
        let trailer = [&hashed[..], &[4, 0xff], &length.to_be_bytes()].concat();
        let digest = <Sha512 as rsa::sha2::Digest>::new();
        let digest = rsa::sha2::Digest::chain_update(digest, content.as_bytes());
        let digest = rsa::sha2::Digest::finalize(rsa::sha2::Digest::chain_update(digest, trailer));
        let value = self.private.sign(Pkcs1v15Sign::new::<Sha512>(), &digest).unwrap();
        let mut packet_content = hashed;
        packet_content.extend([0, 0, digest[0], digest[1]]);
        packet_content.extend(number(&value));
        lines(&packet(2, &packet_content))
    }
}

/// The version byte and one packet (RFC 9580 §4.2): a new header, its length in two bytes.
fn packet(tag: u8, content: &[u8]) -> Vec<u8> {
    let length = content.len() - 192;
    let mut bytes = vec![1, 0xc0 | tag, u8::try_from(length >> 8).unwrap() + 192, u8::try_from(length & 0xff).unwrap()];
    bytes.extend(content);
    bytes
}

/// A number as OpenPGP writes it: its bits, and its bytes without leading zeros.
fn number(bytes: &[u8]) -> Vec<u8> {
    let first = bytes.iter().position(|byte| *byte != 0).unwrap();
    let bytes = &bytes[first..];
    let bits = bytes.len() * 8 - bytes[0].leading_zeros() as usize;
    [&u16::try_from(bits).unwrap().to_be_bytes()[..], bytes].concat()
}

fn lines(bytes: &[u8]) -> String {
    let text = STANDARD.encode(bytes);
    text.as_bytes().chunks(76).map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join("\n")
}

/// A root of trust, the store's key that it signed, and a publisher.
#[derive(Clone, Debug)]
pub struct Authority {
    /// The key that is trusted.
    pub root: Key,
    /// The key that signs what a store says.
    pub store: Key,
}

/// The account that is trusted.
pub const ROOT: &str = "testroot";
/// The account that publishes snaps.
pub const PUBLISHER: &str = "testpublisher";

impl Authority {
    /// A new one.
    #[must_use]
    pub fn generate() -> Self {
        Self { root: Key::generate(), store: Key::generate() }
    }

    /// What is to be trusted: the account and its key, signed by themselves.
    #[must_use]
    pub fn roots(&self) -> String {
        format!("{}\n{}", self.account(ROOT), self.account_key(ROOT, "root", &self.root))
    }

    /// An account.
    #[must_use]
    pub fn account(&self, id: &str) -> String {
        let names = [("type", "account"), ("authority-id", ROOT), ("account-id", id), ("display-name", id)];
        let rest = [("timestamp", SINCE), ("username", id), ("validation", "unproven")];
        self.root.sign(&[&names[..], &rest].concat(), "")
    }

    /// A key of an account.
    #[must_use]
    pub fn account_key(&self, account: &str, name: &str, key: &Key) -> String {
        let headers = [
            ("type", "account-key"),
            ("authority-id", ROOT),
            ("public-key-sha3-384", &key.id),
            ("account-id", account),
            ("name", name),
            ("since", SINCE),
        ];
        self.root.sign(&headers, &key.body)
    }

    /// That the snap `id` is called `name`.
    #[must_use]
    pub fn declaration(&self, id: &str, name: &str) -> String {
        let headers = [
            ("type", "snap-declaration"),
            ("format", "1"),
            ("authority-id", ROOT),
            ("series", "16"),
            ("snap-id", id),
            ("publisher-id", PUBLISHER),
            ("snap-name", name),
            ("timestamp", SINCE),
        ];
        self.store.sign(&headers, "")
    }

    /// That the file with this SHA3-384 and size is this revision of the snap `id`.
    #[must_use]
    pub fn revision(&self, sha3_384: &str, size: u64, id: &str, revision: u64) -> String {
        let (size, revision) = (size.to_string(), revision.to_string());
        let headers = [
            ("type", "snap-revision"),
            ("authority-id", ROOT),
            ("snap-sha3-384", sha3_384),
            ("developer-id", PUBLISHER),
            ("snap-id", id),
            ("snap-revision", &revision),
            ("snap-size", &size),
            ("timestamp", SINCE),
        ];
        self.store.sign(&headers, "")
    }

    /// A model of a classic system, of which the root is the brand.
    #[must_use]
    pub fn model(&self) -> String {
        let headers = [
            ("type", "model"),
            ("authority-id", ROOT),
            ("series", "16"),
            ("brand-id", ROOT),
            ("model", "test-classic"),
            ("classic", "true"),
            ("timestamp", SINCE),
        ];
        self.root.sign(&headers, "")
    }

    /// The assertions that every chain of a snap needs besides its own: the store's key and the publisher.
    #[must_use]
    pub fn common(&self) -> String {
        format!("{}\n{}", self.account_key(ROOT, "store", &self.store), self.account(PUBLISHER))
    }
}

/// SHA3-384 as assertions write it.
#[must_use]
pub fn sha3_384(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(Sha3_384::digest(bytes))
}

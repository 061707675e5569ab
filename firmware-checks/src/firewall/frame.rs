//! Ethernet frames that open a connection: a TCP SYN (RFC 9293), a UDP datagram (RFC 768), an SCTP INIT (RFC 9260),
//! over IPv4 (RFC 791) or IPv6 (RFC 8200). Checksums are right: connection tracking calls others invalid.

use std::net::IpAddr;

use crate::requirements::Protocol;

/// A hardware address.
pub type Hardware = [u8; 6];

/// From whom to whom a frame goes.
#[derive(Clone, Copy, Debug)]
pub struct Way {
    /// The sender's address, of the family of `to`.
    pub from: IpAddr,
    /// The receiver's address.
    pub to: IpAddr,
    /// The sender's port.
    pub from_port: u16,
    /// The receiver's port.
    pub to_port: u16,
}

/// The protocol's assigned number.
#[must_use]
pub fn number(protocol: Protocol) -> u8 {
    match protocol {
        Protocol::Tcp => 6,
        Protocol::Udp => 17,
        Protocol::Sctp => 132,
    }
}

/// The whole frame, from the destination's hardware address on.
#[must_use]
pub fn opening(protocol: Protocol, way: Way, from: Hardware, to: Hardware) -> Vec<u8> {
    let segment = segment(protocol, way);
    let mut frame = [to, from].concat();
    match (way.from, way.to) {
        (IpAddr::V4(source), IpAddr::V4(destination)) => {
            frame.extend([0x08, 0x00]);
            let length = u16::try_from(20 + segment.len()).unwrap_or(u16::MAX).to_be_bytes();
            // Version and header length, no options; do not fragment; time to live 64.
            let mut header = vec![0x45, 0, length[0], length[1], 0, 0, 0x40, 0, 64, number(protocol), 0, 0];
            header.extend(source.octets());
            header.extend(destination.octets());
            let sum = checksum(&[&header]).to_be_bytes();
            header[10..12].copy_from_slice(&sum);
            frame.extend(header);
        }
        (source, destination) => {
            frame.extend([0x86, 0xdd, 0x60, 0, 0, 0]);
            frame.extend(u16::try_from(segment.len()).unwrap_or(u16::MAX).to_be_bytes());
            frame.extend([number(protocol), 64]);
            frame.extend(octets(source));
            frame.extend(octets(destination));
        }
    }
    frame.extend(segment);
    frame
}

fn segment(protocol: Protocol, way: Way) -> Vec<u8> {
    let mut segment = [way.from_port.to_be_bytes(), way.to_port.to_be_bytes()].concat();
    match protocol {
        Protocol::Tcp => {
            segment.extend([0x46, 0x4c, 0, 1]); // sequence number
            segment.extend([0; 4]);
            segment.extend([0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]); // header of 20 bytes, SYN, window
            insert(&mut segment, 16, protocol, way);
        }
        Protocol::Udp => {
            segment.extend([0, 8, 0, 0]); // nothing but the header
            insert(&mut segment, 6, protocol, way);
        }
        Protocol::Sctp => {
            segment.extend([0; 8]); // verification tag (0 in an INIT), checksum
            segment.extend([1, 0, 0, 20]); // INIT, length
            segment.extend([0x46, 0x4c, 0, 1, 0, 0, 0x80, 0, 0, 1, 0, 1, 0, 0, 0, 1]);
            let sum = crc32c(&segment).to_le_bytes();
            segment[8..12].copy_from_slice(&sum);
        }
    }
    segment
}

/// Puts the Internet checksum over pseudo header and `segment` at `offset`.
fn insert(segment: &mut [u8], offset: usize, protocol: Protocol, way: Way) {
    let length = u32::try_from(segment.len()).unwrap_or(u32::MAX).to_be_bytes();
    let kind = [0, 0, 0, number(protocol)];
    let sum = checksum(&[&octets(way.from), &octets(way.to), &length, &kind, segment]);
    // In UDP, zero would say that there is none.
    let sum = if sum == 0 { 0xffff } else { sum };
    segment[offset..offset + 2].copy_from_slice(&sum.to_be_bytes());
}

fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(four) => four.octets().to_vec(),
        IpAddr::V6(six) => six.octets().to_vec(),
    }
}

/// The Internet checksum (RFC 1071) over `parts`, each of even length.
fn checksum(parts: &[&[u8]]) -> u16 {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words.map(|word| u32::from(word[0]) << 8 | word.get(1).map_or(0, |low| u32::from(*low))).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    !u16::try_from(sum).unwrap_or(0)
}

/// The checksum of SCTP (RFC 9260, appendix A).
fn crc32c(bytes: &[u8]) -> u32 {
    let step = |crc: u32| if crc & 1 == 1 { (crc >> 1) ^ 0x82f6_3b78 } else { crc >> 1 };
    !bytes.iter().fold(u32::MAX, |crc, byte| (0..8).fold(crc ^ u32::from(*byte), |crc, _| step(crc)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn way(from: &str, to: &str) -> Way {
        Way { from: from.parse().unwrap(), to: to.parse().unwrap(), from_port: 1024, to_port: 443 }
    }

    /// A receiver adds everything up, the checksum included, and must find nothing.
    #[test]
    fn a_receiver_finds_the_checksums_right() {
        for (protocol, from, to) in [
            (Protocol::Tcp, "192.0.2.2", "192.0.2.1"),
            (Protocol::Udp, "192.0.2.2", "192.0.2.1"),
            (Protocol::Tcp, "2001:db8::2", "2001:db8::1"),
            (Protocol::Udp, "2001:db8::2", "2001:db8::1"),
        ] {
            let way = way(from, to);
            let segment = segment(protocol, way);
            let length = u32::try_from(segment.len()).unwrap().to_be_bytes();
            let pseudo = [&octets(way.from)[..], &octets(way.to), &length, &[0, 0, 0, number(protocol)]];
            assert_eq!(checksum(&[pseudo[0], pseudo[1], pseudo[2], pseudo[3], &segment]), 0, "{protocol:?} {from}");
            let frame = opening(protocol, way, [2; 6], [4; 6]);
            if way.from.is_ipv4() {
                assert_eq!(checksum(&[&frame[14..34]]), 0);
            }
            assert!(frame.ends_with(&segment));
        }
    }

    #[test]
    fn the_castagnoli_checksum_is_that_of_its_specification() {
        // RFC 3720, appendix B.4.
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
    }
}

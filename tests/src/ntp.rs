//! A time server for machines under test: QEMU's user network leads 10.0.2.2 to this host's loopback.

use std::net::UdpSocket;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result};

/// Seconds from NTP's epoch (1900) to Unix's (RFC 5905 §6).
const EPOCH: u64 = 2_208_988_800;

/// Answers on port 123 of the loopback for as long as this process lives. While another process of the tests does, this
/// one waits for its end: that may come in the middle of a boot.
///
/// # Errors
/// The port can't be bound.
pub fn serve() -> Result<()> {
    let bind = || match UdpSocket::bind(("127.0.0.1", 123)) {
        Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => Ok(None),
        socket => socket.map(Some).context("binding the NTP port 123 of the loopback (as root)"),
    };
    let mut bound = bind()?;
    std::thread::spawn(move || {
        let socket = loop {
            match bound {
                Some(socket) => break socket,
                None => std::thread::sleep(Duration::from_millis(500)),
            }
            bound = bind().unwrap_or_default();
        };
        let mut packet = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut packet) {
            if let Some(answer) = (length >= 48).then(|| answer(&packet)) {
                // A lost answer is asked for again.
                let _ = socket.send_to(&answer, from);
            }
        }
    });
    Ok(())
}

/// A server's answer (RFC 5905 §7.3): version 4, mode 4, stratum 1.
fn answer(request: &[u8]) -> [u8; 48] {
    let now = now();
    let mut packet = [0; 48];
    packet[0] = 0b00_100_100;
    packet[1] = 1;
    packet[2] = request[2];
    packet[3] = 0xec;
    packet[11] = 1;
    packet[12..16].copy_from_slice(b"TEST");
    packet[16..24].copy_from_slice(&now);
    packet[24..32].copy_from_slice(&request[40..48]);
    packet[32..40].copy_from_slice(&now);
    packet[40..48].copy_from_slice(&now);
    packet
}

fn now() -> [u8; 8] {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let fraction = (u64::from(since.subsec_nanos()) << 32) / 1_000_000_000;
    (((since.as_secs() + EPOCH) << 32) | fraction).to_be_bytes()
}

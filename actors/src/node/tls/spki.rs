//! The public key of any certificate, of version 1 or 3, as a structure of its own.

use rustls_pki_types::{CertificateDer, SubjectPublicKeyInfoDer};

/// Takes it out of a certificate.
///
/// # Errors
/// It is no certificate.
pub(crate) fn public_key(certificate: &CertificateDer<'_>) -> Result<SubjectPublicKeyInfoDer<'static>, webpki::Error> {
    // The one function of webpki that takes certificates of version 1. It gives the contents without their frame.
    let anchor = webpki::anchor_from_trusted_cert(certificate)?;
    Ok(SubjectPublicKeyInfoDer::from(sequence(&anchor.subject_public_key_info)))
}

/// Puts DER contents into the frame of a SEQUENCE (X.690, 8.1.3).
fn sequence(contents: &[u8]) -> Vec<u8> {
    const TAG: u8 = 0x30;
    let length = contents.len().to_be_bytes();
    let significant = &length[length.iter().take_while(|byte| **byte == 0).count()..];
    let mut framed = vec![TAG];
    match significant {
        [] => framed.push(0),
        [short] if *short < 0x80 => framed.push(*short),
        long => {
            // At most eight bytes.
            framed.push(0x80 | long.len() as u8);
            framed.extend_from_slice(long);
        }
    }
    framed.extend_from_slice(contents);
    framed
}

#[cfg(test)]
mod tests {
    use super::sequence;

    #[test]
    fn the_frame_has_a_length_of_as_many_bytes_as_it_needs() {
        for (length, frame) in [
            (0, &[0x30, 0][..]),
            (127, &[0x30, 127]),
            (128, &[0x30, 0x81, 128]),
            (255, &[0x30, 0x81, 255]),
            (256, &[0x30, 0x82, 1, 0]),
            (70_000, &[0x30, 0x83, 1, 0x11, 0x70]),
        ] {
            let framed = sequence(&vec![7; length]);
            assert_eq!(&framed[..frame.len()], frame);
            assert_eq!(framed.len(), frame.len() + length);
        }
    }
}

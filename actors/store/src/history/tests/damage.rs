//! Damaged bytes give an error: no panic, and no allocation beyond measure.

use super::*;
use crate::codec::CodecError;
use crate::codec::bytes::put_varint;
use crate::layers::LayerCache;

/// Changes bytes, and makes the checksum right again: the reader meets what it would never see otherwise.
fn damaged(bytes: &[u8], changes: &[(usize, u8)], cut: usize) -> Vec<u8> {
    let mut content = bytes[..bytes.len() - 8].to_vec();
    for (at, byte) in changes {
        let at = 1 + at % content.len().max(2);
        if let Some(place) = content.get_mut(at) {
            *place = *byte;
        }
    }
    content.truncate(content.len().saturating_sub(cut).max(1));
    close(content)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn changed_bytes_do_no_harm(
        events in messages(),
        changes in prop::collection::vec((any::<usize>(), any::<u8>()), 1..4),
        cut in prop_oneof![3 => Just(0usize), 1 => 0usize..40],
    ) {
        let chunk = encode_chunk(&refs(&events));
        let body = damaged(&chunk.body, &changes, cut);
        let _ = decode_chunk(&body);
        let _ = decode_numbers(&body, "t");
        let _ = Summary::decode(&damaged(&chunk.summary, &changes, cut)).map(|summary| summary.encode());
        let layers = LayerCache::default();
        let block = damaged(&encode_block(&refs(&events), &layers), &changes, cut);
        let _ = decode_block(&block, 0, &layers);
        let _ = decode_block_log(&block, &layers);
        let _ = block_texts(&block);
    }

    #[test]
    fn noise_is_refused(noise in prop::collection::vec(any::<u8>(), 0..200), version in prop::sample::select(vec![CHUNK, BLOCK, SUMMARY])) {
        let mut bytes = vec![version];
        bytes.extend(noise);
        let bytes = close(bytes);
        let _ = decode_chunk(&bytes);
        let _ = decode_block(&bytes, 0, &LayerCache::default());
        let _ = Summary::decode(&bytes);
    }
}

#[test]
fn each_changed_byte_is_found() {
    let events = generated::temperature(20);
    let SealedChunk { body, summary } = encode_chunk(&refs(&events));
    for at in 0..body.len() {
        let mut changed = body.clone();
        changed[at] ^= 0x10;
        assert!(decode_chunk(&changed).is_err(), "byte {at}");
        assert!(decode_chunk(&body[..at]).is_err(), "cut at {at}");
    }
    for at in 0..summary.len() {
        let mut changed = summary.clone();
        changed[at] ^= 0x10;
        assert!(Summary::decode(&changed).is_err(), "byte {at}");
    }
    assert_eq!(decode_chunk(&[]).err(), Some(CodecError::Short));
    assert_eq!(decode_chunk(&close(vec![0xc2])).err(), Some(CodecError::Version(0xc2)), "of a later version");
    assert_eq!(Summary::decode(&body), Err(CodecError::Version(CHUNK)));
}

/// Columns in which all is alike take no bytes for each message: a few bytes could name millions.
#[test]
fn a_few_bytes_do_not_name_a_million_messages() {
    let forged = |count: u64, readings: u64| {
        let mut body = vec![CHUNK];
        put_varint(&mut body, count);
        put_varint(&mut body, readings);
        put_varint(&mut body, 40);
        body.extend([0x07; 40]);
        decode_chunk(&close(body)).err()
    };
    let too_many = Some(CodecError::Nonsense("there are too many messages"));
    for (count, readings) in [(1 << 20, 0), (1, 1 << 21), (u64::MAX, u64::MAX), (40 * 512 + 1, 0)] {
        assert_eq!(forged(count, readings), too_many, "{count} and {readings}");
    }
    assert_ne!(forged(10, 0), too_many);
}

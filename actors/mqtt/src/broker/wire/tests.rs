use super::*;

fn text(text: &str) -> Vec<u8> {
    [&u16::try_from(text.len()).unwrap().to_be_bytes(), text.as_bytes()].concat()
}

fn header(packet: &[u8]) -> usize {
    let PacketExtent::Packet { header, total } = extent(packet) else { panic!("no packet: {packet:x?}") };
    assert_eq!(total, packet.len());
    header
}

#[test]
fn knows_where_a_packet_ends() {
    for (bytes, expected) in [
        (&[][..], PacketExtent::Unknown),
        (&[0x30], PacketExtent::Unknown),
        (&[0x30, 0x80], PacketExtent::Unknown),
        (&[0x30, 0x80, 0x80, 0x80], PacketExtent::Unknown),
        (&[0x30, 0x80, 0x80, 0x80, 0x80], PacketExtent::Malformed),
        (&[0xc0, 0], PacketExtent::Packet { header: 2, total: 2 }),
        (&[0x30, 0xff, 0x01, 9], PacketExtent::Packet { header: 3, total: 258 }),
        (&[0x30, 0xff, 0xff, 0xff, 0x7f], PacketExtent::Packet { header: 5, total: 268_435_460 }),
    ] {
        assert_eq!(extent(bytes), expected, "{bytes:x?}");
    }
}

/// A CONNECT with a will, a user name and a password.
fn with_will(v5: bool, flags: u8, topic: &str) -> Vec<u8> {
    let properties = |bytes: &'static [u8]| if v5 { bytes } else { &[] };
    let body = [
        &text("MQTT")[..],
        &[4 + u8::from(v5), flags, 0, 60],
        properties(&[5, 0x11, 0, 0, 0, 9]),
        &text("device"),
        properties(&[12, 0x18, 0, 0, 0, 5, 0x26, 0, 1, b'a', 0, 1, b'b']),
        &text(topic),
        &text("gone"),
        &text("user"),
        &text("secret"),
    ];
    packet_of(0x10, &body.concat())
}

#[test]
fn takes_the_will_out_of_a_connect() {
    for v5 in [false, true] {
        let packet = with_will(v5, 0b1110_1110, "a/b");
        let read = connect(&packet, header(&packet)).unwrap();
        assert_eq!(read.v5, v5);
        let will = read.will.unwrap();
        assert_eq!(
            (&*will.topic, &*will.payload, will.qos, will.retain),
            ("a/b", &b"gone"[..], QoS::AtLeastOnce, true)
        );
        assert_eq!(will.delay, if v5 { 5 } else { 0 });
        assert_eq!(will.properties.get_user_property_value("a"), v5.then_some("b"));
        let left = read.without_will.unwrap();
        let again = connect(&left, header(&left)).unwrap();
        assert!(again.will.is_none() && again.without_will.is_none());
        let rest = [text("device"), text("user"), text("secret")].concat();
        assert!(left.ends_with(&rest), "the client id, and what stood behind the will");
        assert_eq!(left[header(&left) + 7], 0b1100_0010, "the flags");
    }
}

#[test]
fn leaves_to_the_broker_what_it_cannot_read() {
    let good = with_will(true, 0b1110_1110, "a/b");
    for end in header(&good)..good.len() - 14 {
        assert!(connect(&good[..end], 2).is_none(), "{end}");
    }
    for (flags, topic) in [(0b1111_1110, "a/b"), (0b1110_1110, "a/#"), (0b1110_1110, "")] {
        let bad = with_will(true, flags, topic);
        assert!(connect(&bad, header(&bad)).is_none(), "{flags:b} {topic}");
    }
    let old = packet_of(0x10, &[&text("MQIsdp")[..], &[3, 2, 0, 60], &text("x")].concat());
    assert!(connect(&old, header(&old)).is_none());
}

#[test]
fn reads_what_a_publish_says() {
    let read = |flags: u8, topic, id: &[u8], properties: &[u8], v5| {
        let packet = packet_of(0x30 | flags, &[&text(topic)[..], id, properties, b"payload"].concat());
        let read = publish(&packet, header(&packet), v5)?;
        Some((read.retain, read.alias, read.only_alias))
    };
    assert_eq!(read(0, "t", &[], &[0], true), Some((false, None, false)));
    assert_eq!(read(1, "t", &[], &[], false), Some((true, None, false)));
    assert_eq!(read(3, "t", &[0, 1], &[3, 0x23, 0, 10], true), Some((true, Some(10), false)));
    assert_eq!(read(0, "", &[], &[3, 0x23, 0, 0], true), Some((false, Some(0), true)));
    assert_eq!(read(0, "t", &[], &[2, 0x7e, 0], true), None, "a property that there is not");
    assert_eq!(read(0, "t", &[], &[0x7f], true), None, "longer than the packet");
}

#[test]
fn says_that_it_does_not_take_something() {
    assert_eq!(refused(&[0x40, 2, 1, 2], 0x97), [0x40, 3, 1, 2, 0x97]);
    assert_eq!(refused(&[0x50, 4, 1, 2, 0x10, 0], 0x97), [0x50, 3, 1, 2, 0x97]);
    assert_eq!(no_subscription(false, 258, 2), [0x90, 4, 1, 2, 0x80, 0x80]);
    assert_eq!(no_subscription(true, 258, 2), [0x90, 5, 1, 2, 0, 0x97, 0x97]);
    assert_eq!(refusal(false, ConnectAnswer::Crowded, "why"), [0x20, 2, 0, 3]);
    assert_eq!(
        refusal(true, ConnectAnswer::Crowded, "why"),
        [0x20, 9, 0, 0x97, 6, 0x1f, 0, 3, b'w', b'h', b'y']
    );
}

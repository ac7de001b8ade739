//! A template's layer in events: named by its hash, and whole as version 4 wrote it.

use std::sync::Arc;

use super::*;
use crate::layers::key;
use twinhub_domain::fleet::Layer;
use twinhub_domain::twin::Part;

const PUMP: &str = r#"{"id":"pump","version":3,"configuration":{"interval":60.0},"tags":{"floor":"2"}}"#;

fn object(text: &str) -> Object {
    let Json::Object(object) = text.parse().unwrap() else { panic!("{text}") };
    object
}

fn event(seq: u64, part: Part) -> Recorded {
    let (at, device) = (Timestamp::from_millis(0), DeviceId::parse("pump-1").unwrap());
    let (number, cause) = (DeviceNumber(1), Cause::hub());
    let patch = [part, Part::Claimed(true)].into_iter().collect();
    let body = EventBody::Twin(TwinChange { change: ChangeKind::Updated, patch });
    Recorded::new(seq, Event { device, number, at: at.into(), received_at: at, body, cause })
}

fn layer_of(recorded: &Recorded) -> Arc<Layer> {
    let EventBody::Twin(change) = &recorded.event.body else { panic!("{recorded:?}") };
    Arc::clone(change.patch.template().unwrap().unwrap())
}

#[test]
fn an_event_names_its_layer_and_is_as_it_was_where_that_is_known() {
    let layer = Arc::new(Layer::read(&object(PUMP)).unwrap());
    let events = [event(1, Part::Template(Some(Arc::clone(&layer))))];
    let blob = encode(&events);
    assert!(!blob.windows(8).any(|bytes| bytes == b"interval"), "what it says stands elsewhere");
    assert_eq!(decode(&blob).err(), Some(CodecError::Layer(key(&layer))));
    let layers = LayerCache::default();
    let known = layers.share(Arc::clone(&layer));
    let back = super::super::decode(&blob, &layers).unwrap();
    assert!(same(&back, &events) && Arc::ptr_eq(&layer_of(&back[0]), &known));
    // One of the same template and version that says something else, as after a removal, is another.
    let other = Layer { tags: Object::default(), ..(*layer).clone() };
    assert!(!Arc::ptr_eq(&layers.share(Arc::new(other)), &known));
    let digits = Layer::read(&object(&PUMP.replace("60.0", "60"))).unwrap();
    assert_ne!(key(&digits), key(&layer), "numbers are the same by digit alone");
}

#[test]
fn the_whole_layers_of_version_4_are_read_each_once() {
    let whole = || Part::Note("template".into(), object(PUMP).into());
    let mut blob = encode(&[event(1, whole()), event(2, whole()), event(3, Part::Template(None))]);
    blob.truncate(blob.len() - 8);
    blob[0] = 4;
    blob.extend(checksum(&blob).to_le_bytes());
    let back = decode(&blob).unwrap();
    let (one, other) = (layer_of(&back[0]), layer_of(&back[1]));
    assert!(Arc::ptr_eq(&one, &other));
    assert_eq!(*one, Layer::read(&object(PUMP)).unwrap());
    let EventBody::Twin(change) = &back[2].event.body else { panic!("{back:?}") };
    assert_eq!(change.patch.template(), Some(None));
    let EventBody::Twin(change) = &back[0].event.body else { panic!("{back:?}") };
    let shown = Json::from(change.patch.to_object()).to_string();
    assert_eq!(shown, r#"{"claimed":true,"template":{"id":"pump","version":3}}"#);
}
